"""The named protocols: which generators train, and which images test."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fakefreq.errors import UserError, choose

if TYPE_CHECKING:
    import pandas as pd

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

    def select(self, scores: "pd.DataFrame") -> "pd.DataFrame":
        """Return the rows of a cell's scores that this protocol needs: all of validation, and what it reports on."""
        return scores[(scores["role"] == "val") | self._is_reported(scores)]

    def images(self, manifest: "pd.DataFrame", train_on: tuple[str, ...]) -> "pd.DataFrame":
        """Return the rows of a manifest that this protocol tests a training set on."""
        from fakefreq.train.selection import select_evaluation

        rows = select_evaluation(manifest, train_on)
        return rows[self._is_reported(rows)]

    def _is_reported(self, rows: "pd.DataFrame") -> "pd.Series[bool]":
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
