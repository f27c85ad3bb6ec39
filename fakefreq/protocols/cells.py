"""Cells: one training each, known by what they compute, on which data, with which code."""

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from fakefreq.config.run import TrainConfig
from fakefreq.errors import UserError, choose

# Stands for the cell's seed in the path of a teacher, so that each seed learns from a teacher of its own.
SEED = "{seed}"

# The parts of the package that decide a cell's scores. Statistics and reports made of scores are not among them.
DECIDING = ("data", "models", "spectra", "train", "config", "evaluate/score.py", "evaluate/metrics.py")


@cache
def code_digest() -> str:
    """Return 8 hexadecimal digits that change with the code that decides a cell's scores.

    Comments, layout and docstrings do not count.
    """
    root = Path(__file__).parents[1]
    files = [root / part for part in DECIDING if (root / part).is_file()]
    files += [file for part in DECIDING if (root / part).is_dir() for file in (root / part).rglob("*.py")]
    digest = hashlib.sha256()
    for file in sorted(files):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]
        digest.update(f"{file.relative_to(root).as_posix()}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()[:8]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@dataclass(frozen=True)
class Cell:
    """One detector trained on one training set with one seed on one track.

    Args:
        label: the detector's name in tables; several labels may be one registered detector, differently configured.
        track: `raw` or `aligned`.
        manifest: the track's table of images.
        data: the manifest's digest.
        config: everything else that decides the weights; its `train_on` is the training set.
    """

    label: str
    track: str
    manifest: Path
    data: str
    config: TrainConfig

    @property
    def train_on(self) -> str:
        """The training set as tables name it."""
        return "+".join(self.config.train_on)

    @property
    def digest(self) -> str:
        """12 hexadecimal digits of configuration and data: cells of one digest are the same training.

        What is left at its default does not enter, so that a new setting of a later version leaves cells their names;
        a default that changes is caught by the digest of the code, and by `is_of`.
        """
        plain = TrainConfig().what_it_computes()
        chosen = {name: value for name, value in self.config.what_it_computes().items() if value != plain[name]}
        text = json.dumps({"train": chosen, "data": self.data}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def stem(self) -> str:
        """The folder's name without the digest of the code."""
        words = f"{self.config.detector}-{self.train_on}"
        safe = "".join(letter if letter.isalnum() or letter in "-_+." else "_" for letter in words)[:80]
        return f"{safe}-s{self.config.seed}-{self.digest}"

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.stem}-{code_digest()}"

    def of_pixels(self) -> "Cell":
        """The cell of `pixel` with this one's settings: what the other streams are made of is left at its default."""
        plain = TrainConfig()
        unused = ("spectrum", "fusion", "condition", "lattice_pairs", "lattice_simulated", "false_alarms")
        changes: dict[str, Any] = {name: getattr(plain, name) for name in unused}
        return replace(self, label="pixel", config=replace(self.config, detector="pixel", **changes))

    def is_of(self, stored: dict[str, Any]) -> bool:
        """Whether the record of a finished cell is of this configuration and these images."""
        try:
            config = TrainConfig.from_dict(stored["train"])
        except UserError:
            return False  # a setting that this version does not know
        return stored["data"] == self.data and config.what_it_computes() == self.config.what_it_computes()

    def facts(self) -> dict[str, Any]:
        """The columns that every table starts with."""
        return {
            "cell": self.name,
            "detector": self.label,
            "train_on": self.train_on,
            "seed": self.config.seed,
            "track": self.track,
        }


def parse_detectors(words: Sequence[str], settings: Sequence[str], base: TrainConfig) -> dict[str, TrainConfig]:
    """Return label -> configuration.

    Args:
        words: registered names, or LABEL=NAME for a second configuration of one.
        settings: LABEL.FIELD=VALUE, with a field of `TrainConfig`.
        base: what is not set otherwise.

    Raises:
        UserError: a label twice, an unknown label, field or value.

    >>> found = parse_detectors(["pixel", "fft=two_stream"], ["fft.spectrum=fft", "fft.crop=96"], TrainConfig())
    >>> [(label, config.detector, config.spectrum, config.crop) for label, config in found.items()]
    [('pixel', 'pixel', 'block_dct', 224), ('fft', 'two_stream', 'fft', 96)]
    """
    found: dict[str, TrainConfig] = {}
    for word in words:
        label, _, name = word.partition("=")
        if not label or label in found:
            raise UserError(f"--detectors names {label or word!r} twice or not at all; it takes NAME or LABEL=NAME")
        found[label] = replace(base, detector=name or label)
    if not found:
        raise UserError("--detectors takes one or more names; got none")
    for setting in settings:
        left, equals, text = setting.partition("=")
        label, dot, name = left.rpartition(".")
        if not equals or not dot:
            raise UserError(f"--set takes LABEL.FIELD=VALUE, such as two_stream.spectrum=fft; got {setting!r}")
        choose(label, list(found), "detector label", "--set")
        found[label] = replace(found[label], **{name: _parsed(name, text)})
    return found


def _parsed(name: str, text: str) -> Any:
    """Read a field's value as its default's type."""
    fixed = {"detector", "train_on", "seed"}
    choose(name, [item.name for item in fields(TrainConfig) if item.name not in fixed], "field", "--set LABEL.FIELD")
    default = getattr(TrainConfig(), name)
    if isinstance(default, bool):
        return {"true": True, "false": False}[choose(text.lower(), ["true", "false"], "value", f"--set LABEL.{name}")]
    try:
        if isinstance(default, int | float):
            return type(default)(text)
        if isinstance(default, tuple):
            return tuple(part for part in text.split(",") if part)
    except ValueError as error:
        raise UserError(f"--set: {name} takes a number; got {text!r}") from error
    return text


def expand(
    training_sets: Sequence[tuple[str, ...]],
    detectors: Mapping[str, TrainConfig],
    seeds: Sequence[int],
    track: str,
    manifest: Path,
    data: str,
) -> list[Cell]:
    """Return the cells of a track: training set by training set, seed by seed, all detectors of a pair together.

    In this order the first cells that are done can be compared already.
    """
    return [
        Cell(
            label,
            track,
            manifest,
            data,
            replace(config, seed=seed, train_on=chosen, teacher=config.teacher.replace(SEED, str(seed))),
        )
        for seed in seeds
        for chosen in training_sets
        for label, config in detectors.items()
    ]
