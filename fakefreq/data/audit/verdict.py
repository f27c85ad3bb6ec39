"""Pass, warn or fail: what the parts of an audit found, held against thresholds."""

import logging
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["pass", "warn", "fail"]
EXIT_CODES: dict[Verdict, int] = {"pass": 0, "warn": 1, "fail": 3}
LOG_LEVELS: dict[Verdict, int] = {"pass": logging.INFO, "warn": logging.WARNING, "fail": logging.WARNING}
_ORDER: list[Verdict] = ["pass", "warn", "fail"]


@dataclass(frozen=True)
class Thresholds:
    """Where an audit starts to warn and to fail; AUCs, but for the last."""

    header_warn: float = 0.55
    """AUC of header facts alone, above which the audit warns"""
    header_fail: float = 0.60
    """... and fails, where its interval also lies above one half"""
    pixels_warn: float = 0.65
    """AUC of cheap pixel statistics, above which the audit warns"""
    pixels_fail: float = 0.85
    """... and fails"""
    sources_warn: float = 0.65
    """AUC between two sources of photographs, above which the audit warns"""
    sources_fail: float = 1.01
    """... and fails; above 1: never, since sources may differ where detectors are judged by source"""
    history_warn: float = 0.05
    """share of a class whose encodings and sizes the other class lacks (total variation), to warn"""
    history_fail: float = 0.50
    """... and to fail"""
    balance_warn: float = 4.0
    """images of the larger class for one of the smaller, above which the audit warns"""


@dataclass(frozen=True)
class Finding:
    """What one part of an audit found.

    Attributes:
        part: `header`, `pixels`, `duplicates`, `balance`, `history` or `sources`.
        verdict: of this part.
        reasons: in words; the first says the most.
        facts: numbers and tables, for JSON and the page.
    """

    part: str
    verdict: Verdict
    reasons: list[str]
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the worst verdict; of none, `pass`.

    >>> worst(["pass", "fail", "warn"])
    'fail'
    """
    return max(verdicts, key=_ORDER.index, default="pass")


def judge(value: float, warn: float, fail: float, low: float | None = None) -> Verdict:
    """Hold a value against two thresholds.

    Args:
        value: an AUC, say.
        warn: above it, at least a warning.
        fail: above it, a failure...
        low: ... if the lower end of the value's interval lies above one half; None asks for none.
    """
    if value > fail and (low is None or low > 0.5):
        return "fail"
    return "warn" if value > warn else "pass"
