"""Every experiment is runnable as it is written, and a run says what each variant gains or loses."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fakefreq.ablation import DEFAULT, EXPERIMENTS, ablate
from fakefreq.data.manifest import index_folder, rewrite_split
from fakefreq.errors import UserError
from fakefreq.models.streams import SPECTRA
from fakefreq.protocols.cells import parse_detectors
from fakefreq.train.experiment import TrainConfig

CONFIG = TrainConfig(
    train_on=("alpha",), backbone="test_resnet", pretrained="none", crop=64, epochs=1, workers=0, spectrum="block_dct"
)


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_every_variant_is_a_valid_configuration_that_differs_from_the_others(name: str) -> None:
    found = []
    for label, what in EXPERIMENTS[name].variants.items():
        settings = [f"{label}.{field}" for field in what if not field.startswith("detector=")]
        config = parse_detectors([f"{label}=two_stream"], settings, TrainConfig())[label]
        config.check()
        named = [field.partition("=")[2] for field in what if field.startswith("detector=")]
        found.append(replace(config, detector=named[0]) if named else config)
    assert len(set(found)) == len(found) > 0


def test_no_spectrum_is_forgotten() -> None:
    fields = {what for variant in EXPERIMENTS["spectrum"].variants.values() for what in variant}
    assert {f"spectrum={name}" for name in SPECTRA} <= fields


def test_a_run_compares_each_variant_with_the_default_on_unseen_generators(tiny_set: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    index_folder(tiny_set, manifest)
    rewrite_split(manifest, manifest, (0.6, 0.2, 0.2), seed=0, keep=True)
    said: list[str] = []
    table = ablate(manifest, tmp_path / "out", CONFIG, ["fusion"], only=["gated", "film"], draws=100, say=said.append)
    assert set(table["variant"]) == {"gated", "film"}
    unseen = table[table["test"] == "beta"]
    assert (unseen["difference"] - (unseen["auc"] - unseen["auc_default"])).abs().max() < 1e-5
    assert ((unseen["low"] <= unseen["difference"]) & (unseen["difference"] <= unseen["high"])).all()
    written = pd.read_csv(tmp_path / "out" / "ablations.csv")
    assert written["difference"].round(5).tolist() == table["difference"].round(5).tolist()
    assert (tmp_path / "out" / "ablations.png").read_bytes().startswith(b"\x89PNG")
    assert any(DEFAULT in line for line in said)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["fusions"]}, "unknown experiment 'fusions'.*fusion"),
        ({"names": []}, "one or more experiments"),
        ({"names": ["fusion"], "only": ["sum"]}, "unknown variant 'sum'"),
        ({"names": ["fusion"], "config": TrainConfig()}, "--train-on"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, object], message: str, tmp_path: Path) -> None:
    values = {"config": CONFIG, **arguments}
    with pytest.raises(UserError, match=f"(?s){message}"):
        ablate(tmp_path / "none.csv", tmp_path / "out", **values)  # type: ignore[arg-type]
