"""What a benchmark is to do: protocols, detectors, seeds and tracks; and the cells that this means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from fakefreq.benchmarking.cells import Cell, expand
from fakefreq.config.learner import check_seed
from fakefreq.config.run import TrainConfig
from fakefreq.data.manifests import manifest_digest
from fakefreq.errors import UserError, choose
from fakefreq.evaluate import DEFAULT_DRAWS
from fakefreq.evaluate.bootstrap import MINIMUM_DRAWS
from fakefreq.train.selection import generators_of

Trains = Literal["chosen", "one", "each", "all_but_one", "all"]
TestRows = Literal["held_out", "test_split"]


@dataclass(frozen=True)
class Protocol:
    """A question about generalisation, as training sets and test rows.

    Args:
        name: on the command line and in the tables.
        question: what it answers, in a sentence.
        trains: a training set of the `chosen` generators together, of all where none is chosen; of `one` chosen
            generator; of `each` generator in its turn; of `all_but_one`, each left out in its turn; of `all`.
        test_rows: `held_out`: of generators that training never touched every image (none of a group that training
            or validation has seen), of the others the test split. `test_split`: the test split only, so that all
            training sets meet the same images.
    """

    name: str
    question: str
    trains: Trains
    test_rows: TestRows

    def training_sets(self, generators: Sequence[str], train_on: Sequence[str] = ()) -> list[tuple[str, ...]]:
        """Return the training sets, each a sorted tuple of generators.

        Args:
            generators: all in the manifest.
            train_on: of `chosen`, the generators that it trains on (one training set of them all); of `one_to_all` too
                (one training set each).

        Raises:
            UserError: too few generators, or a choice that the protocol does not take or that is missing.

        >>> PROTOCOLS["leave_one_out"].training_sets(["began", "dcgan", "stylegan"])
        [('dcgan', 'stylegan'), ('began', 'stylegan'), ('began', 'dcgan')]
        >>> PROTOCOLS["one_to_all"].training_sets(["began", "dcgan"], ["dcgan"])
        [('dcgan',)]
        """
        known = sorted(set(generators))
        if not known:
            raise UserError("the manifest has no fake image, so the protocol is empty: there is nothing to train on")
        for name in train_on:
            choose(name, known, "generator", "--train-on")
        if self.trains == "chosen":
            return [tuple(sorted(set(train_on or known)))]
        if self.trains == "one":
            if not train_on:
                raise UserError(f"the protocol {self.name} needs --train-on; the manifest has: {', '.join(known)}")
            return [(name,) for name in sorted(set(train_on))]
        if self.trains == "each":
            return [(name,) for name in known]
        if self.trains == "all":
            return [tuple(known)]
        if len(known) < 2:
            raise UserError(f"the protocol {self.name} needs two or more generators; the manifest has {known[0]} only")
        return [tuple(name for name in known if name != left_out) for left_out in known]

    def select(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a cell's scores that this protocol needs: all of validation, and what it reports on."""
        return scores[(scores["role"] == "val") | self._is_reported(scores)]

    def images(self, manifest: pd.DataFrame, train_on: tuple[str, ...]) -> pd.DataFrame:
        """Return the rows of a manifest that this protocol tests a training set on."""
        from fakefreq.train.selection import select_evaluation

        rows = select_evaluation(manifest, train_on)
        return rows[self._is_reported(rows)]

    def _is_reported(self, rows: pd.DataFrame) -> "pd.Series[bool]":
        return (rows["split"] == "test") | (self.test_rows == "held_out")


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("chosen", "Trained on the chosen generators together, what is found of all?", "chosen", "held_out"),
        Protocol("one_to_all", "Trained on one generator, what is found of all others?", "one", "held_out"),
        Protocol("leave_one_out", "Trained on all but one, what is found of that one?", "all_but_one", "held_out"),
        Protocol("matrix", "Trained on each alone, what is found of each?", "each", "test_split"),
        Protocol("all_seen", "Trained on all, what is the in-domain ceiling?", "all", "test_split"),
    )
}
"""Name -> protocol."""


def find_protocol(name: str) -> Protocol:
    """Return a protocol by name.

    Raises:
        UserError: there is none of this name.
    """
    return PROTOCOLS[choose(name, list(PROTOCOLS), "protocol", "--protocol")]


TRACKS = {
    "raw": "bytes as they are",
    "native": "nothing resized, one JPEG law for all",
    "aligned": "one size and one codec for all",
}
"""Name of a track -> what was done to its images."""


@dataclass(frozen=True)
class Plan:
    """What a benchmark is to do.

    Args:
        protocols: names of protocols.
        detectors: label -> configuration.
        seeds: one training of every cell for each.
        tracks: of `TRACKS`, name -> manifest.
        train_on: what the protocols `chosen` and `one_to_all` train on.
        baseline: label that the others are compared with.
        draws: bootstrap draws.
        prevalence: that the precision is stated for.
        allow_biased: train although the audit of the training images fails; every table and the page then say why.
        spectra: images of each class of each generator that mean spectra are made of; 0: none are made.
    """

    protocols: tuple[str, ...]
    detectors: Mapping[str, TrainConfig]
    seeds: tuple[int, ...]
    tracks: Mapping[str, Path]
    train_on: tuple[str, ...] = ()
    baseline: str = ""
    draws: int = DEFAULT_DRAWS
    prevalence: float = 0.01
    allow_biased: bool = False
    spectra: int = 200

    def check(self) -> None:
        """Refuse what cannot work before anything is trained.

        Raises:
            UserError: names the flag to change.
        """
        from fakefreq.models.registry import list_detectors
        from fakefreq.train.train import check_settings

        if not self.protocols:
            raise UserError("--protocol takes one or more names; got none")
        for name in self.protocols:
            find_protocol(name)
        uses = [name for name, protocol in PROTOCOLS.items() if protocol.trains in ("chosen", "one")]
        if self.train_on and not set(uses) & set(self.protocols):
            raise UserError(
                f"--train-on is {' '.join(self.train_on)}, which --protocol {' '.join(self.protocols)} does not use; "
                f"leave it empty, or give --protocol {' or '.join(uses)}"
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError("--seeds takes one or more different whole numbers")
        for seed in self.seeds:
            check_seed(seed, "--seeds")
        if self.baseline not in self.detectors:
            raise UserError(f"--baseline is {self.baseline!r}; it takes one of: {', '.join(self.detectors)}")
        if not 0 < self.prevalence < 1:
            raise UserError(f"--prevalence is {self.prevalence}; it takes more than 0 and less than 1")
        if self.draws < MINIMUM_DRAWS:
            raise UserError(f"--draws takes {MINIMUM_DRAWS} or more bootstrap draws; got {self.draws}")
        if self.spectra < 0:
            raise UserError(f"--spectra takes 0 or more images; got {self.spectra}")
        known = list_detectors()
        for label, config in self.detectors.items():
            if config.detector not in known:
                # Said by each of its cells too, but a slip of the pen should not wait for the first of them.
                raise UserError(f"--detectors: there is no detector {config.detector!r} ({label}); {', '.join(known)}")
            check_settings(config)


@dataclass(frozen=True)
class Job:
    """One training set of one protocol on one track: the cells that stand side by side in its tables."""

    protocol: str
    track: str
    train_on: tuple[str, ...]
    cells: tuple[Cell, ...]


def make_jobs(plan: Plan, manifests: Mapping[str, pd.DataFrame]) -> list[Job]:
    """Expand a plan; cells that protocols share are the same cell."""
    jobs = []
    for track, manifest in manifests.items():
        data = manifest_digest(manifest)
        for name in plan.protocols:
            for chosen in find_protocol(name).training_sets(generators_of(manifest), plan.train_on):
                cells = expand([chosen], plan.detectors, plan.seeds, track, plan.tracks[track], data)
                jobs.append(Job(name, track, chosen, tuple(cells)))
    return jobs


def make_plan(
    tracks: Mapping[str, Path | None],
    *,
    protocols: Sequence[str],
    detectors: Sequence[str],
    seeds: Sequence[int],
    config: TrainConfig,
    settings: Sequence[str] = (),
    only: Sequence[str] = (),
    baseline: str = "",
    **others: Any,
) -> Plan:
    """Return the plan that the flags of `fakefreq benchmark` mean.

    Args:
        tracks: of `TRACKS`, name -> manifest; None where there is none.
        protocols: names.
        detectors: NAME, or LABEL=NAME.
        seeds: one training of every cell for each.
        config: what all detectors share; its `train_on` is the plan's.
        settings: LABEL.FIELD=VALUE.
        only: tracks to run; empty: all that have a manifest.
        baseline: a label; the first by default.
        others: the plan's other fields.

    Raises:
        UserError: a track that is unknown or has no manifest; a detector or setting that does not exist.
    """
    there = {name: Path(path) for name, path in tracks.items() if path is not None}
    for name in (*there, *only):
        choose(name, list(TRACKS), "track", "--tracks")
    for name in only:
        if name not in there:
            raise UserError(f"--tracks {name} needs --{name}, the manifest of its images")
    configs = parse_detectors(detectors, settings, replace(config, train_on=()))
    return Plan(
        tuple(dict.fromkeys(protocols)),
        configs,
        tuple(seeds),
        {name: path for name, path in there.items() if not only or name in only},
        tuple(config.train_on),
        baseline or next(iter(configs)),
        **others,
    )


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
    [('pixel', 'pixel', 'lattice', 224), ('fft', 'two_stream', 'fft', 96)]
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
