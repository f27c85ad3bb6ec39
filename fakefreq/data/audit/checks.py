"""Parts (c), (d) and (e) of the audit, out of the manifest alone: duplicates and leaks, balance, history."""

from typing import Any

import numpy as np
import pandas as pd

from fakefreq.data.audit.verdict import Finding, Thresholds, Verdict, judge, worst

_ENCODING = ["format", "jpeg_quality", "subsampling", "progressive"]


def duplicates(manifest: pd.DataFrame) -> Finding:
    """Same or nearly the same image under two labels, or on two sides of a split; groups that a split parts."""
    reasons: list[str] = []
    facts: dict[str, Any] = {}
    facts["same_bytes"] = int(manifest["sha256"][manifest["sha256"] != ""].duplicated().sum())
    # Not the group under both labels: a photo and the fake made of it share their group on purpose.
    for column, what, key, across in (
        ("sha256", "the same bytes", "label", "under both labels"),
        ("sha256", "the same bytes", "split", "in several splits"),
        ("group", "the same group", "split", "in several splits"),
    ):
        # Each where it is known: a manifest of another program may have groups and no hashes.
        rows = manifest[(manifest[column] != "") & ((manifest["split"] != "") | (key != "split"))]
        parted = rows[rows.groupby(column)[key].transform("nunique") > 1]
        facts[f"{column}_across_{key}"] = int(parted[column].nunique())
        if len(parted):
            first = parted[parted[column] == parted[column].iloc[0]].drop_duplicates(key)["path"].tolist()
            reasons.append(f"{parted[column].nunique()} times {what} {across}, such as {first[0]} and {first[1]}")
    verdict: Verdict = "fail" if reasons else "pass"
    near = _near_duplicates(manifest)
    facts |= near[0]
    if near[1]:
        reasons += near[1]
        verdict = "fail"
    if not reasons:
        reasons = [f"no image under two labels or in two splits; {facts['same_bytes']} exact copies within a class"]
    return Finding("duplicates", verdict, reasons, facts)


def _near_duplicates(manifest: pd.DataFrame) -> tuple[dict[str, Any], list[str]]:
    if "phash" not in manifest or not (manifest["phash"] != "").any():
        return {"near_duplicates": None}, []
    from fakefreq.data.manifest.duplicates import near_duplicates

    pairs = near_duplicates(manifest)
    label, split, group = (manifest[name].to_numpy() for name in ("label", "split", "group"))
    first, second = pairs[:, 0], pairs[:, 1]
    # A paired fake may look like its photo; that is known where they share their group.
    labels = (label[first] != label[second]) & (group[first] != group[second])
    splits = (split[first] != split[second]) & (split[first] != "") & (split[second] != "")
    facts = {
        "near_duplicates": len(pairs),
        "near_across_label": int(labels.sum()),
        "near_across_split": int(splits.sum()),
    }
    reasons = []
    for wrong, across in ((labels, "under both labels"), (splits, "in different splits")):
        if wrong.any():
            names = manifest["path"].iloc[pairs[int(np.argmax(wrong))]].tolist()
            reasons.append(f"{int(wrong.sum())} near-duplicates {across}, such as {names[0]} and {names[1]}")
    return facts, reasons


def balance(manifest: pd.DataFrame, thresholds: Thresholds) -> Finding:
    """Counts by class, generator, source and split; a fake without photographs beside it; a split without a class."""
    reasons: list[str] = []
    verdicts: list[Verdict] = []
    counts = np.bincount(manifest["label"].to_numpy(dtype=np.int64), minlength=2)
    ratio = float(counts.max() / counts.min()) if counts.min() else float("inf")
    verdicts.append(judge(ratio, thresholds.balance_warn, np.inf))
    reasons.append(f"{counts[0]} real, {counts[1]} fake")
    for subset, part in manifest.groupby("subset"):
        if part["label"].nunique() == 1 and part["label"].iloc[0] == 1:
            verdicts.append("warn")
            reasons.append(
                f"subset {str(subset) or '(unnamed)'} has fakes without photographs beside them: what they are told "
                "from are photographs of another history"
            )
    for split, part in manifest[manifest["split"] != ""].groupby("split"):
        if part["label"].nunique() < 2:
            verdicts.append("warn")
            reasons.append(f"split {split!s} holds one class only")
    names = np.where(manifest["label"] == 1, manifest["generator"], manifest["source"])
    table = (
        manifest.assign(name=names).groupby(["label", "name", "subset", "split"]).size().rename("images").reset_index()
    )
    return Finding("balance", worst(verdicts), reasons, {"ratio": min(ratio, 1e9), "counts": table.to_dict("records")})


def history(manifest: pd.DataFrame, thresholds: Thresholds) -> Finding:
    """How many encodings, qualities and sizes each class has, and what share of them the other class lacks."""
    columns = [name for name in _ENCODING if name in manifest]
    encoding = manifest[columns].astype(str).agg(" ".join, axis=1)
    size = manifest["width"].astype(str) + "x" + manifest["height"].astype(str)
    quality = manifest["jpeg_quality"].where(manifest["format"] == "jpeg").dropna().astype(int).astype(str)
    reasons, verdicts = [], []
    facts: dict[str, Any] = {}
    for name, values in (("encodings", encoding), ("qualities", quality), ("sizes", size)):
        shares = [values[manifest["label"] == label].value_counts(normalize=True) for label in (0, 1)]
        both = pd.concat(shares, axis=1).fillna(0.0)
        distance = float((both.iloc[:, 0] - both.iloc[:, 1]).abs().sum() / 2) if all(map(len, shares)) else 0.0
        expected = _chance_distance(values, manifest["label"])
        facts[name] = {
            "real": len(shares[0]),
            "fake": len(shares[1]),
            "distance": distance,
            "by_chance": expected,
            "values": {str(value): [float(row.iloc[0]), float(row.iloc[1])] for value, row in both.head(20).iterrows()},
        }
        # Of many values drawn by one law two classes never have the same shares.
        verdicts.append(judge(distance - expected, thresholds.history_warn, thresholds.history_fail))
        beyond = f" (by chance alone {expected:.2f})" if expected > 0.005 else ""
        reasons.append(
            f"{name}: {len(shares[0])} real, {len(shares[1])} fake; {distance:.2f} of a class differs{beyond}"
        )
    order = np.argsort([-_rank(verdict) for verdict in verdicts], kind="stable")
    return Finding("history", worst(verdicts), [reasons[i] for i in order], facts)


def _rank(verdict: Verdict) -> int:
    return ("pass", "warn", "fail").index(verdict)


def _chance_distance(values: pd.Series, labels: pd.Series) -> float:
    """Mean total variation between the classes after shuffling the labels."""
    codes = pd.factorize(values)[0]
    label = labels.loc[values.index].to_numpy(dtype=np.int64)
    if len(set(label.tolist())) < 2:
        return 0.0
    random = np.random.default_rng(0)
    found = []
    for _ in range(20):
        label = random.permutation(label)
        shares = [
            np.bincount(codes[label == side], minlength=codes.max() + 1) / (label == side).sum() for side in (0, 1)
        ]
        found.append(np.abs(shares[0] - shares[1]).sum() / 2)
    return float(np.mean(found))
