"""The columns of a comparison's rows."""

from __future__ import annotations

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
