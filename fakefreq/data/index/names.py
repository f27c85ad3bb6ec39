"""What names and columns say of an image: real or fake, its part, a wrapper, a video, a generator; and the listing."""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fakefreq.data.images.headers.formats import ImageError
from fakefreq.data.index.walk import word_set

REAL_NAMES = frozenset({"0_real", "real", "reals", "0", "nature"})
FAKE_NAMES = frozenset({"1_fake", "fake", "fakes", "1", "ai"})
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val"}
SPLIT_NAMES |= {"test": "test", "testing": "test"}


class Entry(NamedTuple):
    """One image and what its place says of it.

    Args:
        path: the file, or `shard.tar::member`, or `table.parquet::row`.
        label: 0 real, 1 fake.
        generator: its maker; empty for reals.
        subset: which reals stand against which fakes; empty where all generators share the reals.
        split: `train`, `val`, `test`, or empty where nothing says.
        group: identity, person or parent photo; empty where nothing says.
        source: where a real comes from; empty where nothing says.
        pair: where the same file name, without its ending, is the same group; for images whose group nothing says.
    """

    path: str
    label: int
    generator: str
    subset: str = ""
    split: str = ""
    group: str = ""
    source: str = ""
    pair: str = ""


class Columns(NamedTuple):
    """What the columns of a user's table are called, and which values of its label mean what.

    Args:
        path: the image file; not for tables that hold the images themselves.
        label: real or fake.
        generator: of fakes.
        source: of reals.
        group: identity, person or parent photo.
        split: train, val or test.
        real_values: values of the label, beside 0 and real, that mean real; `*` is every value that nothing names.
            Where 1 is among them, 0 means fake.
        fake_values: values of the label, beside 1 and fake, that mean fake; likewise.
    """

    path: str = "path"
    label: str = "label"
    generator: str = "generator"
    source: str = "source"
    group: str = "group"
    split: str = "split"
    real_values: Sequence[str] = ()
    fake_values: Sequence[str] = ()

    def parse_label(self, value: Any) -> int | None:
        """Return 0 for a value that means real, 1 for one that means fake, else None.

        >>> Columns(fake_values=("gan",)).parse_label("GAN"), Columns().parse_label(0), Columns().parse_label("dog")
        (1, 0, None)
        """
        text = text_of(value).lower()
        # The user's own words come first: a data set may call its fakes 0.
        real, fake = ({word.lower() for word in words} for words in (self.real_values, self.fake_values))
        for label, words, other in ((0, real, fake), (1, fake, real)):
            if text in words or (text in ("0", "1") and "01".replace(text, "") in other and text not in other):
                return label
        if text in REAL_NAMES | FAKE_NAMES:
            return int(text in FAKE_NAMES)
        return None if not text else 0 if "*" in real else 1 if "*" in fake else None

    @property
    def named(self) -> dict[str, str]:
        """The flags whose columns the user named, flag -> column."""
        fields = ("path", "label", "generator", "source", "group", "split")
        return {
            f"--{field}-column": getattr(self, field)
            for field in fields
            if getattr(self, field) != Columns()[fields.index(field)]
        }

    def entry(self, path: str, row: Mapping[str, Any], label: int, split: str = "") -> Entry:
        """Make an entry of a row whose label is known.

        Raises:
            ValueError: a split of an unknown name; the message is the reason.
        """
        given = text_of(row.get(self.split))
        if given and given.lower() not in SPLIT_NAMES:
            raise ValueError(f"its split {given!r} is none of train, val and test")
        generator = (text_of(row.get(self.generator)) or "unknown") if label else ""
        return Entry(
            path,
            label,
            generator,
            "",
            SPLIT_NAMES[given.lower()] if given else split,
            text_of(row.get(self.group)),
            text_of(row.get(self.source)),
        )


def text_of(value: Any) -> str:
    """Return a table's cell as text: empty for what is missing, `7` for the float that a table made of 7."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


LAYOUTS = {
    "generators": "<generator>[/<class>]/{0_real,1_fake}/*",
    "genimage": "<generator>[/<archive>]/{train,val}/{ai,nature}/*",
    "shared_reals": "real/* beside fake/<generator>/*",
    "two_classes": "{real,fake}/* (also {0,1} and {0_real,1_fake})",
    "celeba": "CelebA: *.jpg with identity_CelebA.txt or list_eval_partition.txt",
    "lfw": "LFW: <person>/<person>_0001.jpg",
    "ffhq": "FFHQ: <thousand>/<number>.png, five digits each",
    "image_folder": "<class>/* with --real-classes",
    "one_label": "anything, with --label real|fake",
    "metadata": "metadata.csv or .jsonl beside the images, with columns of paths and labels",
    "tar": "WebDataset shards: *.tar",
    "parquet": "Parquet tables with image bytes: *.parquet",
    "list": "a CSV, TSV, text or JSON list, with --list",
}


class Listing(NamedTuple):
    """The images of a folder.

    Args:
        layout: a key of `LAYOUTS`.
        entries: sorted by path.
        others: number of other files, which were passed over.
        problems: what cannot be used and why: members with unsafe names, folders that cannot be listed, ...
        notes: what was understood that a user may want to see.
    """

    layout: str
    entries: list[Entry]
    others: int = 0
    problems: Sequence[ImageError] = ()
    notes: Sequence[str] = ()


class Hints(NamedTuple):
    """What the user says where folders do not.

    Args:
        layout: a key of `LAYOUTS`, or `auto`.
        label: of all images: `real`, `fake`, or empty.
        generator: of the fakes, where no folder or column names another.
        source: of all reals, where nothing else names it.
        real_classes: folders of `image_folder` that hold photographs; each is a source, every other one a generator.
        columns: what the columns of a list, of a Parquet table or the keys of a shard's JSON are called.
        overrule: what may contradict the label without stopping: `folders` (their names), `columns` (other columns).
    """

    layout: str = "auto"
    label: str = ""
    generator: str = ""
    source: str = ""
    real_classes: Sequence[str] = ()
    columns: Columns = Columns()
    overrule: Sequence[str] = ()


# Whole names that say real or fake; with words such as `images` or `sequences` beside them they do so too.
_REAL_WORDS = frozenset({"real", "reals", "original", "originals", "pristine", "authentic", "genuine", "nature"})
_FAKE_WORDS = frozenset(
    {"fake", "fakes", "synthetic", "synthesis", "synthesized", "synthesised", "generated", "manipulated", "forged"}
    | {"tampered", "deepfake", "deepfakes", "ai"}
)
# These decide in any company (`Celeb-real`, `fake_stylegan`); the others only beside words that say nothing.
_STRONG = frozenset({"real", "reals", "fake", "fakes", "synthesis"})
# Words of folders that hold whole data sets: `fake_detection_dataset` does not say that all below it is fake.
_OF_SETS = word_set(
    "and or vs versus detect detection detector dataset datasets db bench benchmark challenge classification"
)
# Published programs whose names begin with "real".
_NO_LABEL = re.compile(r"real[-_ ]?(esrgan|sr|basicvsr|vis\w*)\b", re.IGNORECASE)
_SAYS_NOTHING = word_set(
    "image images img imgs face faces photo photos picture pictures pic pics frame frames video videos sequence "
    "sequences set sets data crop crops cropped aligned folder folders class classes raw png jpg jpeg"
)
_WRAPPERS = _SAYS_NOTHING | word_set(
    "dataset datasets archive archives download downloads trainset testset valset release final all main kaggle "
    "deepfake deepfakes cifake forensynths cnn synth genimage artifact deepfakebench df40 df dfdc dfd celeb "
    "celebdf faceforensics ff openforensics wilddeepfake diff 140k 100k rvf10k rvf140k cnndetection forensics rgb "
    "my the of"
)
_GENERATOR = re.compile(
    r"gan\b|gan\d|gans?[-_]|diffus|flow\b|vae|ddpm|ddim|ldm|\bsd|sdxl|glide|dall-?e|midjourney|flux|imagen\b|\badm\b|"
    r"vqdm|wukong|swap|reenact|nerf|stargan|pggan|sg\d|transformer|\bdit\b|\bsit\b|pixart",
    re.IGNORECASE,
)
_VIDEO = re.compile(
    r"\d+([-_]+\d+)+|id\d+([-_]+(id)?\d+)*|(vid|video|clip|seq|sequence|scene)[-_ ]?\d+|\d+(_\d+)?__\w+", re.IGNORECASE
)
_HOLDS_VIDEOS = frozenset({"frames", "videos", "clips", "sequences"})
_STEPS = frozenset({"c0", "c23", "c40", "raw", "frames", "videos", "clips", "sequences"})


class Said(NamedTuple):
    """What a folder's name says.

    Args:
        label: 0 real, 1 fake, or None.
        split: `train`, `val`, `test`, or empty.
        name: what is left of it: a generator, a source, a category; empty where nothing is left.
        is_number: the label is a bare 0 or 1, which says nothing among further numbers.
    """

    label: int | None
    split: str
    name: str
    is_number: bool = False


@functools.lru_cache(maxsize=65536)
def read_name(part: str) -> Said:
    """Return what a folder's name says.

    >>> read_name("training_fake")
    Said(label=1, split='train', name='', is_number=False)
    >>> read_name("stylegan_fake")
    Said(label=1, split='', name='stylegan', is_number=False)
    >>> read_name("real_vs_fake").label, read_name("Real-ESRGAN").label, read_name("Celeb-real")
    (None, None, Said(label=0, split='', name='Celeb', is_number=False))
    """
    folded = part.lower().strip()
    if folded in SPLIT_NAMES:
        return Said(None, SPLIT_NAMES[folded], "")
    if folded in REAL_NAMES or folded in FAKE_NAMES:
        return Said(int(folded in FAKE_NAMES), "", "", folded in ("0", "1"))
    words = [word for word in re.split(r"[^a-z0-9]+", _NO_LABEL.sub("", folded)) if word]
    spoken = {word: int(word in _FAKE_WORDS) for word in words if word in _REAL_WORDS | _FAKE_WORDS}
    rest = [word for word in words if word not in spoken and word not in SPLIT_NAMES and word not in _SAYS_NOTHING]
    rest = [word for word in rest if not (spoken and word.isdigit())]
    if set(words) & _OF_SETS or len(set(spoken.values())) != 1 or (rest and not set(spoken) & _STRONG):
        spoken = {}
    split = ""
    splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    if len(splits) == 1 and (spoken or not rest or words[-1] in SPLIT_NAMES):
        split = splits.pop()
    if not spoken and not split:
        return Said(None, "", part)
    kept = "" if not rest else "".join(_without(part, {*spoken, *(SPLIT_NAMES if split else ())}))
    return Said(next(iter(spoken.values())) if spoken else None, split, kept)


def _without(part: str, words: set[str]) -> str:
    pieces = [piece for piece in re.split(r"([^A-Za-z0-9]+)", part) if piece.lower() not in words]
    return "".join(pieces).strip("-_ .")


def is_wrapper(part: str) -> bool:
    """Whether a name is of a folder that only holds the set, such as `Dataset` or `real_vs_fake`.

    >>> is_wrapper("Dataset"), is_wrapper("real-vs-fake"), is_wrapper("140k_faces"), is_wrapper("stylegan")
    (True, True, True, False)
    """
    words = [word for word in re.split(r"[^a-z0-9]+", part.lower()) if word]
    both = bool(set(words) & {"real", "reals"}) and bool(set(words) & {"fake", "fakes", "deepfake", "deepfakes"})
    of_set = any(word in ("dataset", "datasets", "testset", "trainset") for word in words)
    nothing = all(word in _WRAPPERS or word.isdigit() or re.fullmatch(r"v\d+", word) for word in words)
    return both or of_set or (nothing and not all(word.isdigit() for word in words))


def looks_like_a_generator(part: str) -> bool:
    """Whether a name has the words of generators in it, so that it is no category such as `car`."""
    return _GENERATOR.search(part) is not None


def is_video(part: str) -> bool:
    """Whether a name is one of a video's in a data set of videos; a bare number may be, and is not counted here.

    >>> [is_video(name) for name in ("000_003", "id0_id16_0001", "01_02__outside__ABC", "video_7", "000", "stylegan2")]
    [True, True, True, True, False, False]
    """
    return _VIDEO.fullmatch(part) is not None


def holds_videos(part: str) -> bool:
    """Whether each folder in one of this name is a video: `frames` in DeepfakeBench, `videos`."""
    return part.lower() in _HOLDS_VIDEOS


def is_step(part: str) -> bool:
    """Whether a name is of a level that says nothing of what made an image: `c23`, `frames`, `images`."""
    return part.lower() in _STEPS or part.lower() in _SAYS_NOTHING
