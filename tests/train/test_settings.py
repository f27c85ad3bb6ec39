"""What cannot work, or what the audit refuses, is said before anything is written."""

from dataclasses import replace
from pathlib import Path

import pytest

from fakefreq.config.run import TrainConfig
from fakefreq.data.manifests import manifest_digest, read_manifest, write_manifest
from fakefreq.errors import UserError
from fakefreq.files import read_json
from fakefreq.models import create_detector, save_detector
from fakefreq.train.train import train
from tests.helpers.small_runs import CONFIG


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"seed": -1}, "--seed is -1; it takes whole numbers from 0"),
        ({"seed": 2**63}, "--seed is 9223372036854775808; it takes"),
        ({"crop": 16, "spectrum": "fft"}, "--crop is 16; two_stream takes images of 64 pixels a side or more"),
        ({"freeze": "99"}, "--freeze is 99; test_efficientnet has"),
        ({"detector": "frequency", "freeze": "all"}, "--freeze all is about the pixel stream, which frequency has not"),
        ({"detector": "lattice", "freeze": "2"}, "--freeze 2 is about the pixel stream, which lattice has not"),
        ({"epochs": 0}, "--epochs is 0; it takes 1 or more"),
        ({"batch_size": 1}, "--batch-size"),
        ({"learning_rate": 0.0}, "--learning-rate"),
        ({"weight_decay": -1.0}, "--weight-decay"),
        ({"rotate": 270.0}, "--rotate"),
        ({"train_share": 0.0}, "--train-share is 0.0; it takes more than 0 and at most 1"),
        ({"condition": "size"}, "unknown condition 'size'"),
        ({"spectrum": "fft:welch"}, "unknown option of fft 'welch'"),
        ({"degrade": "0.5*jpg:60"}, "--degrade: unknown degradation 'jpg'"),
        ({"simulate": 1.5}, "--simulate is 1.5; it is a probability"),
        ({"simulate": 0.5, "simulate_families": "cubic"}, "--simulate-families"),
        ({"ema": 1.0}, "--ema is 1.0"),
        ({"label_smoothing": -0.1}, "--label-smoothing"),
        ({"mixup": float("nan")}, "--mixup"),
        ({"clip_gradient": -1.0}, "--clip-gradient"),
        ({"layer_decay": 0.0}, "--layer-decay"),
        ({"freeze": "some"}, "--freeze is 'some'; it takes none, all, or a number of stages"),
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
        ({"balance_by": "generator"}, "--balance-by generator needs --balance"),
        ({"max_steps": -1}, "--max-steps"),
        ({"teacher": "no/such/run"}, "no trained detector at no/such/run"),
        ({"distill_temperature": 0.0}, "--distill-temperature"),
        ({"optimizer": "lamb"}, "unknown optimizer 'lamb'"),
        ({"device": "tpu7"}, "unknown device"),
        ({"device": "cuda:63"}, "CUDA devices; use --device cpu"),
    ],
)
def test_a_wrong_setting_names_its_flag(
    manifest_path: Path, tmp_path: Path, change: dict[str, object], flag: str
) -> None:
    with pytest.raises(UserError, match=flag):
        train(manifest_path, tmp_path / "run", replace(CONFIG, **change))  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_is_refused_leaves_no_folder(manifest_path: Path, tmp_path: Path) -> None:
    save_detector(create_detector("frequency", spectrum="fft", pretrained="none"), tmp_path / "teacher.safetensors")
    config = replace(CONFIG, teacher=str(tmp_path / "teacher.safetensors"), crop=48)
    with pytest.raises(UserError, match="--teacher .* needs --crop 64 or more; it is 48"):
        train(manifest_path, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_a_configuration_survives_its_json() -> None:
    assert TrainConfig.from_dict(CONFIG.to_dict()) == CONFIG
    with pytest.raises(UserError, match="unknown setting 'momentum'; the stored configuration takes: "):
        TrainConfig.from_dict({**CONFIG.to_dict(), "momentum": 0.9})


@pytest.mark.slow
def test_a_failed_audit_wants_a_flag_and_leaves_nothing(
    manifest_path: Path, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    # The drawn fakes are smoother than the drawn photos, so at one quality their files are smaller.
    out, config = tmp_path / "run", replace(CONFIG, epochs=1, max_steps=1)
    with pytest.raises(UserError, match=r"fail the audit: header facts alone .*fakefreq align.*--allow-biased"):
        train(manifest_path, out, config, audit="refuse")
    assert not out.exists()
    assert "audit of header facts: fail" in logged.messages[-1]
    assert train(manifest_path, out, config, audit="tell")["audit"] == "fail"
    assert read_json(out / "environment.json", "environment")["audit"] == "fail"


def test_images_that_headers_do_not_tell_apart_pass_the_audit(manifest_path: Path, tmp_path: Path) -> None:
    manifest = read_manifest(manifest_path)
    manifest["bytes"] = 5000
    write_manifest(manifest, manifest_path.parent / "fair.csv")
    config = replace(CONFIG, epochs=1, max_steps=1)
    summary = train(manifest_path.parent / "fair.csv", tmp_path / "run", config, audit="refuse")
    assert summary["audit"] == "pass"
    assert summary["manifest_digest"] == manifest_digest(manifest)
