"""Numbers and texts as a person reads them, in HTML and in Markdown."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable
from typing import Any


def number(value: Any) -> str:
    """Two digits that matter: 0.48, 81, 1.6e7; a dash for NaN."""
    value = float(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if 9.95 <= abs(value) < 999.5:
        return f"{value:.0f}"
    text = f"{value:.1e}" if abs(value) >= 999.5 or abs(value) < 1e-3 else f"{value:.2g}"
    return re.sub(r"e([+-]?)0*", lambda m: "e" + m[1].replace("+", ""), text.replace(".0e", "e"))


def times(value: Any) -> str:
    """A multiple of the budget; near 1, where rounding would hide the verdict, with more digits."""
    value = float(value)
    if not 0.95 < value < 1.05 or value == 1:
        return number(value)
    return next(text for digits in range(4, 18) if float(text := f"{value:.{digits}g}") != 1)


def count(value: Any) -> str:
    """A whole number with commas."""
    return f"{int(value):,}"


def some(n: int, one: str, many: str = "") -> str:
    """So many of them, in the right number: 1 check, 2 checks."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def listed(names: Iterable[str]) -> str:
    """Names as a phrase: a, b and c."""
    *first, last = list(names) or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def duration(seconds: Any) -> str:
    """Seconds, or minutes where there are many."""
    seconds = float(seconds)
    if not math.isfinite(seconds):
        return "–"
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{number(seconds)} s"


def command(case_id: str) -> str:
    """What a shell runs to make this check again."""
    return f"xloss parity --case {shlex.quote(case_id)}"


def markdown(text: Any) -> str:
    """Text that Markdown shall show as it is, on one line."""
    return re.sub(r"([\\`*_<>\[\]|#~$&])", r"\\\1", " ".join(str(text).split()))
