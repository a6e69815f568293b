"""The columns of a comparison's rows, and what their statuses mean."""

from __future__ import annotations

BAD = ("inaccurate", "differs")
STOPPED = ("error", "crash", "timeout", "oom")
COLUMNS = (
    "case",
    "dtype",
    "check",
    "argument",
    "side",
    "framework",
    "status",
    "max_abs",
    "max_ulp",
    "budget",
    "reason",
)
