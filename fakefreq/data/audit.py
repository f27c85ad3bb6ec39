"""The audit of a manifest: would a detector learn a codec, a size or a photo source instead of the generator?"""

import pandas as pd

from fakefreq.data.audit_header import LIMIT, header_probe, header_reasons
from fakefreq.data.audit_verdict import Finding, Thresholds, judge


def audit_verdict(
    manifest: pd.DataFrame, thresholds: Thresholds | None = None, limit: int = LIMIT, seed: int = 0
) -> Finding:
    """Judge a manifest by its header facts alone: part (a), seconds, nothing is decoded.

    Args:
        manifest: the rows to judge, such as those to train on.
        thresholds: where to warn and fail.
        limit: images to look at.
        seed: of sample, folds and bootstrap.

    Returns:
        The finding; its `verdict` is `pass`, `warn` or `fail`, its `reasons` say why.
    """
    bounds = thresholds or Thresholds()
    whole, without_size = header_probe(manifest, limit, seed, explain_above=bounds.header_warn)
    if whole is None or without_size is None:
        return Finding("header", "warn", ["too few images or groups of a class to judge header facts by"])
    verdict = judge(whole.auc, bounds.header_warn, bounds.header_fail, whole.low)
    facts = {"auc": whole.as_dict(), "auc_without_file_size": without_size.as_dict()}
    return Finding("header", verdict, header_reasons(manifest, whole, without_size), facts)
