"""5,000 damaged inputs: each is read or refused with one line; no other exception, and no hang."""

import io
import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from fakefreq.data.images.headers.formats import ImageError, clean_text, exif_software, icc_name
from fakefreq.data.images.headers.header import probe_header
from fakefreq.data.index.folders import explain_all, explain_parts, read_layout
from fakefreq.data.index.lists import read_list
from fakefreq.data.index.names import Hints
from fakefreq.data.manifests import index_folder, read_manifest
from fakefreq.errors import UserError

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def with_metadata() -> list[bytes]:
    """Files with EXIF, text and a profile, whose offsets point into each other."""
    image = pytest.importorskip("PIL.Image")
    cms = pytest.importorskip("PIL.ImageCms")
    exif = image.Exif()
    exif[0x131] = "program"
    profile = cms.ImageCmsProfile(cms.createProfile("sRGB")).tobytes()
    files = []
    for kind in ("JPEG", "WEBP", "TIFF", "PNG"):
        file = io.BytesIO()
        image.fromarray(NOISE).save(file, kind, exif=exif, icc_profile=profile)
        files.append(file.getvalue())
    return files


def mutate(whole: bytes, rng: np.random.Generator) -> bytes:
    """Cut, overwrite, repeat or enlarge fields, mostly near the start where headers lie."""
    data = np.frombuffer(whole, np.uint8).copy()
    if rng.random() < 0.4:
        data = data[: rng.integers(1, len(data) + 1)]
    reach = min(len(data), int(rng.choice([16, 64, 700, len(data)])))
    places = rng.integers(0, max(1, reach), rng.integers(1, 12))
    data[places] = rng.choice(np.array([0, 1, 0x7F, 0x80, 0xFF, *rng.integers(0, 256, 5)], np.uint8), len(places))
    if rng.random() < 0.2:
        start = int(rng.integers(0, len(data)))
        data = np.insert(data, start, data[start : start + int(rng.integers(1, 40))])
    return data.tobytes()


def one_line(error: UserError) -> bool:
    """A refusal has a text that fits a line; True, so that it is counted."""
    assert 10 < len(str(error)) < 2000
    return True


def in_time(cases: int, seconds: float, case: Callable[[int], bool]) -> int:
    """Run all cases; return how many were refused. One that takes long is a hang in the making."""
    refused = 0
    for number in range(cases):
        start = time.perf_counter()
        refused += case(number)
        assert time.perf_counter() - start < seconds, f"case {number}"
    return refused


def test_3500_mutated_headers() -> None:
    kinds = (".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif")
    wholes = [cv2.imencode(kind, NOISE)[1].tobytes() for kind in kinds] + with_metadata()
    rng = np.random.default_rng(1)

    def case(number: int) -> bool:
        data = mutate(wholes[number % len(wholes)], rng)
        try:
            facts = probe_header("x", data)
        except ImageError as error:
            return one_line(error)
        assert facts.width > 0 and facts.height > 0 and facts.bytes == len(data)
        assert len(facts.software) <= 80 and facts.software.isprintable()
        assert len(facts.icc) <= 80 and facts.icc.isprintable()
        return False

    refused = in_time(3500, 2.0, case)
    assert 350 < refused < 3150


def test_500_blobs_as_metadata() -> None:
    rng = np.random.default_rng(2)

    def case(number: int) -> bool:
        blob = rng.integers(0, 256, rng.integers(0, 300), dtype=np.uint8).tobytes()
        blob = (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08")[number % 3] + blob
        for read in (exif_software, icc_name, clean_text):
            text = read(blob)
            assert text.isprintable() and len(text) <= 80
        return False

    in_time(500, 1.0, case)


WORDS = ["real", "fake", "0_real", "1_fake", "0", "1", "ai", "nature", "train", "val", "test"]
WORDS += ["gan", "00000", "A_B", "Fake", "..", "\u00e9\n"]


def contradicts(path: str, label: int) -> bool:
    """Whether a folder above an image says the contrary of its label."""
    said = {0 if part in SAY_REAL else 1 for part in path.lower().split("/")[:-1] if part in SAY_REAL | SAY_FAKE}
    return bool(said - {label})


SAY_REAL = {"real", "reals", "0_real", "0", "nature", "celeb-real", "training_real", "original_sequences"}
SAY_FAKE = {"fake", "fakes", "1_fake", "1", "ai", "celeb-synthesis", "fake_test", "manipulated_sequences"}


@pytest.mark.slow
def test_1000_trees_of_any_flags_label_no_image_against_its_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    words = [
        *sorted(SAY_REAL | SAY_FAKE),
        "train",
        "test",
        "00000",
        "A_B",
        "stylegan",
        "ffhq",
        "000_001",
        "Dataset",
        "c23",
    ]
    names = ["00012.png", "A_B_0001.jpg", "frame_1.jpg", "real_1.png", "noend"]
    flags = [
        Hints(), Hints(), Hints(), Hints(label="real"), Hints(label="fake"), Hints(real_classes=("ffhq",)),
        Hints(layout="ffhq"), Hints(layout="lfw"), Hints(layout="celeba"), Hints(generator="stylegan"),
    ]  # fmt: skip
    accepted = 0

    def case(number: int) -> bool:
        nonlocal accepted
        root = tmp_path / str(number)
        places = [root.joinpath(*rng.choice(words, rng.integers(0, 4))) for _ in range(rng.integers(1, 4))]
        rows = []
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            path = place / str(rng.choice(names))
            path.write_bytes(cv2.imencode(".png", NOISE)[1].tobytes())
            rows.append({"path": path.relative_to(root).as_posix(), "label": int(rng.integers(0, 2))})
        if rng.random() < 0.3:
            (root / "list_eval_partition.txt").write_text("00012.jpg 0\n")
        hints = flags[rng.integers(len(flags))]
        try:
            if number % 3 == 0:
                (root / "list.json").write_text(json.dumps(rows))
                listing = read_list(root, root / "list.json", hints)
            else:
                listing = read_layout(root, hints)
        except UserError as error:
            return one_line(error)
        for entry in listing.entries:
            assert not contradicts(str(Path(entry.path).relative_to(root)), entry.label), (hints, entry)
        accepted += 1
        return False

    in_time(1000, 2.0, case)
    assert accepted > 100


def test_700_folder_trees() -> None:
    rng = np.random.default_rng(3)

    def case(_: int) -> bool:
        places = ["/".join(rng.choice(WORDS, rng.integers(0, 5))) for _ in range(rng.integers(1, 6))]
        images = [(place, f"{rng.integers(0, 99999):05d}.png") for place in places]
        try:
            entries, names = explain_all(Path(__file__).parent, images, explain_parts)
        except UserError:
            return True
        assert len(entries) == len(images) and names
        assert not [entry for entry in entries if contradicts(entry.path, entry.label)]
        for entry in entries:
            assert entry.label in (0, 1) and bool(entry.generator) == bool(entry.label)
            assert entry.split in ("train", "val", "test", "")
        return False

    assert 10 < in_time(700, 1.0, case) < 690


def test_150_trees_on_disk_through_every_detector(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    names = ["real", "fake", "train", "A_B", "00000", "gan"]

    def case(number: int) -> bool:
        root = tmp_path / str(number)
        for _ in range(rng.integers(1, 5)):
            folder = root.joinpath(*rng.choice(names, rng.integers(0, 4)))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / str(rng.choice(["00012.png", "A_B_0001.jpg", "x.tar", "y.parquet", "n.txt"]))).write_bytes(b"?")
        if rng.random() < 0.3:
            (root / "identity_CelebA.txt").write_bytes(rng.integers(0, 256, 30, dtype=np.uint8).tobytes())
        hints = Hints(
            layout=str(rng.choice(["auto", "auto", "ffhq", "lfw", "celeba", "tar", "generators", "one_label"]))
        )
        try:
            listing = read_layout(root, hints)
        except UserError as error:
            return one_line(error)
        assert listing.entries or listing.problems
        return False

    assert in_time(150, 2.0, case) < 150


def tables(tmp_path: Path) -> dict[str, bytes]:
    rows = [{"path": "a.png", "label": "real"}, {"path": "b.png", "label": 1, "split": "test"}]
    with tarfile.open(tmp_path / "whole.tar", "w") as archive:
        for name, content in {"0.png": b"x", "0.cls": b"1", "1.png": b"y", "1.json": b'{"label": 0}'}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    good = tmp_path / "good"
    for kind in ("real", "fake"):
        (good / kind).mkdir(parents=True)
        assert cv2.imwrite(str(good / kind / f"{kind}.png"), NOISE if kind == "real" else 255 - NOISE)
    index_folder(good, tmp_path / "whole_manifest.csv")
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"image": [b"x", b"y"], "label": [0, 1]}), tmp_path / "whole.parquet")
    return {
        "list.csv": b"path,label\na.png,0\nb.png,fake\n",
        "list.json": json.dumps(rows).encode(),
        "x.tar": (tmp_path / "whole.tar").read_bytes(),
        "manifest.csv": (tmp_path / "whole_manifest.csv").read_bytes(),
        "x.parquet": (tmp_path / "whole.parquet").read_bytes(),
    }


def test_250_damaged_lists_shards_and_manifests(tmp_path: Path) -> None:
    wholes = tables(tmp_path)
    rng = np.random.default_rng(5)

    def case(number: int) -> bool:
        name = list(wholes)[number % len(wholes)]
        folder = tmp_path / f"case{number}"
        folder.mkdir()
        path = folder / name
        path.write_bytes(mutate(wholes[name], rng))
        try:
            if name.startswith("list"):
                read_list(folder, path)
            elif name.startswith("manifest"):
                read_manifest(path)
            else:
                listing = read_layout(folder)
                assert all(entry.label in (0, 1) for entry in listing.entries)
        except UserError as error:
            return one_line(error)
        return False

    assert 10 < in_time(250, 5.0, case) < 250


@pytest.mark.slow
def test_a_manifest_whose_content_was_damaged_is_never_taken_for_whole(tmp_path: Path) -> None:
    whole = tables(tmp_path)["manifest.csv"].decode()
    sound = read_manifest(tmp_path / "whole_manifest.csv")
    rng = np.random.default_rng(6)
    refused = 0
    for number in range(100):
        data = list(whole)
        place = int(rng.integers(whole.index("\n") + 1, len(data) - 1))
        data[place] = str(rng.choice(list("0123456789abcdef,x")))
        path = tmp_path / f"damaged{number}.csv"
        path.write_text("".join(data))
        try:
            found = read_manifest(path)
        except UserError:
            refused += 1
        else:
            assert found.equals(sound)  # the same character was drawn
    assert refused > 80
