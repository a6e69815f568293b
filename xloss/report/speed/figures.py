"""The figures about speed: ratios with their intervals, throughput against size, memory, versions, compiling.

Drawn as those of `figures`, whose style, colors and clean-up they share. matplotlib is imported when a figure is drawn.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from xloss.report.speed.format import ratio as ratio_word
from xloss.report.speed.format import seconds as seconds_word
from xloss.report.svg import _DASHES, _LINES, _STYLE, plain, shares

INK, SOFT, RULE, BAD = "#020202", "#010101", "#030303", "#040404"
MARKS = ("o", "D", "s", "^", "v", "P", "*")
#: Points: (label, ratio, low, high).
Bar = tuple[str, float, float, float]


class _Svg:
    """Holds what `_figure` has drawn."""

    text = ""


@contextlib.contextmanager
def _figure(title: str, width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> Iterator[Any]:
    """Axes to draw on, and where the SVG will be found."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    out = _Svg()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(rows, columns, squeeze=False, **options)
        yield axes, out
        buffer = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", metadata=metadata, transparent=True)
    out.text = plain(buffer.getvalue(), escape(title))


def _legend(*axes: Any, columns: int = 1) -> None:
    """One legend for all of these, below the figure, where it hides nothing."""
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    axes[0].figure.legend(list(found.values()), list(found), loc="outside lower center", ncols=columns, fontsize=8)


def ratios(series: Mapping[str, Sequence[Bar]], title: str, left: str, right: str) -> str:
    """A line for each loss, a mark with its interval for each series; `left` and `right` say what each side of 1 means."""
    names = list(dict.fromkeys(bar[0] for bars in series.values() for bar in bars))
    ends = [x for bars in series.values() for bar in bars for x in bar[1:] if np.isfinite(x) and x > 0]
    most = min(max([2.0, *(max(x, 1 / x) for x in ends)]), 256.0) ** 1.05
    with _figure(title, 5.2, 1.2 + 0.23 * len(names) + 0.2 * len(series)) as (axes, out):
        axis = axes[0, 0]
        for place, (who, bars) in enumerate(series.items()):
            spread = 0.16 * (place - (len(series) - 1) / 2)
            ys = [names.index(bar[0]) + spread for bar in bars]
            color = _LINES[place % len(_LINES)]
            middles = np.clip([bar[1] for bar in bars], 1 / most, most)
            lows, highs = (np.clip([bar[i] for bar in bars], 1 / most, most) for i in (2, 3))
            axis.hlines(ys, lows, highs, color=color, linewidth=1.6)
            axis.plot(middles, ys, MARKS[place % 7], color=color, markersize=4, linestyle="none", label=who)
        axis.axvline(1, color=SOFT, linewidth=1)
        axis.set_xscale("log", base=2)
        axis.set_xlim(1 / most, most)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        ticks = [2.0**k for k in range(-8, 9) if 1 / most <= 2.0**k <= most]
        ticks = [tick for tick in ticks if len(ticks) <= 9 or round(np.log2(tick)) % 2 == 0]
        axis.set_xticks(ticks, [f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.tick_params(axis="y", length=0)
        axis.set_title(title)
        axis.set_xlabel(f"← {left} · ratio of times · {right} →", fontsize=8.5)
        _legend(axis)
    return out.text


def roofline(lines: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], copy: float, title: str) -> str:
    """GB/s against least bytes: a panel for each contestant, a thin line for each loss, a thick one for their median (the
    loss ""), and the bandwidth of a copy.
    """  # fmt: skip
    columns = min(2, len(lines))
    rows = -(-len(lines) // columns)
    points = [point for some in lines.values() for line in some.values() for point in line]
    low, high = min(y for _, y in points), max([y for _, y in points] + ([copy] if np.isfinite(copy) else []))
    with _figure(title, 5.2, 0.5 + 1.9 * rows, rows, columns, sharex=True, sharey=True) as (axes, out):
        for place, (who, losses) in enumerate(lines.items()):
            axis = axes[place // columns, place % columns]
            color = _LINES[place % len(_LINES)]
            for loss, line in losses.items():
                look = (
                    {"alpha": 0.28, "linewidth": 0.8, "markersize": 1.8}
                    if loss
                    else {"linewidth": 2.2, "markersize": 4}
                )
                axis.plot([x for x, _ in line], [y for _, y in line], "o-", color=color, **look)
            if np.isfinite(copy):
                axis.axhline(copy, color=BAD, linewidth=1.2, linestyle=(0, (5, 2)))
            axis.set_title(who, fontsize=8)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_ylim(low / 2, high * 2)
            axis.minorticks_off()
        for axis in axes.flat[len(lines) :]:
            axis.set_visible(False)
        if np.isfinite(copy):
            x = min(x for x, _ in points)
            axes[0, 0].text(x, copy, "copy bandwidth", color=BAD, fontsize=8, va="bottom")
        for axis in axes[:, 0]:
            axis.set_ylabel("GB/s")
        for axis in axes[-1]:
            axis.set_xlabel("least bytes")
    return out.text


def peaks(series: Mapping[str, Mapping[str, float]], title: str) -> str:
    """Peak memory over the least possible: a line for each loss, a mark for each contestant."""
    names = sorted({loss for losses in series.values() for loss in losses})
    with _figure(title, 5.2, 1.0 + 0.2 * len(names) + 0.2 * len(series)) as (axes, out):
        axis = axes[0, 0]
        for place, (who, losses) in enumerate(series.items()):
            ys = [names.index(loss) + 0.7 / len(series) * (place - (len(series) - 1) / 2) for loss in losses]
            axis.plot(list(losses.values()), ys, MARKS[place % 7], color=_LINES[place % 6], markersize=4, linestyle="none", label=who)  # fmt: skip
        axis.axvline(1, color=BAD, linewidth=1.2)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.tick_params(axis="y", length=0)
        axis.set_title(title)
        axis.set_xlabel("peak above the inputs, over the least possible (1)")
        _legend(axis)
    return out.text


def history(topics: Mapping[str, Mapping[str, Sequence[tuple[str, float, float, float]]]],
            marks: Mapping[tuple[str, str], tuple[int, int]], title: str) -> str:  # fmt: skip
    """A panel for each topic: each contestant's geometric mean over cells, relative to the oldest version, with the band
    of the middle 80 %. `marks` by topic and version: how many cells this release made better and worse.
    """  # fmt: skip
    from matplotlib.ticker import MaxNLocator, NullLocator

    whos = list(dict.fromkeys(who for lines in topics.values() for who in lines))
    with _figure(title, 5.2, 0.4 + 1.9 * len(topics) + 0.2 * len(whos), len(topics), 1) as (axes, out):
        for axis, (topic, lines) in zip(axes[:, 0], topics.items(), strict=True):
            versions = list(dict.fromkeys(point[0] for line in lines.values() for point in line))
            for who, line in lines.items():
                place = whos.index(who)
                xs = [versions.index(point[0]) for point in line]
                color, dash = _LINES[place % len(_LINES)], _DASHES[place % len(_DASHES)]
                low, high = [point[2] for point in line], [point[3] for point in line]
                axis.fill_between(xs, low, high, color=color, alpha=0.13, linewidth=0)
                axis.plot(xs, [point[1] for point in line], marker=MARKS[place % 7], markersize=4, color=color, linestyle=dash, label=who)  # fmt: skip
            axis.axhline(1, color=SOFT, linewidth=0.8)
            axis.set_yscale("log")
            ends = [end for line in lines.values() for point in line for end in point[2:]]
            bottom, top = min([0.92, *ends]) * 0.97, max([1.08, *ends]) ** 1.1 * 1.05
            axis.set_ylim(bottom, top)
            if top < 8 * bottom:  # within one power of ten the ticks of a log axis are too few
                axis.yaxis.set_major_locator(MaxNLocator(5))
                axis.yaxis.set_minor_locator(NullLocator())
            axis.yaxis.set_major_formatter(lambda y, _: ratio_word(y))
            for place, version in enumerate(versions):
                better, worse = marks.get((topic, version), (0, 0))
                if better or worse:
                    axis.axvline(place, color=BAD if worse else SOFT, linewidth=0.9, linestyle=(0, (1, 1.5)))
                    said = " ".join(f"{sign}{n}" for sign, n in (("▼", better), ("▲", worse)) if n)
                    axis.text(place, 0.98, said, transform=axis.get_xaxis_transform(), fontsize=8, va="top", ha="center",
                              color=BAD if worse else INK)  # fmt: skip
            axis.set_xticks(range(len(versions)), versions)
            axis.set_xlim(-0.4, len(versions) - 0.6)
            axis.set_title(f"{topic}, relative to {versions[0]}", fontsize=9)
        _legend(*axes[:, 0])
    return out.text


def compiling(series: Mapping[str, Sequence[float]], title: str) -> str:
    """The share of losses that are compiled within so many seconds, a line for each contestant and stage."""
    values = [x for some in series.values() for x in some]
    low, high = np.floor(np.log10(min(values))), np.ceil(np.log10(max(values)) + 1e-9)
    grid = np.logspace(low, high, 200)
    with _figure(title, 5.2, 2.8 + 0.2 * len(series)) as (axes, out):
        axis = axes[0, 0]
        for place, (who, some) in enumerate(series.items()):
            axis.plot(grid, 100 * shares(np.asarray(some), grid), drawstyle="steps-post", label=who,
                      color=_LINES[place % 6], linestyle=_DASHES[place % 6])  # fmt: skip
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda x, _: seconds_word(x))
        axis.set(xlim=(grid[0], grid[-1]), ylim=(0, 102), title=title, ylabel="losses, %", xlabel="compiled within")
        axis.minorticks_off()
        _legend(axis)
    return out.text
