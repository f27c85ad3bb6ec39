"""What a step of training does to loss, gradient and weights, option by option."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fakefreq.config.run import TrainConfig
from fakefreq.data.loading.loader import Batch
from fakefreq.errors import UserError
from fakefreq.models import Detector, create_detector
from fakefreq.models.fusion import Rows
from fakefreq.train.optim import AveragedDetector, frozen_parameters, hold_still, make_optimizer, stages_of
from fakefreq.train.step import Stepper, mix

CONFIG = TrainConfig(spectrum="block_dct", backbone="test_efficientnet", pretrained="none", crop=64, dropout=0.0)


def make(name: str = "two_stream", backbone: str = "test_efficientnet") -> Detector:
    torch.manual_seed(0)
    return create_detector(
        name, backbone=backbone, pretrained="none", dropout=0.0, fusion="concat", spectrum="block_dct"
    )


def head(detector: Detector) -> nn.Linear:
    layer = detector.head.decide
    assert isinstance(layer, nn.Linear)
    return layer


def batch(size: int = 4) -> Batch:
    images = torch.randint(0, 256, (size, 3, 64, 64), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    labels = (torch.arange(size) % 2).float()
    return Batch(images, labels, torch.arange(size), torch.zeros(size, dtype=torch.bool))


def stepper(detector: Detector, config: TrainConfig, average: AveragedDetector | None = None) -> Stepper:
    return Stepper(detector, config, make_optimizer(detector, config), torch.ones(2), average)


def test_smoothed_labels_have_their_least_loss_at_the_smoothed_odds() -> None:
    loss = stepper(make("frequency"), replace(CONFIG, label_smoothing=0.2)).classification_loss
    logits = torch.linspace(-6, 6, 1201)
    losses = torch.stack([loss(value[None], torch.ones(1)) for value in logits])
    assert torch.sigmoid(logits[losses.argmin()]).item() == pytest.approx(0.9, abs=2e-3)


def test_class_weights_scale_each_class_alone() -> None:
    plain = stepper(make("frequency"), CONFIG)
    weighted = stepper(make("frequency"), CONFIG)
    weighted.weights = torch.tensor([3.0, 0.5])
    for label, factor in ((0.0, 3.0), (1.0, 0.5)):
        logit, target = torch.tensor([0.7]), torch.tensor([label])
        ratio = weighted.classification_loss(logit, target) / plain.classification_loss(logit, target)
        assert ratio.item() == pytest.approx(factor)


def test_a_clipped_step_is_no_longer_than_the_limit() -> None:
    detector = make()
    config = replace(CONFIG, clip_gradient=0.01)
    clipped = stepper(detector, config)
    clipped.gradients(batch(), 1, 1)
    clipped.update()
    norm = torch.stack([p.grad.norm() for p in detector.parameters() if p.grad is not None]).norm()
    assert norm.item() == pytest.approx(0.01, rel=1e-3)


def test_mixing_is_convex_and_labels_follow_their_pixels() -> None:
    images = torch.stack([torch.full((3, 4, 4), value, dtype=torch.uint8) for value in (0, 255, 0, 255, 255)])
    targets = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0])
    for seed in range(20):
        pixels, mixed = mix(images, targets, 0.4, np.random.default_rng(seed))
        # Here a pixel's value is its image's label, so after any mixing the two must still agree.
        torch.testing.assert_close(pixels.mean(dim=(1, 2, 3)), mixed)
        assert (mixed >= 0).all() and (mixed <= 1).all()
    again = mix(images, targets, 0.4, np.random.default_rng(3))
    torch.testing.assert_close(again, mix(images, targets, 0.4, np.random.default_rng(3)), rtol=0, atol=0)


def test_the_average_is_the_exponential_one_and_starts_fast() -> None:
    detector = make("frequency")
    average = AveragedDetector(detector, 0.9)
    parameter = head(detector).bias
    expected = parameter.item()
    for step in range(1, 200):
        with torch.no_grad():
            parameter.fill_(float(step % 7))
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * float(step % 7)
        average.update(detector)
    assert head(average.detector).bias.item() == pytest.approx(expected, rel=1e-5)
    assert not average.detector.training


def test_the_average_keeps_what_is_infinite_until_it_is_fitted() -> None:
    detector = create_detector("two_stream", backbone="test_efficientnet", spectrum="lattice", pretrained="none")
    average = AveragedDetector(detector, 0.9)
    average.update(detector)
    assert average.detector.state_dict()["streams.lattice.null"].isinf().all()


def test_what_follows_the_weights_never_changes_them() -> None:
    plain, followed = make(), make()
    average = AveragedDetector(followed, 0.5)
    for detector, follower in ((plain, None), (followed, average)):
        steps = stepper(detector, CONFIG, follower)
        for step in (1, 2, 3):
            steps.gradients(batch(), 1, step)
            steps.update()
    ours, theirs = plain.state_dict(), followed.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(head(average.detector).weight, head(followed).weight)


def test_bf16_reaches_the_network_and_the_loss_stays_in_float32() -> None:
    detector = make()
    seen: list[torch.dtype] = []
    pixel = detector.streams["pixel"]
    first = next(module for module in pixel.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    loss, _ = stepper(detector, replace(CONFIG, precision="bf16")).loss(batch().images, batch().labels)
    assert seen == [torch.bfloat16]
    assert loss.dtype == torch.float32
    exact = stepper(make(), CONFIG).gradients(batch(), 1, 1).loss
    assert loss.item() == pytest.approx(exact, rel=0.05)


class _OwnLosses(Detector):
    """The stream's own logit is ten times the fused one."""

    def training_outputs(self, images: Tensor, rows: Rows | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        assert rows is None
        logits = self(images)
        return logits, {"frequency": 10 * logits}


def test_auxiliary_losses_are_added_with_their_weight() -> None:
    plain = make("frequency")
    detector = _OwnLosses(plain.config, {"frequency": plain.streams["frequency"]})
    base = stepper(detector, replace(CONFIG, auxiliary=0.0))
    loss, logits = base.loss(batch().images, batch().labels)
    own = base.classification_loss(10 * logits, batch().labels)
    both = stepper(detector, replace(CONFIG, auxiliary=0.3)).gradients(batch(), 1, 1).loss
    assert both == pytest.approx(loss.item() + 0.3 * own.item(), rel=1e-5)


def test_compile_hands_over_the_whole_network_and_saves_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    def compile_(function: object) -> object:
        given.append(function)
        return function

    monkeypatch.setattr(torch, "compile", compile_)
    detector = make("frequency")
    names = set(detector.state_dict())
    stepper(detector, replace(CONFIG, compile=True))
    assert given == [detector.training_outputs]
    assert set(detector.state_dict()) == names


@pytest.mark.parametrize(
    ("backbone", "stages"),
    [("test_resnet", 5), ("test_efficientnet", 6), ("test_vit", 7)],
)
def test_stages_hold_every_parameter_of_the_backbone_once(backbone: str, stages: int) -> None:
    detector = make("pixel", backbone)
    found = stages_of(detector)
    assert len(found) == stages
    flat = [id(parameter) for stage in found for parameter in stage]
    assert sorted(flat) == sorted(id(parameter) for parameter in detector.pretrained_parameters())


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["2", "all"])
def test_frozen_stages_keep_weights_and_statistics_and_the_others_learn(freeze: str) -> None:
    detector = make("pixel", "test_resnet")
    frozen = frozen_parameters(detector, freeze)
    before = copy.deepcopy(detector.state_dict())
    config = replace(CONFIG, backbone="test_resnet", freeze=freeze)
    detector.train()
    hold_still(detector, frozen)
    steps = stepper(detector, config)
    for step in (1, 2):
        steps.gradients(batch(), 1, step)
        steps.update()
    after = detector.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    backbone = {name.removeprefix("streams.pixel.network.") for name in moved if "network" in name}
    if freeze == "all":
        assert not backbone
    else:
        assert backbone
        assert not [name for name in backbone if name.startswith(("conv1.", "bn1.", "layer1."))]
        assert any(name.startswith("layer2.") for name in backbone)
    assert any(name.startswith("head.") for name in moved)


def test_lower_stages_learn_slower_by_the_decay_each() -> None:
    config = replace(CONFIG, layer_decay=0.5, learning_rate=8e-4)
    detector = make()
    optimizer = make_optimizer(detector, config)
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    stages = stages_of(detector)
    rates = [{rate_of[id(p)] for p in stage} for stage in stages]
    assert [len(values) for values in rates] == [1] * len(stages)
    assert [values.pop() for values in rates] == pytest.approx([8e-4 * 0.5**n for n in range(len(stages))][::-1])
    assert {rate_of[id(p)] for p in detector.new_parameters()} == {config.head_learning_rate}
    assert len(rate_of) == len(list(detector.parameters()))


def test_more_frozen_stages_than_there_are_is_an_error() -> None:
    with pytest.raises(UserError, match="--freeze is 9; test_resnet has 5 stages"):
        frozen_parameters(make("pixel", "test_resnet"), "9")
    with pytest.raises(UserError, match="--freeze 3 is about the pixel stream, which frequency has not"):
        frozen_parameters(make("frequency"), "3")
    assert frozen_parameters(make("frequency"), "none") == []
