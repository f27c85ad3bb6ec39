"""What the name of one folder says: real or fake, train, val or test, a wrapper, a video, a generator."""

import functools
import re
from typing import NamedTuple

from fakefreq.data.index.values import FAKE_NAMES, REAL_NAMES, SPLIT_NAMES
from fakefreq.data.index.walk import word_set

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
