"""A logit as a sum of terms: what each stream adds, by the rule of the detector's own fusion."""

import itertools
import math

import torch
from torch import Tensor

from fakefreq.models import Detector
from fakefreq.models.fusion import LATTICE, ConcatFusion, EvidenceFusion, Fusion, GatedFusion, LogitSumFusion

Features = dict[str, Tensor]
# What the terms of `EvidenceFusion` are called.
LEARNT, EVIDENCE = "learnt log(1 - rho + rho e^(a p + b))", "lattice log(1 - pi + pi e^l)"
# What no stream has brought.
CONSTANT = "constant"


def learnt_logit(detector: Detector, features: Features) -> Tensor:
    """Return the logit that gradients trained, (B,): p of `EvidenceFusion`, and of all others the logit itself.

    Pixels and spectra are explained by it: where the learnt term is flat, the gradient of the logit says nothing.

    Args:
        detector: in evaluation mode.
        features: as `Detector.features` gives them.
    """
    head = detector.head
    if isinstance(head, EvidenceFusion) and len(features) > 1:
        learnt: Tensor = head.learnt({name: value for name, value in features.items() if name != LATTICE})[0]
        return learnt
    return head(features)  # type: ignore[no-any-return]


def split_logit(head: Fusion, features: Features) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return terms that add up to the logit, and what they were made of, all (B,).

    A sum of logits is its parts, and a gated one its gated parts; a linear layer is split by its columns. `film` and
    `attention` mix the streams, so their terms are Shapley values (Shapley 1953, "A value for n-person games"): the
    mean change of the logit when a stream's features join those of others, over all orders; a silent stream's features
    are 0. What is left when all are silent is the constant.

    Args:
        head: in evaluation mode.
        features: stream name -> (B, width).
    """
    if isinstance(head, EvidenceFusion):
        return _split_evidence(head, features)
    if isinstance(head, GatedFusion):
        return _split_gated(head, features)
    if isinstance(head, LogitSumFusion):
        return dict(head.fuse(features)[1]), {}
    if isinstance(head, ConcatFusion):
        columns = torch.split(head.decide.weight[0], [value.shape[1] for value in features.values()])
        terms = {name: value @ column for (name, value), column in zip(features.items(), columns, strict=True)}
        return {**terms, CONSTANT: head.decide.bias.detach().expand(len(next(iter(features.values()))))}, {}
    return _shapley(head, features), {}


def _split_evidence(head: EvidenceFusion, features: Features) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    learnt = {name: value for name, value in features.items() if name != LATTICE}
    if not learnt:
        return {LATTICE: features[LATTICE].squeeze(1)}, {}
    total, parts = head.learnt(learnt)
    if LATTICE not in features:
        return dict(parts), {}
    likelihood = features[LATTICE].squeeze(1)
    terms = {LEARNT: head.of_learnt(total), EVIDENCE: head.of_lattice(likelihood)}
    made_of = {f"p of {name}": part for name, part in parts.items()} if len(parts) > 1 else {}
    scale, offset = (value.expand_as(total) for value in head.scale)
    shares = {"rho": head.learnt_share[0].exp(), "pi": 1 - head.lattice_share[1].exp()}
    made_of |= {"p": total, "a": scale, "b": offset, "l": likelihood}
    return terms, made_of | {name: value.expand_as(total) for name, value in shares.items()}


def _split_gated(head: GatedFusion, features: Features) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    parts = head.fuse(features)[1]
    gates = torch.sigmoid(head.gate(torch.cat(list(features.values()), dim=1)))
    leader, *others = parts
    terms = {leader: parts[leader], **{name: gates[:, place] * parts[name] for place, name in enumerate(others)}}
    return terms, {f"gate of {name}": gates[:, place] for place, name in enumerate(others)}


def _shapley(head: Fusion, features: Features) -> dict[str, Tensor]:
    names = list(features)

    def value(speaking: frozenset[str]) -> Tensor:
        heard = {name: part if name in speaking else torch.zeros_like(part) for name, part in features.items()}
        return head(heard)  # type: ignore[no-any-return]

    subsets = (itertools.combinations(names, size) for size in range(len(names) + 1))
    values = {speaking: value(speaking) for some in subsets for speaking in map(frozenset, some)}
    terms = {name: torch.zeros_like(values[frozenset()]) for name in names}
    for speaking, without in values.items():
        for name in set(names) - speaking:
            weight = 1 / (len(names) * math.comb(len(names) - 1, len(speaking)))
            terms[name] = terms[name] + weight * (values[speaking | {name}] - without)
    return {**terms, CONSTANT: values[frozenset()]}
