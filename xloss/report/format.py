"""Format numbers and texts for a reader, in HTML, in Markdown and in a terminal."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

STATUS_WORDS: Mapping[str, str] = {
    "ok": "within budget",
    "inaccurate": "outside the budget",
    "differs": "differs by a convention",
    "error": "raised an exception",
    "crash": "the process died",
    "timeout": "took too long",
    "oom": "out of memory",
    "unsupported": "not offered, not run",
}
#: The badge of a cell by its worst outcome: outside the budget, or without a result.
BADGES: Mapping[str, str] = {"miss": "✗", "broken": "!"}
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x9b[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_SECONDS = ((60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def number(value: Any) -> str:
    """Format with two significant digits: 0.48, 81, 1.6e7; a dash for NaN and None."""
    value = _float(value)
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
    """Format a multiple of the budget; near 1, where rounding would hide the verdict, with more digits."""
    value = _float(value)
    if not 0.95 < value < 1.05 or value == 1:
        return number(value)
    return next(text for digits in range(4, 18) if float(text := f"{value:.{digits}g}") != 1)


def count(value: Any) -> str:
    """Format a whole number with commas."""
    return f"{int(value):,}"


def plural(n: int, one: str, many: str = "") -> str:
    """Format a count with its noun: 1 check, 2 checks."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def listed(names: Iterable[str]) -> str:
    """Join names to a phrase: a, b and c."""
    *first, last = list(names) or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def seconds(value: Any) -> str:
    """Format a time with three digits: 2.32 min, 45.6 ms, 789 µs; a dash where there is none."""
    value = _float(value)
    if not math.isfinite(value):
        return "–"
    # Minutes from two on; a time that rounds up to the next unit is given in that unit.
    unit, name = next((u for u in _SECONDS if abs(value) >= (120 if u[0] == 60 else 0.9995 * u[0])), _SECONDS[-1])
    return f"{three(value / unit)} {name}"


def size(value: Any) -> str:
    """Format a number of bytes in decimal units: 67.1 MB."""
    return _scaled(value, "B")


def rate(value: Any) -> str:
    """Format bytes a second: 12.3 GB/s."""
    return _scaled(value, "B/s")


def gigabytes(value: Any) -> str:
    """Format the number of GB (or GB/s) alone, for a column of them."""
    value = _float(value)
    return "–" if not math.isfinite(value) else three(value / 1e9)


def share(value: Any) -> str:
    """Format a share in per cent: 37 %, 4.2 %."""
    value = _float(value)
    return f"{100 * value:.2g} %" if value < 0.0995 else "–" if not math.isfinite(value) else f"{100 * value:.0f} %"


def ratio(value: Any) -> str:
    """Format a ratio: 0.87, 1.24, 12.3, 153."""
    value = _float(value)
    return "–" if not math.isfinite(value) else f"{value:.2f}" if abs(value) < 9.995 else three(value)


def interval(low: Any, high: Any) -> str:
    """Format the ends of an interval of ratios."""
    return f"{ratio(low)}–{ratio(high)}" if math.isfinite(_float(low)) else "–"


def three(value: float) -> str:
    """Format with three significant digits, without an exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(float(f"{value:.3g}")))))
    return f"{value:.{digits}f}"


def command(case_id: str) -> str:
    """Return the shell command that makes this check again."""
    return f"xloss parity --case {shlex.quote(case_id)}"


def plain(text: Any) -> str:
    """Return text without the escape sequences of terminals and without control and direction characters."""
    return _CONTROL.sub("", _ESCAPES.sub("", str(text)))


def markdown(text: Any) -> str:
    """Escape text for Markdown, on one line."""
    return re.sub(r"([\\`*_<>\[\]|#~$&])", r"\\\1", " ".join(plain(text).split()))


def _scaled(value: Any, unit: str) -> str:
    value = _float(value)
    if not math.isfinite(value):
        return "–"
    scale, prefix = next((pair for pair in _DECIMAL if abs(value) >= 0.9995 * pair[0]), _DECIMAL[-1])
    return f"{three(value / scale) if prefix else f'{value:.0f}'} {prefix}{unit}"


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)
