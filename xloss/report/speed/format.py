"""Times, sizes, rates and ratios as a person reads them: three digits that matter, and the unit that suits."""

from __future__ import annotations

import math
from typing import Any

from xloss.report.format import number

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def seconds(value: Any) -> str:
    """A time: 1.23 s, 45.6 ms, 789 µs; a dash where there is none."""
    value = _float(value)
    if not math.isfinite(value):
        return "–"
    unit, name = next((pair for pair in _SECONDS if abs(value) >= 0.9995 * pair[0]), _SECONDS[-1])
    return f"{three(value / unit)} {name}"


def size(value: Any) -> str:
    """A number of bytes, in decimal units: 67.1 MB."""
    return _scaled(value, "B")


def rate(value: Any) -> str:
    """Bytes a second: 12.3 GB/s."""
    return _scaled(value, "B/s")


def gigabytes(value: Any) -> str:
    """The number of GB (or GB/s) alone, for a column of them."""
    value = _float(value)
    return "–" if not math.isfinite(value) else three(value / 1e9)


def share(value: Any) -> str:
    """A share in per cent: 37 %, 4.2 %."""
    value = _float(value)
    return f"{100 * value:.2g} %" if value < 0.0995 else "–" if not math.isfinite(value) else f"{100 * value:.0f} %"


def ratio(value: Any) -> str:
    """A ratio: 0.87, 1.24, 12.3, 153."""
    value = _float(value)
    return "–" if not math.isfinite(value) else f"{value:.2f}" if abs(value) < 9.995 else three(value)


def interval(low: Any, high: Any) -> str:
    """The ends of an interval of ratios."""
    return f"{ratio(low)}–{ratio(high)}" if math.isfinite(_float(low)) else "–"


def ulps(value: Any) -> str:
    """A number of ulps."""
    return number(_float(value))


def three(value: float) -> str:
    """Three digits that matter, without an exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(float(f"{value:.3g}")))))
    return f"{value:.{digits}f}"


def _scaled(value: Any, unit: str) -> str:
    value = _float(value)
    if not math.isfinite(value):
        return "–"
    scale, prefix = next((pair for pair in _DECIMAL if abs(value) >= 0.9995 * pair[0]), _DECIMAL[-1])
    return f"{three(value / scale) if prefix else f'{value:.0f}'} {prefix}{unit}"


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)
