"""Selection sets for the lattice, and what runs do on them: no test image of any folder is read.

The photographs are the validation photographs of one generator's folder (FFHQ-like) and CelebA's; the fakes are made of
them, or sampled, by generators of the zoo at native size and by simulated families of depth 1 to 4, which planted
lattices do not imitate; the controls are the photographs, processed. The validation fakes are judged too, against their
own photographs and, crossed, against all others. All go through four histories. Thresholds are set on the validation
photographs, as they are. Two tables come out: what each detector does on each set, and what other constants of the
fusion `evidence` would do.

Example:
    fakefreq train faces/manifest.csv --train-on stylegan --out runs/two_stream
    python benchmarks/lattice_selection.py faces/manifest.csv --runs runs/two_stream --out runs/lattice_selection
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import tyro
from torch import Tensor

from fakefreq.cli import main as fakefreq
from fakefreq.data.degrade.language import parse_degradation
from fakefreq.data.manifests import read_manifest
from fakefreq.errors import UserError, choose
from fakefreq.evaluate.metrics import auc
from fakefreq.evaluate.predict import score_degraded
from fakefreq.files import atomic_path
from fakefreq.models import Detector, load_detector
from fakefreq.models.fusion import LATTICE, LATTICE_SHARE, LEARNT_SHARE, EvidenceFusion

SIMULATED = (
    "upsampler=nearest", "upsampler=nearest,depth=2", "upsampler=bilinear", "upsampler=transposed2",
    "upsampler=transposed3,depth=2", "upsampler=transposed4,kernel=3", "upsampler=transposed4,depth=3",
    "upsampler=pixel_shuffle,depth=4", "upsampler=zero_insertion",
)  # fmt: skip
GENERATORS = {"ffhq": ("cyclegan", "srgan", "srresnet"), "celeba": ("dcgan", "srgan", "realesrgan_compact")}
# What photographs and fakes alike go through before they are scored.
HISTORIES = {
    "raw": "none",
    "native": "jpeg:75..95",
    "halved": "rescale:0.5:any+jpeg:75..95",
    "moved": "rescale:0.6..0.9:any+jpeg:75..95",
}
# Constants of the fusion: rho and pi.
CANDIDATES = list(itertools.product((0.5, 0.6, 0.7, 0.8, 0.9), (0.1, 0.15, 0.2, 0.3, 0.5)))
RATES = (0.05, 0.01)


@dataclass
class Config:
    """What to run.

    Args:
        manifest: the one that the runs were trained with; of it the validation images are used.
        runs: folders of runs of `two_stream` with the lattice; their means are shown.
        generator: the folder's subset that the runs trained on.
        count: images of each set and class.
        histories: what all of them go through, names of `HISTORIES`.
        out: folder of the sets and of the tables.
    """

    manifest: tyro.conf.Positional[Path]
    runs: tuple[Path, ...] = ()
    generator: str = "stylegan"
    count: int = 40
    histories: tuple[str, ...] = tuple(HISTORIES)
    out: Path = Path("runs/lattice_selection")


def build(config: Config) -> dict[str, Path]:
    """Make the sets that are missing; return their manifests by the source of their photographs."""
    photographs = _validation(config)
    photographs = photographs[photographs["label"] == 0]
    folder = config.out / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    for path in photographs["path"]:
        link = folder / Path(path).name
        if not link.exists():
            link.symlink_to(Path(path).resolve())
    manifests = {}
    for source, generators in GENERATORS.items():
        reals = str(folder) if source == "ffhq" else source
        manifests[source] = config.out / f"{source}-{config.count}" / "manifest.csv"
        if manifests[source].exists():
            continue
        words = ["zoo", "build", "--generators", *generators, "--simulate", *SIMULATED, "--controls", "all"]
        words += ["--reals", reals, "--share-photos", "--count", str(config.count), "--history", "raw"]
        if fakefreq([*words, "--out", str(manifests[source].parent)]):
            raise UserError(f"the set {manifests[source].parent} could not be built")
    return manifests


def _validation(config: Config) -> pd.DataFrame:
    """Validation rows of the folder, with full paths."""
    rows = read_manifest(config.manifest)
    rows = rows[(rows["subset"] == config.generator) & (rows["split"] == "val")].reset_index(drop=True)
    return rows.assign(path=[str((config.manifest.parent / path).resolve()) for path in rows["path"]])


class Parts:
    """What the fusion adds up, kept while a detector scores: calibrated learnt logit x, l."""

    def __init__(self, detector: Detector) -> None:
        if not isinstance(detector.head, EvidenceFusion):
            raise UserError("--runs takes runs of two_stream with the fusion evidence")
        self.head, self.found = detector.head, [torch.empty(0, 2)]
        detector.head.register_forward_pre_hook(self._keep)

    def _keep(self, _: torch.nn.Module, given: tuple[dict[str, Tensor]]) -> None:
        learnt = {name: value for name, value in given[0].items() if name != LATTICE}
        scale, offset = self.head.scale.unbind()
        logit = scale * self.head.learnt(learnt)[0] + offset
        self.found.append(torch.stack([logit, given[0][LATTICE].squeeze(1)], dim=1).cpu())

    def take(self) -> pd.DataFrame:
        """Return what was kept, and forget it."""
        table = pd.DataFrame(torch.cat(self.found).double().numpy(), columns=["learnt", "lattice"])
        self.found = [torch.empty(0, 2)]
        return table


def score(run: Path, config: Config, manifests: dict[str, Path]) -> pd.DataFrame:
    """Return one row an image and history: source, subset, label, learnt logit, l, fused logit."""
    detector = load_detector(run)
    parts = Parts(detector)
    tables = []
    for source, history, rows, root in _tasks(config, manifests):
        # The sets share their photographs.
        unique = rows.drop_duplicates("sha256").reset_index(drop=True)
        fused = score_degraded(detector, unique, root, parse_degradation(HISTORIES[history]))
        found = unique[["sha256"]].join(parts.take()).assign(fused=fused, source=source, history=history)
        tables.append(rows[["sha256", "subset", "label"]].merge(found, on="sha256"))
        print(f"{run}: {source}, {history}: {len(unique)} images", flush=True)
    return pd.concat(tables, ignore_index=True)


def _tasks(config: Config, manifests: dict[str, Path]) -> list[tuple[str, str, pd.DataFrame, Path]]:
    sets = [(source, read_manifest(path), path.parent) for source, path in manifests.items()]
    sets.insert(0, ("validation", _validation(config), Path("/")))
    # Thresholds are those of the untouched validation photographs.
    histories = dict.fromkeys(manifests, config.histories) | {"validation": ("raw", *config.histories)}
    return [
        (source, history, rows, root)
        for source, rows, root in sets
        for history in HISTORIES
        if history in histories[source]
    ]


def evidence(parts: pd.DataFrame, rho: float, pi: float) -> pd.Series:
    """The fusion's sum for other constants, as `EvidenceFusion` says it."""
    learnt = np.logaddexp(np.log(1 - rho), np.log(rho) + parts["learnt"])
    total: pd.Series = learnt + np.logaddexp(np.log(1 - pi), np.log(pi) + parts["lattice"])
    return total


def _with_crossed(parts: pd.DataFrame) -> pd.DataFrame:
    """Add the validation fakes against photographs that training never saw so: of another source, or processed."""
    fakes = parts[(parts["source"] == "validation") & (parts["label"] == 1)]
    is_control = parts["subset"].str.startswith("control_")
    others = parts[(parts["label"] == 0) & (is_control | (parts["source"] == "celeba"))]
    others = others.assign(subset=others["source"] + " " + others["subset"].where(is_control, "photographs"))
    tables = [parts]
    for (history, subset), photographs in others.groupby(["history", "subset"]):
        beside = fakes[fakes["history"] == history].assign(subset=str(subset))
        if len(beside):
            crossed = pd.concat([beside, photographs.drop_duplicates("sha256")])
            tables.append(crossed.assign(source="crossed"))
    return pd.concat(tables)


def judge(parts: pd.DataFrame) -> pd.DataFrame:
    """A row a detector, set and history: AUC, and shares above the thresholds of the validation photographs."""
    is_threshold = (parts["source"] == "validation") & (parts["history"] == "raw") & (parts["label"] == 0)
    validation = parts[is_threshold]
    rows = []
    for (source, history, subset), part in _with_crossed(parts).groupby(["source", "history", "subset"]):
        for detector, column in (("pixel", "learnt"), ("lattice", "lattice"), ("two_stream", "fused")):
            labels, values = part["label"].to_numpy(), part[column].to_numpy()
            row = {"detector": detector, "source": source, "set": subset, "history": history}
            row |= {"n_real": int((labels == 0).sum()), "n_fake": int((labels == 1).sum())}
            row["auc"] = auc(labels, values) if row["n_fake"] and row["n_real"] else np.nan
            for rate in RATES:
                above = values > validation[column].quantile(1 - rate)
                row[f"alarms_at_{rate:.0%}"] = above[labels == 0].mean()
                row[f"found_at_{rate:.0%}"] = above[labels == 1].mean() if row["n_fake"] else np.nan
            rows.append(row)
    return pd.DataFrame(rows)


def _area(part: pd.DataFrame) -> float:
    return auc(part["label"].to_numpy(), part["value"].to_numpy())


def compare(parts: pd.DataFrame) -> pd.DataFrame:
    """A row a candidate: mean AUC over the sets by history, and what the seen generator's fakes lose against pixels.

    `seen_worst` is the largest loss over the histories and over what they stand against: their own photographs, those
    of another source, processed ones.
    """
    sums: list[tuple[dict[str, object], pd.Series]] = [
        ({"sum": "pixel"}, parts["learnt"]),
        ({"sum": "lattice"}, parts["lattice"]),
    ]
    for candidate in CANDIDATES:
        facts = dict(zip(("rho", "pi"), candidate, strict=True))
        is_default = candidate == (LEARNT_SHARE, LATTICE_SHARE)
        sums.append(({"sum": "evidence", **facts, "is_default": is_default}, evidence(parts, *candidate)))
    keys = ["source", "history", "subset"]
    rows, before = [], pd.Series(dtype=float)
    for row, value in sums:
        scored = _with_crossed(parts.assign(value=value))
        has_fakes = scored.groupby(keys)["label"].transform("max") == 1
        areas = scored[has_fakes].groupby(keys)[["label", "value"]].apply(_area)
        is_seen = areas.index.get_level_values("source").isin(["validation", "crossed"])
        before = areas[is_seen] if row["sum"] == "pixel" else before
        by_history = areas[~is_seen].groupby("history").mean()
        row |= {str(name): area for name, area in by_history.items()} | {
            "mean": areas[~is_seen].mean(),
            "worst": areas[~is_seen].min(),
        }
        change = areas[is_seen] - before
        rows.append({**row, "seen_mean": change.mean(), "seen_worst": change.min()})
    return pd.DataFrame(rows)


def main(config: Config) -> None:
    """Build the sets, score the runs, write both tables whole."""
    for history in config.histories:
        choose(history, list(HISTORIES), "history", "--histories")
    manifests = build(config)
    if not config.runs:
        print(f"sets built in {config.out}; give --runs to judge them")
        return
    judged, compared = [], []
    for number, run in enumerate(config.runs):
        what = f"{run.resolve().parent.name}-{run.name}-{'-'.join(config.histories)}-{config.count}"
        kept = config.out / f"parts-{what}.parquet"
        if not kept.exists():
            with atomic_path(kept) as temporary:
                score(run, config, manifests).to_parquet(temporary, index=False)
        parts = pd.read_parquet(kept)
        judged.append(judge(parts).assign(run=number))
        compared.append(compare(parts).assign(run=number))
    keys = {"sets": ["detector", "source", "set", "history"], "fusion": ["sum", "rho", "pi"]}
    for (name, by), tables in zip(keys.items(), (judged, compared), strict=True):
        table = pd.concat(tables).groupby(by, sort=False, dropna=False).mean().drop(columns="run").reset_index()
        with atomic_path(config.out / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.4f")
        print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
