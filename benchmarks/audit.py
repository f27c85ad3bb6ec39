"""What `fakefreq audit` finds on real folders: header facts, pixel statistics, and photographs against photographs.

Example: FAKEFREQ_FACEBENCH=facebench python benchmarks/audit.py
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from fakefreq.data.audit.audit import AuditResult, audit_manifest
from fakefreq.data.audit.verdict import Thresholds
from fakefreq.data.degrade.history import parse_history
from fakefreq.data.manifest.align import align_manifest
from fakefreq.data.manifests import index_folder
from fakefreq.files import atomic_path

# No folder's photographs can be shown; their names say where they are from.
SOURCES = {
    "stylegan": "ffhq",
    "stylegan2": "unsplash",
    "dcgan": "celeba",
    "began": "celeba",
    "mobilestylegan_native": "ffhq",
}


@dataclass
class Config:
    """Audit folders of real faces: their raw merge, each alone, and the merge brought to one history."""

    folder: Path | None = None
    """`<generator>/{0_real,1_fake}/*`; else what FAKEFREQ_FACEBENCH names"""
    out: Path = Path("benchmarks/results/audit_facebench.csv")
    """table to write"""
    history: str = "size=128,kernel=any,codec=jpeg:75-95"
    """of the aligned merge; smaller images are left out, never enlarged"""
    images: int = 4000
    """decoded at most in each audit"""
    seed: int = 0
    """of draws, samples, folds and bootstrap"""


def rows_of(track: str, what: str, result: AuditResult) -> Iterator[dict[str, object]]:
    """Yield one row a part of the audit, a row a pair of sources, and the reasons in words."""
    for finding in result.findings:
        common = {"track": track, "set": what, "part": finding.part, "verdict": finding.verdict}
        reasons = "; ".join(finding.reasons)
        for name in ("auc", "auc_without_file_size"):
            if name in finding.facts:
                auc = finding.facts[name]
                counts = {"n_real": auc["negatives"], "n_fake": auc["positives"]}
                row = {**common, "quantity": name, "value": auc["auc"], "low": auc["low"], "high": auc["high"]}
                yield {**row, **counts, "reasons": reasons if name == "auc" else ""}
        for pair in finding.facts.get("pairs", []):
            row = {**common, "quantity": f"{pair['first']} against {pair['second']}", "value": pair["auc"]}
            yield {**row, "low": pair["low"], "high": pair["high"], "n_real": pair["negatives"] + pair["positives"]}
        if "auc" not in finding.facts and "pairs" not in finding.facts:
            yield {**common, "quantity": "verdict", "reasons": reasons}


def main(config: Config) -> None:
    """Audit, print the verdicts, write the table whole."""
    named = os.environ.get("FAKEFREQ_FACEBENCH", "")
    folder = config.folder or (Path(named) if named else None)
    if folder is None:
        print("skipped: FAKEFREQ_FACEBENCH is unset and no --folder is given; real faces are not part of the project")
        sys.exit(0)
    rows: list[dict[str, object]] = []

    def audit(track: str, what: str, manifest: Path, subsets: tuple[str, ...] = ()) -> None:
        result = audit_manifest(manifest, None, Thresholds(), subsets, config.images, config.seed)
        rows.extend(rows_of(track, what, result))
        header = result.findings[0]
        print(f"{track} {what}: {result.verdict}; header {header.verdict}: {header.reasons[0]}", flush=True)

    work = Path(tempfile.mkdtemp(prefix="fakefreq-audit-"))
    try:
        raw = work / "raw.csv"
        subsets = {name.name for name in folder.iterdir() if name.is_dir()}
        sources = {name: source for name, source in SOURCES.items() if name in subsets}
        manifest, _ = index_folder(folder, raw, sources=sources, phash=True)
        audit("raw", "merge", raw)
        for subset in sorted(set(manifest["subset"])):
            audit("raw", subset, raw, (subset,))
        aligned = align_manifest(raw, work / "aligned", parse_history(config.history), config.seed, too_small="skip")
        track = f"aligned {config.history}"
        audit(track, "merge", work / "aligned" / "manifest.csv")
        for subset in sorted(set(aligned["subset"])):
            audit(track, subset, work / "aligned" / "manifest.csv", (subset,))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    with atomic_path(config.out) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, float_format="%.4f")
    print(f"table: {config.out}")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
