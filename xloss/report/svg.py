"""Draw figures as SVG elements for the page, and the distribution of errors by implementation.

matplotlib is imported when a figure is drawn, and its `pyplot` never. The SVG keeps text as text, takes its colors from
the page (so that it follows light and dark), is the same for the same numbers and names no address.
"""

from __future__ import annotations

import contextlib
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

# Placeholder colors that `plain` replaces by the style sheet's variables.
SOFT, INK, RULE, BAD = "#010101", "#020202", "#030303", "#040404"
SERIES = ("#050505", "#060606", "#070707", "#080808", "#090909", "#0a0a0a")
VARIABLES = {SOFT: "--soft", INK: "--ink", RULE: "--line", BAD: "--no"}
VARIABLES |= {color: f"--series-{place}" for place, color in enumerate(SERIES)}
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1, 1, 1, 1, 1)), "-")
MARKERS = ("o", "D", "s", "^", "v", "P", "*")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "xloss", "font.family": "sans-serif", "font.size": 9.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": SOFT, "axes.labelcolor": INK,
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlecolor": INK, "axes.titlelocation": "left",
    "axes.grid": True, "axes.axisbelow": True, "grid.color": RULE, "xtick.color": SOFT, "ytick.color": SOFT,
    "text.color": INK, "legend.frameon": False, "legend.fontsize": 8, "lines.linewidth": 1.9, "lines.markersize": 4,
}  # fmt: skip

STYLED = re.compile(r' style="([^"]*)"')
#: The least and greatest exponent of ten on the axis, by what is drawn.
RANGES: Mapping[str, tuple[int, int]] = {"ulps": (-2, 8), "budget": (-4, 8)}


class Drawing:
    """The text of a figure's SVG, once `figure` has drawn it."""

    text: str = ""


def look(place: int, line: bool = True) -> dict[str, Any]:
    """Return the color of the series at this place, with its dashes, or with its marker where there is no `line`."""
    style = (
        {"linestyle": DASHES[(place + place // 6) % 6]} if line else {"linestyle": "none", "marker": MARKERS[place % 7]}
    )
    return {"color": SERIES[place % 6], **style}


@contextlib.contextmanager
def figure(title: str, height: float, rows: int = 1, columns: int = 1, **options: Any) -> Iterator[tuple[Any, Drawing]]:
    """Give an array of axes to draw on, and where the SVG will be found; all figures have one width."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    out = Drawing()
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(5.2, height), layout="constrained")
        FigureCanvasSVG(drawn)
        axes = drawn.subplots(rows, columns, squeeze=False, **options)
        yield axes, out
        buffer = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        drawn.savefig(buffer, format="svg", metadata=metadata, transparent=True)
    out.text = plain(buffer.getvalue(), escape(title))


def legend(*axes: Any) -> None:
    """Put one legend for all of these below the figure, where it hides nothing."""
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    axes[0].figure.legend(list(found.values()), list(found), loc="outside lower center")


def shares(errors: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return the share of errors up to each number of the grid; what is infinite is in none."""
    return np.searchsorted(np.sort(errors), grid, side="right") / max(len(errors), 1)


def steps(axis: Any, errors: np.ndarray, grid: np.ndarray, **style: Any) -> None:
    """Draw the shares of `errors` up to each number of `grid`, in per cent, with a point only where they change."""
    ys = 100 * shares(errors, grid)
    kept = np.concatenate([[True], np.diff(ys) != 0])
    kept[-1] = True
    axis.plot(grid[kept], ys[kept], drawstyle="steps-post", **style)


def distribution(rows: Sequence[Mapping[str, Any]], what: str, title: str) -> str:
    """Draw the distribution of errors, in ulps or as multiples of the budget (`what`), a line for each contestant."""
    low, high = RANGES[what]
    with figure(title, 3.3) as (axes, out):
        axis = axes[0, 0]
        for place, row in enumerate(rows):
            steps(axis, row[what], np.logspace(low, high, 10 * (high - low) + 1), label=row["who"], **look(place))
        axis.set_xscale("log")
        axis.set(xlim=(10.0**low, 10.0**high), ylim=(0, 102), title=title, ylabel="checks up to there, %")
        axis.set_xlabel("worst error of a check, ulps" if what == "ulps" else "worst error, times the budget")
        ticks = [10.0**k for k in range(low, high + 1, 2)]
        axis.set_xticks(ticks, [f"{tick:g}" if 1e-3 < tick < 1e4 else f"1e{round(np.log10(tick))}" for tick in ticks])
        axis.minorticks_off()
        if what == "budget":
            axis.axvline(1, color=BAD, linewidth=1.2)
            axis.text(1.4, 3, "outside the budget →", color=BAD, fontsize=8.5)
        axis.legend(loc="lower right", bbox_to_anchor=(1, 0.06))
    return out.text


def plain(svg: str, title: str) -> str:
    """Reduce a document to a small element for a page: no prologue, unique ids, the page's own colors.

    Styles become classes, named by their content, so that figures can share them and the page needs no style attribute.
    """
    slug = f"f{zlib.crc32(title.encode()):x}"
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<path d="[^"]*" style="fill: none"/>', "", svg)  # backgrounds
    used = {name: f"{slug}-{n}" for n, name in enumerate(dict.fromkeys(re.findall(r'(?:url\(|href=")#([^)"]+)', svg)))}
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{used[m[1]]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(url\(|xlink:href=")#([^)"]+)', lambda m: f"{m[1].removeprefix('xlink:')}#{used[m[2]]}", svg)
    svg = re.sub(r' xmlns(?::xlink)?="[^"]*"| transform="rotate\(-?0 [^"]*"| version="[^"]*"', "", svg)
    svg = re.sub(r"font-family: [^;]*;|font: ([\d.]+px) [^;\"]*", lambda m: f"font-size: {m[1]}" if m[1] else "", svg)
    svg = re.sub(r"#0[0-9a]0[0-9a]0[0-9a]", lambda m: f"var({VARIABLES[m[0]]})" if m[0] in VARIABLES else m[0], svg)
    svg = re.sub(r"\d+\.\d{3,}", lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), svg)
    svg = re.sub(r' d="[^"]*"', lambda m: re.sub(r"\s*([MLQCz])\s*", r"\1", m[0]), svg)
    rules = {style: f"x{zlib.crc32(style.encode()):x}" for style in dict.fromkeys(STYLED.findall(svg))}
    svg = STYLED.sub(lambda m: f' class="{rules[m[1]]}"' if m[1] in rules else m[0], svg)
    svg = re.sub(r"\s*\n\s*", "\n", _without_bare_groups(svg))
    svg = re.sub(r"<svg[^>]*>", lambda m: re.sub(r' (?:width|height)="[^"]*"', "", m[0]), svg, count=1)
    style = "".join(f".{name}{{{rule}}}" for rule, name in rules.items())
    return re.sub(
        "<svg([^>]*)>", rf'<svg role="img" aria-label="{title}"\1><style>{style}</style>', svg, count=1
    ).strip()


def _without_bare_groups(svg: str) -> str:
    """Remove groups without attributes, of which matplotlib writes several for each mark."""
    bare: list[bool] = []

    def visit(tag: re.Match[str]) -> str:
        if tag[0].startswith("<g"):
            bare.append(tag[0] == "<g>")
            return "" if bare[-1] else tag[0]
        return "" if bare.pop() else tag[0]

    return re.sub(r"<g(?: [^>]*)?>|</g>", visit, svg.replace("<g/>", ""))
