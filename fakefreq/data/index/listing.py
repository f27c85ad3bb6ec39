"""What a folder's layout comes to: its images, and what the user says where folders do not."""

from collections.abc import Sequence
from typing import NamedTuple

from fakefreq.data.images.headers.facts import ImageError
from fakefreq.data.index.values import Columns, Entry

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
