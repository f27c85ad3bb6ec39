"""Every experiment is runnable as it is written, and a run says what each variant gains or loses."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pandas as pd
import pytest

from fakefreq.benchmarking.experiments import EXPERIMENTS
from fakefreq.benchmarking.plan import parse_detectors
from fakefreq.benchmarking.presets import DEFAULT, ablate
from fakefreq.config.run import TrainConfig
from fakefreq.data.manifests import index_folder, read_manifest, rewrite_split, write_manifest
from fakefreq.errors import UserError
from fakefreq.files import read_json, sha256_file
from fakefreq.models.fusion import FUSIONS
from fakefreq.models.streams import SPECTRA
from fakefreq.report.figures import draw_ablations
from fakefreq.train.train import check_settings
from tests.helpers.scripts import script
from tests.helpers.small_runs import tiny_config

CONFIG = tiny_config(backbone="test_resnet", crop=64)


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_every_experiment_says_what_it_asks_expects_and_costs(name: str) -> None:
    experiment = EXPERIMENTS[name]
    assert experiment.name == name and experiment.question.endswith(("?", ")"))
    assert len(experiment.expected) > 20
    assert experiment.cost.startswith(f"{experiment.trainings} trainings")
    with pytest.raises(FrozenInstanceError):
        experiment.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_every_variant_is_a_valid_configuration_that_differs_from_the_others(name: str) -> None:
    found = []
    for label, what in EXPERIMENTS[name].variants.items():
        settings = [f"{label}.{field}" for field in what if not field.startswith("detector=")]
        config = parse_detectors([f"{label}=two_stream"], settings, TrainConfig())[label]
        check_settings(config)
        named = [field.partition("=")[2] for field in what if field.startswith("detector=")]
        found.append(replace(config, detector=named[0]) if named else config)
    assert len(set(found)) == len(found) > 0


def test_no_spectrum_is_forgotten() -> None:
    for experiment in ("spectrum", "spectrum_alone"):
        fields = {what for variant in EXPERIMENTS[experiment].variants.values() for what in variant}
        assert {f"spectrum={name}" for name in SPECTRA} <= fields


def test_no_fusion_is_forgotten() -> None:
    assert {f"fusion={name}" for name in FUSIONS} == {what for (what,) in EXPERIMENTS["fusion"].variants.values()}


@pytest.mark.slow
def test_a_run_compares_each_variant_with_the_default_on_unseen_generators(
    tiny_set: Path, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    manifest = tmp_path / "manifest.csv"
    index_folder(tiny_set, manifest)
    rewrite_split(manifest, manifest, (0.6, 0.2, 0.2), seed=0, keep=True)
    table = ablate(
        manifest,
        tmp_path / "out",
        CONFIG,
        ["fusion", "fusion"],  # once
        only=["gated", "film"],
        draws=100,
        allow_biased=True,
    )
    assert set(table["variant"]) == {"gated", "film"} and not table.duplicated(["variant", "kind", "test"]).any()
    unseen = table[table["test"] == "beta"]
    assert (unseen["difference"] - (unseen["auc"] - unseen["auc_default"])).abs().max() < 1e-5
    assert ((unseen["low"] <= unseen["difference"]) & (unseen["difference"] <= unseen["high"])).all()
    written = pd.read_csv(tmp_path / "out" / "ablations.csv")
    assert written["difference"].tolist() == pytest.approx(table["difference"].tolist(), abs=1e-5)
    assert written["biased"].str.contains("alpha fail the audit").all()
    assert any(DEFAULT in line for line in logged.messages)


@pytest.mark.slow
def test_a_source_with_the_name_of_a_generator_is_another_test(tiny_set: Path, tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    index_folder(tiny_set, path)
    rewrite_split(path, path, (0.6, 0.2, 0.2), seed=0, keep=True)
    manifest = read_manifest(path)
    manifest["source"] = manifest["source"].astype(str).where(manifest["label"] == 1, "beta")
    alpha = (manifest["label"] == 0) & (manifest["subset"] == "alpha")
    manifest.loc[alpha & (manifest.index % 2 == 0), "source"] = "alpha"
    write_manifest(manifest, path)
    config = replace(CONFIG, max_steps=1)
    table = ablate(path, tmp_path / "out", config, ["fusion"], only=["gated"], draws=100, allow_biased=True)
    assert not table.duplicated(["experiment", "variant", "test", "kind"]).any()
    assert {"generator", "source"} <= set(table.loc[table["test"] == "beta", "kind"])
    assert (table["difference"] - (table["auc"] - table["auc_default"])).abs().max() < 1e-5
    draw_ablations(table, tmp_path / "ablations.png")


@pytest.mark.slow
def test_a_student_learns_from_the_default_of_its_own_seed(
    tiny_set: Path, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    manifest = tmp_path / "manifest.csv"
    index_folder(tiny_set, manifest)
    rewrite_split(manifest, manifest, (0.6, 0.2, 0.2), seed=0, keep=True)
    config = replace(CONFIG, max_steps=2, batch_size=8)
    table = ablate(
        manifest, tmp_path / "out", config, ["distillation", "fusion"], (0, 1), only=["pixel_taught", "evidence"],
        draws=100, allow_biased=True,
    )  # fmt: skip
    # The default's own fusion is no variant of it.
    assert set(table["variant"]) == {"pixel_taught"} and "fusion: evidence is the default" in logged.messages
    assert set(table["n_seeds"]) == {2}
    cells = pd.read_csv(tmp_path / "out" / "distillation" / "cells.csv")
    for seed in (0, 1):
        of_seed = cells[cells["seed"] == seed].set_index("detector")["cell"]
        teacher, student = (tmp_path / "out" / "cells" / of_seed[name] for name in ("default", "pixel_taught"))
        told = read_json(student / "run" / "environment.json", "environment")["teacher_sha256"]
        assert told == sha256_file(teacher / "run" / "best.safetensors")
    # Another default is another teacher: no cell of the former is taken for it.
    ablate(
        manifest, tmp_path / "out", replace(config, max_steps=1), ["distillation"], (0,), only=["pixel_taught"],
        draws=100, allow_biased=True,
    )  # fmt: skip
    assert len(list((tmp_path / "out" / "teachers").glob("*.safetensors"))) == 3


@pytest.mark.slow
def test_the_benchmark_s_script_goes_on_where_it_was_and_copies_table_and_figure(
    tiny_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ablations = script("ablations")
    assert set(ablations.Config().experiments) == set(EXPERIMENTS) - {"backbone"}
    out = tmp_path / "results" / "ablations.csv"
    config = ablations.Config(
        faces=ablations.FaceFolder(tiny_set, ()), experiments=("window", "masks"), only=("none", "high"),
        seeds=(0,), config=replace(CONFIG, max_steps=1), draws=100, allow_biased=True, work=tmp_path / "work", out=out,
    )  # fmt: skip
    ablations.main(config)
    first = out.read_bytes()
    table = pd.read_csv(out)
    assert set(zip(table["experiment"], table["variant"], strict=True)) == {("window", "none"), ("masks", "high")}
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    ablations.main(config)
    assert "2 cells, 2 of them done already" in capsys.readouterr().out
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["fusions"]}, "unknown experiment 'fusions'.*fusion"),
        ({"names": []}, "one or more experiments"),
        ({"names": ["fusion"], "only": ["sum"]}, "unknown variant 'sum'"),
        ({"names": ["fusion"], "config": TrainConfig()}, "--train-on"),
        ({"names": ["distillation"], "seeds": (0, 0)}, "--seeds takes one or more different"),  # no teacher is trained
    ],
)
def test_mistakes_are_named(arguments: dict[str, object], message: str, tmp_path: Path) -> None:
    values = {"config": CONFIG, **arguments}
    with pytest.raises(UserError, match=f"(?s){message}"):
        ablate(tmp_path / "none.csv", tmp_path / "out", **values)  # type: ignore[arg-type]
