"""Every fusion decides by all streams, honours its own promise, and silences streams as it says."""

import pytest
import torch
from torch import Tensor

from fakefreq.errors import UserError
from fakefreq.models import create_detector
from fakefreq.models.fusion import FUSIONS, FiLMFusion, make_fusion

WIDTHS = {"pixel": 12, "frequency": 6}


def features(seed: int = 0, count: int = 5) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, width, generator=generator) for name, width in WIDTHS.items()}


@pytest.mark.parametrize("kind", sorted(FUSIONS))
def test_every_stream_moves_the_logit_after_one_step(kind: str) -> None:
    torch.manual_seed(0)
    fusion = make_fusion(kind, WIDTHS, dropout=0.0)
    optimizer = torch.optim.SGD(fusion.parameters(), 0.1)
    for _ in range(2):  # FiLM starts blind to the other stream, by design, and sees it after a step
        optimizer.zero_grad()
        torch.nn.functional.softplus(fusion(features())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    values = {name: value.requires_grad_() for name, value in features(1).items()}
    logits = fusion(values)
    assert logits.shape == (5,)
    logits.sum().backward()
    assert all(value.grad is not None and value.grad.abs().max() > 0 for value in values.values())


@pytest.mark.parametrize("kind", sorted(FUSIONS))
def test_an_image_is_judged_without_regard_to_its_batch(kind: str) -> None:
    fusion = make_fusion(kind, WIDTHS, dropout=0.3, stream_dropout=0.3).eval()
    whole = fusion(features())
    alone = torch.cat([fusion({name: value[i : i + 1] for name, value in features().items()}) for i in range(5)])
    torch.testing.assert_close(whole, alone)


@pytest.mark.parametrize("kind", ["logit_sum", "gated"])
def test_the_parts_are_the_streams_own_logits(kind: str) -> None:
    fusion = make_fusion(kind, WIDTHS, dropout=0.0)
    values = features()
    fused, parts = fusion.outputs(values)
    assert sorted(parts) == sorted(WIDTHS)
    other = {**values, "frequency": values["frequency"] + 1.0}
    moved, moved_parts = fusion.outputs(other)
    torch.testing.assert_close(moved_parts["pixel"], parts["pixel"])
    assert not torch.allclose(moved, fused)
    gate = (fused - parts["pixel"]) / parts["frequency"]
    assert ((gate > 0) & (gate <= 1 + 1e-5)).all()


def test_film_begins_as_the_leading_stream_alone() -> None:
    fusion = FiLMFusion(WIDTHS, 0.0)
    torch.testing.assert_close(fusion(features()), fusion({**features(), "frequency": torch.zeros(5, 6)}))


def test_a_silenced_stream_leaves_another_to_speak() -> None:
    torch.manual_seed(0)
    fusion = make_fusion("concat", WIDTHS, dropout=0.0, stream_dropout=0.6).train()
    kept = fusion._silence({name: torch.ones(4000, width) for name, width in WIDTHS.items()})
    speaks = torch.stack([value[:, 0] for value in kept.values()])
    assert (speaks.sum(dim=0) >= 1).all()
    # Of two streams silenced with .6 each, an image keeps both with .16, else exactly one.
    assert abs(float((speaks.sum(dim=0) == 2).float().mean()) - 0.16) < 0.03
    assert all(bool((value[:, 0] == 1).any() and (value[:, 0] == 0).any()) for value in kept.values())


def test_unknown_fusions_and_impossible_shares_are_refused() -> None:
    with pytest.raises(UserError, match=r"unknown fusion 'sum'.*logit_sum"):
        make_fusion("sum", WIDTHS, 0.0)
    with pytest.raises(UserError, match="--stream-dropout is 1.0"):
        make_fusion("concat", WIDTHS, 0.0, 1.0)


@pytest.mark.parametrize("kind", sorted(FUSIONS))
def test_a_detector_with_this_fusion_trains_and_says_so_in_its_config(kind: str) -> None:
    detector = create_detector("two_stream", "test_resnet", "block_dct", "none", fusion=kind, stream_dropout=0.1)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    logits, parts = detector.training_outputs(images)
    torch.stack([logits, *parts.values()]).sum().backward()  # type: ignore[no-untyped-call]
    untouched = [name for name, parameter in detector.named_parameters() if parameter.grad is None]
    assert not untouched
    assert detector.config.fusion == kind
