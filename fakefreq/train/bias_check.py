"""Before training: does anything but the pictures tell the classes apart?"""

from collections.abc import Callable
from typing import Literal

import pandas as pd

from fakefreq.data.audit.audit import audit_verdict
from fakefreq.errors import UserError

Audit = Literal["skip", "tell", "refuse"]


def check_bias(rows: pd.DataFrame, audit: Audit, say: Callable[[str], None]) -> str:
    """Audit the header facts of training images, say the verdict, and refuse a failed one.

    Args:
        rows: those to train on.
        audit: `skip`, `tell` the verdict, or also `refuse` to train where it is `fail`.
        say: called with the verdict.

    Returns:
        `pass`, `warn`, `fail` or `skipped`.

    Raises:
        UserError: the audit failed, and that is refused.
    """
    if audit == "skip":
        return "skipped"
    finding = audit_verdict(rows)
    reason = f": {finding.reasons[0]}" if finding.reasons else ""
    say(f"audit of header facts: {finding.verdict}{reason}")
    if finding.verdict == "fail" and audit == "refuse":
        raise UserError(
            f"the training images fail the audit{reason}. A detector would learn that instead of the generators: bring "
            "both classes to one history with `fakefreq align`, or train all the same with --allow-biased"
        )
    return finding.verdict
