"""Images of generators and controls, written in the `<generator>/{0_real,1_fake}` layout with a manifest."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from fakefreq.data.history import History, bring_to_size, draw_quality, encode
from fakefreq.errors import UserError
from fakefreq.files import atomic_path, read_json, write_json
from fakefreq.zoo.controls import CONTROLS
from fakefreq.zoo.photos import Photo
from fakefreq.zoo.registry import Generator, Sampler, Translator, find_generator
from fakefreq.zoo.wheels import WHEELS, Say, fetch_wheels, silent

RECIPE = "zoo.json"
MANIFEST = "manifest.csv"

# Paired generators halve or quarter an image inside; whole multiples keep fake and photo of one size.
_MULTIPLE = 4


@dataclass(frozen=True)
class Subset:
    """The photos of one generator or control, and how many fakes stand against them.

    Attributes:
        name: a generator of the registry or a control; also the folder's name.
        photos: the reals; a paired generator makes one fake of each.
        fakes: images of a generator that starts from latents; ignored otherwise.
    """

    name: str
    photos: Sequence[Photo]
    fakes: int = 0


@dataclass(frozen=True)
class _Row:
    """One image to be: where it goes and what the manifest says of it."""

    path: str
    label: int
    generator: str
    source: str
    subset: str
    group: str
    seed: int
    package: str
    version: str
    package_sha256: str
    history: str
    quality: int


def build_subsets(
    folder: str | Path, subsets: Sequence[Subset], history: History, seed: int = 0, say: Say = silent
) -> Path:
    """Make every image that is not there yet, then write the manifest.

    Reals, fakes and controls go through one history. Paired generators work on the photo after the history's
    crop and resize; a control's processing comes after them too: whatever it leaves is not resized away.

    Args:
        folder: where to write; images of an interrupted build with the same recipe are kept.
        subsets: what to make; names must differ.
        history: one for all.
        seed: of latents and of drawn qualities.
        say: told what is fetched and made.

    Returns:
        The manifest's path.

    Raises:
        UserError: the folder holds another build, a generator cannot be had, or a photo or a generator's
            output is smaller than the history's size.
    """
    folder = Path(folder)
    names = [subset.name for subset in subsets]
    if len(set(names)) < len(names):
        raise UserError(f"a generator or control is named twice: {', '.join(names)}; name each once")
    generators = {name: find_generator(name) for name in names if name not in CONTROLS}
    for generator in generators.values():
        if generator.size is not None and history.size is not None and generator.size < history.size:
            raise UserError(
                f"{generator.name} makes {generator.size}x{generator.size}, less than size {history.size}; "
                f"lower --size to {generator.size}, or leave {generator.name} out of --generators"
            )
    _check_recipe(folder, subsets, history, seed)
    wheels = dict.fromkeys(package for generator in generators.values() for package in generator.packages)
    fetch_wheels([WHEELS[package] for package in wheels], say)
    rows: list[_Row] = []
    for subset in subsets:
        rows += _write_reals(folder, subset, history, seed)
        if subset.name in generators:
            rows += _write_fakes(folder, subset, generators[subset.name], history, seed, say)
        say(f"{subset.name}: {sum(row.subset == subset.name for row in rows)} images")
    table = pd.DataFrame([vars(row) for row in rows]).sort_values("path")
    with atomic_path(folder / MANIFEST) as temporary:
        table.to_csv(temporary, index=False)
    return folder / MANIFEST


def _check_recipe(folder: Path, subsets: Sequence[Subset], history: History, seed: int) -> None:
    """A folder holds one build: images of another history or seed must never mix with it unseen."""
    recipe: dict[str, Any] = {"history": str(history), "seed": seed}
    recipe["subsets"] = {
        subset.name: {"photos": [photo.name for photo in subset.photos], "fakes": subset.fakes} for subset in subsets
    }
    path = folder / RECIPE
    if path.exists():
        found = read_json(path, "the recipe of the build")
        if found != recipe:
            changed = [key for key in recipe if not isinstance(found, dict) or found.get(key) != recipe[key]]
            raise UserError(f"{folder} holds a build with other {', '.join(changed)}; choose another --out")
        return
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no build of the zoo; choose another --out")
    write_json(path, recipe)


def _plan_row(subset: str, label: int, name: str, history: History, seed: int, **facts: str) -> _Row:
    path = f"{subset}/{'1_fake' if label else '0_real'}/{name}{history.suffix}"
    wheel = WHEELS[facts["package"]] if facts.get("package") else None
    return _Row(
        path=path,
        label=label,
        generator=subset if label else "",
        source=facts.get("source", ""),
        subset=subset,
        group=facts["group"],
        seed=seed,
        package=wheel.name if wheel else "",
        version=wheel.version if wheel else "",
        package_sha256=wheel.sha256 if wheel else "",
        history=str(history),
        # The same law for both classes, but a draw of its own for each image.
        quality=draw_quality(history, path, seed),
    )


def _write_reals(folder: Path, subset: Subset, history: History, seed: int) -> Iterator[_Row]:
    control = CONTROLS.get(subset.name)
    for photo in tqdm(subset.photos, desc=f"{subset.name} reals", unit="image", leave=False):
        row = _plan_row(subset.name, 0, photo.name, history, seed, group=photo.name, source=photo.source)
        if not (folder / row.path).exists():
            pixels = _parent(photo, history)
            _write(folder, row, control(pixels) if control else pixels, history)
        yield row


def _write_fakes(
    folder: Path, subset: Subset, generator: Generator, history: History, seed: int, say: Say
) -> list[_Row]:
    package = generator.packages[0] if generator.packages else ""
    facts = {"package": package}
    if generator.paired:
        rows = [
            _plan_row(subset.name, 1, photo.name, history, seed, group=photo.name, source=photo.source, **facts)
            for photo in subset.photos
        ]
    else:
        names = [f"{subset.name}_{seed}_{index:06d}" for index in range(subset.fakes)]
        rows = [_plan_row(subset.name, 1, name, history, seed, group=name, **facts) for name in names]
    missing = [index for index, row in enumerate(rows) if not (folder / row.path).exists()]
    if missing:
        from fakefreq.zoo.weights import one_thread  # torch: only when something is to be made

        network = generator.load(say)
        made = (
            _translate(network, subset.photos, missing, history)
            if generator.paired
            else _sample(network, missing, generator.block, seed)
        )
        with one_thread():
            for index, pixels in tqdm(made, f"{subset.name} fakes", len(missing), unit="image", leave=False):
                _write(folder, rows[index], bring_to_size(pixels, history), history)
    return rows


def _translate(
    network: Translator, photos: Sequence[Photo], wanted: Iterable[int], history: History
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    for index in wanted:
        yield index, network.translate(_parent(photos[index], history)[None])[0]


def _sample(network: Sampler, wanted: Sequence[int], block: int, seed: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Whole blocks are made even where one image is missing: the last bit may depend on the batch's size."""
    for number in sorted({index // block for index in wanted}):
        indices = range(number * block, (number + 1) * block)
        images = network.sample_at(indices, seed)
        yield from ((index, images[index - indices.start]) for index in wanted if index in indices)


def _parent(photo: Photo, history: History) -> NDArray[np.uint8]:
    try:
        pixels = bring_to_size(photo.pixels(), history)
    except UserError as error:
        raise UserError(f"photo {photo.name}: {error}") from error
    if history.size is not None:
        return pixels
    height, width = (side - side % _MULTIPLE for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width])


def _write(folder: Path, row: _Row, pixels: NDArray[np.uint8], history: History) -> None:
    with atomic_path(folder / row.path) as temporary:
        temporary.write_bytes(encode(pixels, history, row.quality))
