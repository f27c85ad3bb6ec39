"""Against imbalance: which rows make an epoch, how often each comes, and what it weighs; and the random streams."""

from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fakefreq.errors import UserError, choose


class ImageStreams:
    """Gives the stream of any image without making a generator, which takes a twentieth of the time of decoding.

    Philox is a function of a key and a counter (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
    seed and epoch are the key, position, row and kind the upper words of the counter. Streams never overlap, and no
    stream depends on which process draws from it, or on what was drawn before.
    """

    def __init__(self) -> None:
        self._bits = np.random.Philox(0)
        self._generator = np.random.Generator(self._bits)
        self._start = self._bits.state

    def at(self, seed: int, epoch: int, position: int, row: int, kind: int = 0) -> np.random.Generator:
        """Return a generator at the start of a stream; it is the same object each time, moved.

        Args:
            seed: of the run.
            epoch: not negative, as all the others.
            position: within the epoch.
            row: of the table.
            kind: tells apart what is drawn for one image.
        """
        start = self._start
        start["state"]["key"][:] = seed % 2**64, epoch
        start["state"]["counter"][:] = 0, position, row, kind
        # Nothing is left over from the stream before.
        start["buffer_pos"], start["has_uint32"], start["uinteger"] = 4, 0, 0
        self._bits.state = start
        return self._generator


Sampling = Literal["none", "oversample", "undersample", "weighted"]
BalanceBy = Literal["class", "generator"]
SAMPLINGS: list[str] = list(get_args(Sampling))

Rows = NDArray[np.int64]


class EpochOrder:
    """The row positions of each epoch's training images.

    `oversample` repeats images until all strata are even and none is left out; `undersample` leaves images out,
    others each epoch, until all are even and none is repeated; `weighted` draws as many images as there are, with
    replacement. The two classes always come to the same number.

    Args:
        rows: of a manifest, with label and, where balanced by generator, generator and source.
        sampling: how.
        by: what is evened out: the classes, or also, within them, each generator (fakes) and source (reals).
        seed: of all draws.

    Raises:
        UserError: balancing rows that hold one class only.
    """

    def __init__(self, rows: pd.DataFrame, sampling: Sampling = "none", by: BalanceBy = "class", seed: int = 0) -> None:
        choose(sampling, SAMPLINGS, "sampling", "--balance")
        self.sampling, self.seed, self.total = sampling, seed, len(rows)
        self._parts = [] if sampling == "none" else list(strata(rows, by).values())
        self._shares = [] if sampling == "none" else _shares(rows, by)
        self._counts = _epoch_counts([len(part) for part in self._parts], self._shares, sampling, self.total)

    def __len__(self) -> int:
        """Images an epoch."""
        return self.total if self.sampling in ("none", "weighted") else int(sum(self._counts))

    def rows(self, epoch: int) -> Rows:
        """Row positions in the epoch's order, the same for the same seed and epoch."""
        random = np.random.default_rng((self.seed, epoch))
        if self.sampling == "none":
            return random.permutation(self.total)
        if self.sampling == "weighted":
            chosen = random.choice(len(self._parts), self.total, p=self._shares)
            drawn = np.empty(self.total, dtype=np.int64)
            for number, part in enumerate(self._parts):
                drawn[chosen == number] = random.choice(part, int((chosen == number).sum()))
            return drawn
        # Whole permutations first: no image comes a second time before every image of its stratum has come once.
        rows = [
            np.concatenate([random.permutation(part) for _ in range(-(-int(size) // len(part)))])[: int(size)]
            for part, size in zip(self._parts, self._counts, strict=True)
        ]
        return random.permutation(np.concatenate(rows))


def split_step(count: int, parts: int, ranks: int) -> tuple[Rows, Rows]:
    """Return, for each image of a step, the part that it goes through the network in, and the process that reads it.

    Parts follow each other, and so do the shares of the processes within each of them: neither changes with the other.

    Args:
        count: images of the step.
        parts: wanted; there are fewer where a part would hold a single image, as no batch norm can.
        ranks: processes.

    >>> part, rank = split_step(7, parts=2, ranks=2)
    >>> part.tolist(), rank.tolist()
    ([0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0, 1])
    """
    sizes = _even(count, min(parts, max(1, count // 2)))
    part = np.repeat(np.arange(len(sizes)), sizes)
    rank = np.concatenate([np.repeat(np.arange(ranks), _even(int(size), ranks)) for size in sizes])
    return part, rank


def _even(count: int, parts: int) -> Rows:
    return count // parts + (np.arange(parts) < count % parts)


def strata(rows: pd.DataFrame, by: BalanceBy) -> dict[tuple[int, str], Rows]:
    """Return (label, name) -> row positions; the name is empty by class, else the generator or the source.

    Raises:
        UserError: one class only.
    """
    labels = rows["label"].to_numpy(dtype=np.int64)
    if len(set(labels.tolist())) < 2:
        raise UserError("balancing needs training images of both classes; use --balance none, or mend the split")
    if by == "class":
        names = np.full(len(rows), "")
    else:
        names = np.where(labels == 1, rows["generator"].astype(str), rows["source"].astype(str))
    keys = sorted(set(zip(labels.tolist(), names.tolist(), strict=True)))
    return {(label, name): np.flatnonzero((labels == label) & (names == name)) for label, name in keys}


def _shares(rows: pd.DataFrame, by: BalanceBy) -> list[float]:
    """Each stratum's share of a balanced epoch: half for each class, even within it."""
    labels = [label for label, _ in strata(rows, by)]
    return [0.5 / labels.count(label) for label in labels]


def _epoch_counts(sizes: list[int], shares: list[float], sampling: Sampling, total: int) -> list[float]:
    """Images an epoch of each stratum: exact for over- and undersampling, expected for weighted."""
    if sampling == "weighted":
        return [total * share for share in shares]
    if sampling == "none" or not sizes:
        return [float(size) for size in sizes]
    # The epoch whose shares just hold the largest stratum whole, or just exhaust the smallest.
    lengths = [size / share for size, share in zip(sizes, shares, strict=True)]
    length = max(lengths) if sampling == "oversample" else min(lengths)
    # A share that is no whole number is cut; a stratum is never emptied by it.
    return [float(max(1, int(length * share + 1e-9))) for share in shares]


def class_weights(labels: np.ndarray) -> np.ndarray:
    """Return the loss weight of each class, inverse to its share and of mean 1 over the images.

    >>> class_weights(np.array([0, 0, 0, 1])).round(3).tolist()
    [0.667, 2.0]
    """
    counts = np.bincount(labels.astype(np.int64), minlength=2)
    if counts.min() == 0:
        raise UserError("class weights need images of both classes")
    weights: np.ndarray = counts.sum() / (2.0 * counts)
    return weights


def image_weights(rows: pd.DataFrame, by: BalanceBy = "class") -> NDArray[np.float64]:
    """Return the loss weight of each row: strata weigh alike within a class and the classes alike, of mean 1.

    By class these are `class_weights` of each row's label.

    >>> table = pd.DataFrame({"label": [0, 1, 1, 1], "generator": ["", "a", "b", "b"], "source": "s"})
    >>> image_weights(table, "generator").tolist()
    [2.0, 1.0, 0.5, 0.5]
    """
    weights = np.empty(len(rows))
    for part, share in zip(strata(rows, by).values(), _shares(rows, by), strict=True):
        weights[part] = len(rows) * share / len(part)
    return weights


def effective_counts(
    rows: pd.DataFrame, sampling: Sampling = "none", by: BalanceBy = "generator", weighted_loss: bool = False
) -> pd.DataFrame:
    """Return what an epoch holds of each generator and source.

    Args:
        rows: the training rows of a manifest.
        sampling: of the epoch.
        by: what is balanced.
        weighted_loss: the loss is weighted by `image_weights`.

    Returns:
        A table with label, name (generator or source), images, epoch (images an epoch, expected where they are
        drawn), repeats (epoch by images), and effective (epoch times the loss weight).
    """
    order = EpochOrder(rows, sampling, by)
    found = strata(rows, "generator")
    weights = image_weights(rows, by) if weighted_loss else np.ones(len(rows))
    often = np.ones(len(rows))
    for part, count in zip(order._parts, order._counts, strict=True):
        often[part] = count / len(part)
    table = [
        (label, name, len(part), often[part].sum(), often[part].mean(), (often * weights)[part].sum())
        for (label, name), part in found.items()
    ]
    return pd.DataFrame(table, columns=["label", "name", "images", "epoch", "repeats", "effective"])


def sampling_lines(counts: pd.DataFrame) -> list[str]:
    """Return `effective_counts` as lines for the user."""
    return [
        f"  {'fake' if row['label'] else 'real'} {row['name'] or '(unnamed)'}: {row['images']} images, "
        f"{row['epoch']:.0f} an epoch, each {row['repeats']:.2f} times, effective {row['effective']:.0f}"
        for _, row in counts.iterrows()
    ]
