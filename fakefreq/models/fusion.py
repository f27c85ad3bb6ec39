"""How the streams' features become one logit."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fakefreq.errors import UserError, choose

# The stream whose logit is evidence by itself.
LATTICE = "lattice"
# rho and pi of `EvidenceFusion`: docs/selection.md tells how they were chosen, and what had been seen of
# test folders before.
LEARNT_SHARE = 0.6
LATTICE_SHARE = 0.15
# The logarithm of a share that is none.
SILENT = -1e4


class Rows(NamedTuple):
    """Which rows of a training batch this process holds, where others hold the rest.

    Args:
        total: rows of all of them.
        own: (B,), int64, places of the rows that are here.
    """

    total: int
    own: Tensor

    def to(self, device: torch.device) -> "Rows":
        """Return the same on another device."""
        return Rows(self.total, self.own.to(device))


class Fusion(nn.Module):
    """Base of all fusions.

    Args:
        widths: stream name -> number of its features; the first stream leads where a fusion tells them apart.
        dropout: probability of dropping a feature, in [0, 1).
        stream_dropout: probability in training that an image's whole stream is silenced, in [0, 1); one stream
            always stays, so that each must be able to decide alone.

    Shape:
        - input: stream name -> (B, width)
        - output: (B,) logits
    """

    def __init__(self, widths: dict[str, int], dropout: float, stream_dropout: float = 0.0) -> None:
        super().__init__()
        self.widths, self.stream_dropout = dict(widths), stream_dropout
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Return the fused logits, (B,)."""
        return self.outputs(features)[0]

    def outputs(self, features: dict[str, Tensor], rows: Rows | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the fused logits and, where the streams decide for themselves too, each stream's own, all (B,).

        Args:
            features: by stream.
            rows: what they are of a batch that several processes share, None where this one holds all of it. What
                chance drops depends on the whole batch alone.
        """
        return self.fuse(self._passed(features, rows))

    def fuse(self, features: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what `outputs` gives, of features that dropout has passed."""
        raise TypeError(f"{type(self).__name__} has to say how it fuses {', '.join(features)}")

    def _passed(self, features: dict[str, Tensor], rows: Rows | None) -> dict[str, Tensor]:
        """What dropout lets through, of whole streams and of features."""
        return {name: self._dropped(value, rows) for name, value in self._silence(features, rows).items()}

    def _dropped(self, value: Tensor, rows: Rows | None) -> Tensor:
        if rows is None or not self.training or self.dropout.p == 0:
            return self.dropout(value)  # type: ignore[no-any-return]
        # As torch draws for a whole batch, of which these are some rows.
        kept = 1 - self.dropout.p
        return value * value.new_empty(rows.total, value.shape[1]).bernoulli_(kept).div_(kept)[rows.own]

    def _silence(self, features: dict[str, Tensor], rows: Rows | None = None) -> dict[str, Tensor]:
        if not self.training or self.stream_dropout == 0 or len(features) < 2:
            return features
        first = next(iter(features.values()))
        count = len(first) if rows is None else rows.total
        silent = torch.rand(len(features), count, device=first.device) < self.stream_dropout
        # Where all would fall silent, one that is drawn at random speaks.
        speaker = torch.randint(len(features), (count,), device=first.device)
        silent[speaker, torch.arange(count, device=first.device)] &= ~silent.all(dim=0)
        if rows is not None:
            silent = silent[:, rows.own]
        return {
            name: value.masked_fill(silent[number].unsqueeze(1), 0.0)
            for number, (name, value) in enumerate(features.items())
        }


class ConcatFusion(Fusion):
    """One linear layer over all features side by side."""

    def __init__(self, widths: dict[str, int], dropout: float, stream_dropout: float = 0.0) -> None:
        super().__init__(widths, dropout, stream_dropout)
        self.decide = nn.Linear(sum(widths.values()), 1)

    def fuse(self, features: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return self.decide(torch.cat(list(features.values()), dim=1)).squeeze(1), {}


class LogitSumFusion(Fusion):
    """Each stream decides by itself and the logits are added up, as of independent evidence."""

    def __init__(self, widths: dict[str, int], dropout: float, stream_dropout: float = 0.0) -> None:
        super().__init__(widths, dropout, stream_dropout)
        self.decide = nn.ModuleDict({name: nn.Linear(width, 1) for name, width in widths.items()})

    def fuse(self, features: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        parts = {name: self.decide[name](value).squeeze(1) for name, value in features.items()}
        return torch.stack(list(parts.values())).sum(dim=0), parts


class EvidenceFusion(Fusion):
    """What the learnt streams say and what the lattice says, as log likelihood ratios of mixtures, added up.

    s = log(1 - rho + rho e^x) + log(1 - pi + pi e^l), x = a p + b, p the learnt logits' sum, l the lattice's.

    A fake carries what the learnt streams know with probability rho, and a lattice with probability pi. So a missing
    trace is no evidence of a photograph: each term is bounded below, and a strong one decides. Off its training a
    network's logit is large and negative for photographs and fakes alike, and the bound takes that away. Without a
    lattice the order of images is the learnt streams' own. a and b are fitted on validation images
    (`fakefreq.train.evidence`).

    In training the lattice is silent, and the learnt streams learn as they would alone. Of the lattice alone s is l.

    Attributes:
        scale: a and b.
        learnt_share: log(rho) and log(1 - rho).
        lattice_share: log(pi) and log(1 - pi).
    """

    scale: Tensor
    learnt_share: Tensor
    lattice_share: Tensor

    def __init__(self, widths: dict[str, int], dropout: float, stream_dropout: float = 0.0) -> None:
        super().__init__(widths, dropout, stream_dropout)
        learnt = {name: width for name, width in widths.items() if name != LATTICE}
        self.decide = nn.ModuleDict({name: nn.Linear(width, 1) for name, width in learnt.items()})
        self.register_buffer("scale", torch.tensor([1.0, 0.0]))
        # Until `calibrate` rho is 1 and pi 0: the learnt logit as it is.
        self.register_buffer("learnt_share", torch.tensor([0.0, SILENT]))
        self.register_buffer("lattice_share", torch.tensor([SILENT, 0.0]))

    def calibrate(self, scale: float, offset: float) -> None:
        """Set a, above 0, and b; from here on the learnt term is bounded below, and the lattice speaks."""
        self.scale.copy_(torch.tensor([scale, offset]))
        self.learnt_share.copy_(torch.tensor([math.log(LEARNT_SHARE), math.log(1 - LEARNT_SHARE)]))
        self.lattice_share.copy_(torch.tensor([math.log(LATTICE_SHARE), math.log(1 - LATTICE_SHARE)]))

    def outputs(self, features: dict[str, Tensor], rows: Rows | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        learnt = {name: value for name, value in features.items() if name != LATTICE}
        if not learnt:
            return features[LATTICE].squeeze(1), {}
        total, parts = self.learnt(self._passed(learnt, rows))
        # Of one stream the part is the sum: it has no loss of its own.
        own = parts if len(parts) > 1 else {}
        if self.training or LATTICE not in features:
            return total, own
        return self.of_learnt(total) + self.of_lattice(features[LATTICE].squeeze(1)), own

    def learnt(self, features: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum p of the learnt streams' logits, and each of them, all (B,)."""
        parts = {name: self.decide[name](value).squeeze(1) for name, value in features.items()}
        return torch.stack(list(parts.values())).sum(dim=0), parts

    def of_learnt(self, logit: Tensor) -> Tensor:
        """Return log(1 - rho + rho e^(a p + b))."""
        return _log_of_sum(self.learnt_share[1], self.learnt_share[0] + self.scale[0] * logit.float() + self.scale[1])

    def of_lattice(self, lattice: Tensor) -> Tensor:
        """Return log(1 - pi + pi e^l)."""
        return _log_of_sum(self.lattice_share[1], self.lattice_share[0] + lattice)


def _log_of_sum(first: Tensor, second: Tensor) -> Tensor:
    """log(e^first + e^second), in operations that ONNX has."""
    return torch.maximum(first, second) + torch.log1p(torch.exp(-(first - second).abs()))


class GatedFusion(LogitSumFusion):
    """As the sum of logits, but every other stream is weighted by a gate in (0, 1) that all features open.

    The leading stream has no gate: a second one that knows nothing can then be shut out image by image.
    """

    def __init__(self, widths: dict[str, int], dropout: float, stream_dropout: float = 0.0) -> None:
        super().__init__(widths, dropout, stream_dropout)
        total, others = sum(widths.values()), len(widths) - 1
        # Features differ in scale by stream; without the norm the larger ones alone would work the gate.
        self.gate = nn.Sequential(nn.LayerNorm(total), nn.Linear(total, max(others, 1)))

    def fuse(self, features: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        _, parts = super().fuse(features)
        names = list(parts)
        gates = torch.sigmoid(self.gate(torch.cat(list(features.values()), dim=1)))
        fused = parts[names[0]]
        for number, name in enumerate(names[1:]):
            fused = fused + gates[:, number] * parts[name]
        return fused, parts


class FiLMFusion(Fusion):
    """The other streams scale and shift the leading stream's features (Perez et al. 2018, "FiLM").

    Scale and shift start at one and zero: training begins with the leading stream alone.
    """

    def __init__(self, widths: dict[str, int], dropout: float, stream_dropout: float = 0.0) -> None:
        super().__init__(widths, dropout, stream_dropout)
        (self.leader, leading), *others = widths.items()
        self.normalise = nn.LayerNorm(leading)
        self.modulate = nn.Linear(sum(width for _, width in others), 2 * leading)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        self.decide = nn.Linear(leading, 1)

    def fuse(self, features: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        others = torch.cat([value for name, value in features.items() if name != self.leader], dim=1)
        scale, shift = self.modulate(others).chunk(2, dim=1)
        modulated = self.normalise(features[self.leader]) * (1 + scale) + shift
        return self.decide(modulated).squeeze(1), {}


class AttentionFusion(Fusion):
    """Each stream is a token; the leading stream's token attends to all of them (Vaswani et al. 2017)."""

    dimension, heads = 128, 4

    def __init__(self, widths: dict[str, int], dropout: float, stream_dropout: float = 0.0) -> None:
        super().__init__(widths, dropout, stream_dropout)
        self.project = nn.ModuleDict(
            {
                name: nn.Sequential(nn.LayerNorm(width), nn.Linear(width, self.dimension))
                for name, width in widths.items()
            }
        )
        self.attend = nn.MultiheadAttention(self.dimension, self.heads, batch_first=True)
        self.decide = nn.Sequential(nn.LayerNorm(self.dimension), nn.Linear(self.dimension, 1))

    def fuse(self, features: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        tokens = torch.stack([self.project[name](value) for name, value in features.items()], dim=1)
        leader = tokens[:, :1]
        attended = leader + self.attend(leader, tokens, tokens, need_weights=False)[0]
        return self.decide(attended[:, 0]).squeeze(1), {}


FUSIONS: dict[str, Callable[[dict[str, int], float, float], Fusion]] = {
    "attention": AttentionFusion,
    "concat": ConcatFusion,
    "evidence": EvidenceFusion,
    "film": FiLMFusion,
    "gated": GatedFusion,
    "logit_sum": LogitSumFusion,
}


def make_fusion(kind: str, widths: dict[str, int], dropout: float, stream_dropout: float = 0.0) -> Fusion:
    """Build a fusion by name; a single stream needs none and gets one linear layer.

    Args:
        kind: a key of `FUSIONS`.
        widths: stream name -> number of its features.
        dropout: of features, in [0, 1).
        stream_dropout: of whole streams, in [0, 1).

    Raises:
        UserError: an unknown kind, or a probability out of range.

    >>> fusion = make_fusion("gated", {"pixel": 8, "frequency": 4}, dropout=0.0)
    >>> logits, parts = fusion.outputs({"pixel": torch.zeros(2, 8), "frequency": torch.zeros(2, 4)})
    >>> logits.shape, sorted(parts)
    (torch.Size([2]), ['frequency', 'pixel'])
    """
    choose(kind, sorted(FUSIONS), "fusion", "--fusion")
    for flag, value in (("--dropout", dropout), ("--stream-dropout", stream_dropout)):
        if not 0 <= value < 1:
            raise UserError(f"{flag} is {value}; it takes 0 or more and less than 1")
    chosen = EvidenceFusion if LATTICE in widths else FUSIONS[kind] if len(widths) > 1 else ConcatFusion
    return chosen(widths, dropout, stream_dropout)
