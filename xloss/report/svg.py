"""The figures: how errors are distributed, by implementation.

matplotlib is imported when a figure is drawn, and its `pyplot` never. The SVG keeps text as text, takes its colors from
the page (so that it follows light and dark), is the same for the same numbers and names no address.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "xloss",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#010101",
    "axes.labelcolor": "#020202",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlecolor": "#020202",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#030303",
    "xtick.color": "#010101",
    "ytick.color": "#010101",
    "text.color": "#020202",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.9,
}
# Colors that stand for the page's: the style sheet names them for light and for dark.
_NAMES = {"#010101": "--soft", "#020202": "--ink", "#030303": "--line", "#040404": "--no"}
_LINES = ("#050505", "#060606", "#070707", "#080808", "#090909", "#0a0a0a")
_NAMES |= {color: f"--series-{place}" for place, color in enumerate(_LINES)}
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), "-")

#: The least and greatest exponent of ten on the axis, by what is drawn.
RANGES: Mapping[str, tuple[int, int]] = {"ulps": (-2, 8), "budget": (-4, 8)}


def shares(errors: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """The share of errors up to each number of the grid; what is infinite is in none."""
    return np.searchsorted(np.sort(errors), grid, side="right") / max(len(errors), 1)


def distribution(rows: Sequence[Mapping[str, Any]], what: str, title: str) -> str:
    """The distribution of errors, in ulps or as multiples of the budget (`what`), a line for each contestant."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    low, high = RANGES[what]
    grid = np.logspace(low, high, 20 * (high - low) + 1)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 3.3), layout="constrained")
        FigureCanvasSVG(figure)
        axis = figure.subplots()
        for place, row in enumerate(rows):
            color, dash = _LINES[place % len(_LINES)], _DASHES[place % len(_DASHES)]
            axis.plot(
                grid,
                100 * shares(row[what], grid),
                drawstyle="steps-post",
                label=row["who"],
                color=color,
                linestyle=dash,
            )
        axis.set_xscale("log")
        axis.set(xlim=(10.0**low, 10.0**high), ylim=(0, 102), title=title, ylabel="checks up to there, %")
        axis.set_xlabel("worst error of a check, ulps" if what == "ulps" else "worst error, times the budget")
        ticks = [10.0**k for k in range(low, high + 1, 2)]
        axis.set_xticks(ticks, [f"{tick:g}" if 1e-3 < tick < 1e4 else f"1e{round(np.log10(tick))}" for tick in ticks])
        axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        if what == "budget":
            axis.axvline(1, color="#040404", linewidth=1.2)
            axis.text(1.4, 3, "outside the budget →", color="#040404", fontsize=8.5)
        axis.legend(loc="lower right", bbox_to_anchor=(1, 0.06))
        buffer = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", metadata=metadata, transparent=True)
    return plain(buffer.getvalue(), title)


def plain(svg: str, title: str) -> str:
    """The bare element for a page: no prologue, no namespaces, ids that stay apart, the page's own colors."""
    slug = re.sub(r"\W+", "-", title.lower()).strip("-")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|xlink:href=")#([^)"]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{slug}-{m[1]}"' if m[1] in used else "", svg)
    svg = svg.replace("url(#", f"url(#{slug}-").replace('xlink:href="#', f'href="#{slug}-')
    svg = re.sub(r' xmlns(?::xlink)?="[^"]*"| transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r"font-family: [^;]*;|font: ([\d.]+px) [^;\"]*", lambda m: f"font-size: {m[1]}" if m[1] else "", svg)
    svg = re.sub(r"#0[0-9a]0[0-9a]0[0-9a]", lambda m: f"var({_NAMES[m[0]]})" if m[0] in _NAMES else m[0], svg)
    svg = re.sub(r"\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}", svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    svg = re.sub(r"<svg[^>]*>", lambda m: re.sub(r' (?:width|height)="[^"]*"', "", m[0]), svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1).strip() + "\n"
