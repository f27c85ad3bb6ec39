"""On real faces, where FAKEFREQ_FACEBENCH names them: the way from folders to a comparison holds."""

from pathlib import Path

import pandas as pd
import pytest

from fakefreq.benchmarking.presets import compare
from fakefreq.config.run import TrainConfig
from fakefreq.data.manifest.splits import check_splits, split_manifest
from fakefreq.data.manifests import index_folder, read_manifest, write_manifest
from fakefreq.report.page import write_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def manifest_path(facebench: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("facebench") / "manifest.csv"
    sources = {"stylegan": "ffhq", "mobilestylegan_native": "ffhq"}
    manifest, skipped = index_folder(facebench, path, sources=sources)
    assert skipped == []
    write_manifest(split_manifest(manifest), path)
    return path


def test_headers_tell_what_the_folder_s_page_says(manifest_path: Path) -> None:
    manifest = read_manifest(manifest_path)
    stylegan = manifest[manifest["subset"] == "stylegan"]
    facts = stylegan[["format", "width", "height", "jpeg_quality", "subsampling"]].drop_duplicates()
    assert facts.to_numpy().tolist() == [["jpeg", 256, 256, 75, "4:2:0"]]
    assert set(manifest.loc[manifest["subset"] == "began", "format"]) == {"png"}


def test_the_same_person_in_two_folders_is_one_group(manifest_path: Path) -> None:
    manifest = read_manifest(manifest_path)
    check_splits(manifest)
    reals = manifest[manifest["subset"].isin(["stylegan", "mobilestylegan_native"]) & (manifest["label"] == 0)]
    shared = reals.groupby("group").filter(lambda rows: rows["subset"].nunique() == 2)
    assert len(shared) == 600
    assert (shared.groupby("group")["split"].nunique() == 1).all()
    stylegan = manifest[manifest["subset"] == "stylegan"]
    counts = stylegan.groupby("label")["split"].value_counts().unstack()[["train", "val", "test"]]
    # Groups of two images, one in each folder, may miss the counts of one folder by one.
    assert abs(counts.to_numpy() - [700, 100, 200]).max() <= 1


@pytest.mark.slow
def test_a_small_comparison_runs_on_real_faces(manifest_path: Path, tmp_path: Path) -> None:
    manifest = read_manifest(manifest_path)
    strata = manifest.groupby(["subset", "label", "split"], sort=True)
    few = pd.concat([rows.head(24) for _, rows in strata], ignore_index=True)
    write_manifest(few, manifest_path.parent / "few.csv")
    config = TrainConfig(
        lattice_pairs=60,
        backbone="test_efficientnet",
        pretrained="none",
        train_on=("stylegan",),
        crop=128,
        epochs=1,
        device="cpu",
    )
    few_path = manifest_path.parent / "few.csv"
    table = compare(few_path, tmp_path / "out", config, draws=100, allow_biased=True)
    measured = table[(table["metric"] == "auc") & (table["kind"] == "generator")]
    assert set(measured["generator"]) == {"stylegan", "stylegan2", "dcgan", "began", "mobilestylegan_native"}
    assert measured["value"].between(0, 1).all()
    assert (measured["low"] <= measured["value"]).all()
    assert (measured["value"] <= measured["high"]).all()
    assert write_report(tmp_path / "out")[0].stat().st_size > 10_000
