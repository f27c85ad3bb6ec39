"""Before training: does anything but the pictures tell the classes apart?"""

import logging
from typing import Literal

import pandas as pd

from fakefreq.data.audit.audit import audit_verdict
from fakefreq.data.audit.verdict import LOG_LEVELS, Finding
from fakefreq.errors import UserError

logger = logging.getLogger(__name__)

Audit = Literal["skip", "tell", "refuse"]


def audit_training(rows: pd.DataFrame, refuse: bool = True, where: str = "") -> Finding:
    """Audit the header facts of training images, say the verdict, and refuse a failed one.

    Args:
        rows: those to train on.
        refuse: refuse to train where the verdict is `fail`.
        where: which images they are, where there are several training sets.

    Raises:
        UserError: the audit failed, and that is refused.
    """
    finding = audit_verdict(rows)
    reason = f": {finding.reasons[0]}" if finding.reasons else ""
    logger.log(LOG_LEVELS[finding.verdict], f"audit of header facts{where}: {finding.verdict}{reason}")
    if finding.verdict == "fail" and refuse:
        raise UserError(
            f"the training images{where} fail the audit{reason}. A detector would learn that instead of the "
            "generators: bring both classes to one history with `fakefreq align`, or train all the same with "
            "--allow-biased"
        )
    return finding


def check_bias(rows: pd.DataFrame, audit: Audit) -> str:
    """Return the verdict on training images: `pass`, `warn`, `fail` or `skipped`.

    Args:
        rows: those to train on.
        audit: `skip`, `tell` the verdict, or also `refuse` to train where it is `fail`.

    Raises:
        UserError: the audit failed, and that is refused.
    """
    if audit == "skip" or rows["label"].nunique() < 2:  # of one class there is nothing to tell apart
        return "skipped"
    return audit_training(rows, audit == "refuse").verdict
