"""What an image's place or a table's row says of it, and in which words."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
