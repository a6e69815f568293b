"""Draw the figures about speed: ratios with intervals, throughput against size, memory, versions, compile times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xloss.report import format as words
from xloss.report.speed.history import VersionPoint
from xloss.report.speed.tables import Point
from xloss.report.svg import BAD, INK, MARKERS, SERIES, SOFT, figure, legend, look, steps

#: A ratio with its interval: (label, ratio, low, high).
Bar = tuple[str, float, float, float]
GAP = float("nan")  # ends a line, so that many are drawn as one, which takes a fraction of the bytes


def ratios(series: Mapping[str, Sequence[Bar]], title: str, left: str, right: str) -> str:
    """Draw a row for each loss, a mark with its interval for each series; `left`, `right` name the sides of 1."""
    names = list(dict.fromkeys(bar[0] for bars in series.values() for bar in bars))
    ends = [x for bars in series.values() for bar in bars for x in bar[1:] if np.isfinite(x) and x > 0]
    most = min(max([2.0, *(max(x, 1 / x) for x in ends)]), 256.0) ** 1.05
    with figure(title, 1.2 + 0.23 * len(names) + 0.2 * len(series)) as (axes, out):
        axis = axes[0, 0]
        for place, (who, bars) in enumerate(series.items()):
            spread = 0.16 * (place - (len(series) - 1) / 2)
            ys = [names.index(bar[0]) + spread for bar in bars]
            middles, lows, highs = (np.clip([bar[i] for bar in bars], 1 / most, most) for i in (1, 2, 3))
            intervals = [x for low, high in zip(lows, highs, strict=True) for x in (low, high, GAP)]
            axis.plot(intervals, np.repeat(ys, 3), color=look(place)["color"], linewidth=1.6)
            axis.plot(middles, ys, label=who, **look(place, line=False))
        axis.axvline(1, color=SOFT, linewidth=1)
        axis.set_xscale("log", base=2)
        axis.set_xlim(1 / most, most)
        ticks = [2.0**k for k in range(-8, 9) if 1 / most <= 2.0**k <= most]
        ticks = [tick for tick in ticks if len(ticks) <= 9 or round(np.log2(tick)) % 2 == 0]
        axis.set_xticks(ticks, [f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in ticks])
        _name_rows(axis, names, title, f"← {left} · ratio of times · {right} →")
    return out.text


def _name_rows(axis: Any, names: Sequence[str], title: str, xlabel: str) -> None:
    """Label the y axis with names, the first on top, and finish the figure."""
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.minorticks_off()
    axis.tick_params(axis="y", length=0)
    axis.set_title(title)
    axis.set_xlabel(xlabel, fontsize=8.5)
    legend(axis)


def roofline(lines: Mapping[str, Mapping[str, Sequence[Point]]], copy: float, title: str) -> str:
    """Draw GB/s against least bytes: a panel for each contestant, with the bandwidth of a copy.

    A thin line is a loss, the thick one their median (the loss "").
    """
    columns = min(2, len(lines))
    rows = -(-len(lines) // columns)
    points = [point for losses in lines.values() for line in losses.values() for point in line]
    low, high = min(y for _, y in points), max([y for _, y in points] + ([copy] if np.isfinite(copy) else []))
    with figure(title, 0.5 + 1.9 * rows, rows, columns, sharex=True, sharey=True) as (axes, out):
        for place, (who, losses) in enumerate(lines.items()):
            axis = axes[place // columns, place % columns]
            color = SERIES[place % len(SERIES)]
            thin = [point for loss, line in losses.items() if loss for point in (*line, (GAP, GAP))]
            for shown, style in ((thin, {"alpha": 0.28, "linewidth": 0.8}), (losses[""], {"marker": "o"})):
                axis.plot([x for x, _ in shown], [y for _, y in shown], color=color, **style)
            if np.isfinite(copy):
                axis.axhline(copy, color=BAD, linewidth=1.2, linestyle=(0, (5, 2)))
            axis.set_title(who, fontsize=8)
            axis.set(xscale="log", yscale="log", ylim=(low / 2, high * 2))
            axis.minorticks_off()
        for axis in axes.flat[len(lines) :]:
            axis.set_visible(False)
        if np.isfinite(copy):
            axes[0, 0].text(min(x for x, _ in points), copy, "copy bandwidth", color=BAD, fontsize=8, va="bottom")
        for axis in axes[:, 0]:
            axis.set_ylabel("GB/s")
        for axis in axes[-1]:
            axis.set_xlabel("least bytes")
    return out.text


def peaks(series: Mapping[str, Mapping[str, float]], title: str) -> str:
    """Draw peak memory over the least possible: a line for each loss, a mark for each contestant."""
    names = sorted({loss for losses in series.values() for loss in losses})
    with figure(title, 1.0 + 0.2 * len(names) + 0.2 * len(series)) as (axes, out):
        axis = axes[0, 0]
        for place, (who, losses) in enumerate(series.items()):
            ys = [names.index(loss) + 0.7 / len(series) * (place - (len(series) - 1) / 2) for loss in losses]
            axis.plot(list(losses.values()), ys, label=who, **look(place, line=False))
        axis.axvline(1, color=BAD, linewidth=1.2)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        _name_rows(axis, names, title, "peak above the inputs, over the least possible (1)")
    return out.text


def versions(
    topics: Mapping[str, Mapping[str, Sequence[VersionPoint]]],
    changed: Mapping[tuple[str, str], tuple[int, int]],
    title: str,
) -> str:
    """Draw a panel for each topic: each contestant's geometric mean over cells, relative to the oldest version.

    The band is the middle 80 % of the cells. `changed` by topic and version: how many cells this release made better
    and worse.
    """
    from matplotlib.ticker import MaxNLocator, NullLocator

    whos = list(dict.fromkeys(who for lines in topics.values() for who in lines))
    with figure(title, 0.4 + 1.9 * len(topics) + 0.2 * len(whos), len(topics), 1) as (axes, out):
        for axis, (topic, lines) in zip(axes[:, 0], topics.items(), strict=True):
            names = list(dict.fromkeys(point[0] for line in lines.values() for point in line))
            for who, line in lines.items():
                place = whos.index(who)
                xs, means, low, high = zip(*((names.index(v), *numbers) for v, *numbers in line), strict=True)
                axis.fill_between(xs, low, high, color=look(place)["color"], alpha=0.13, linewidth=0)
                axis.plot(xs, means, marker=MARKERS[place % 7], label=who, **look(place))
            axis.axhline(1, color=SOFT, linewidth=0.8)
            axis.set_yscale("log")
            ends = [end for line in lines.values() for point in line for end in point[2:]]
            bottom, top = min([0.92, *ends]) * 0.97, max([1.08, *ends]) ** 1.1 * 1.05
            axis.set_ylim(bottom, top)
            if top < 8 * bottom:  # within one power of ten the ticks of a log axis are too few
                axis.yaxis.set_major_locator(MaxNLocator(5))
                axis.yaxis.set_minor_locator(NullLocator())
            axis.yaxis.set_major_formatter(lambda y, _: words.ratio(y))
            for x, version in enumerate(names):
                better, worse = changed.get((topic, version), (0, 0))
                if better or worse:
                    axis.axvline(x, color=BAD if worse else SOFT, linewidth=0.9, linestyle=(0, (1, 1.5)))
                    label = " ".join(f"{sign}{n}" for sign, n in (("▼", better), ("▲", worse)) if n)
                    above, color = axis.get_xaxis_transform(), BAD if worse else INK
                    axis.text(x, 0.98, label, transform=above, fontsize=8, va="top", ha="center", color=color)
            axis.set_xticks(range(len(names)), names)
            axis.set_xlim(-0.4, len(names) - 0.6)
            axis.set_title(f"{topic}, relative to {names[0]}", fontsize=9)
        legend(*axes[:, 0])
    return out.text


def compile_times(series: Mapping[str, Sequence[float]], title: str) -> str:
    """Draw the share of losses that are compiled within so many seconds, a line for each contestant."""
    values = [x for taken in series.values() for x in taken]
    low, high = np.floor(np.log10(min(values))), np.ceil(np.log10(max(values)) + 1e-9)
    grid = np.logspace(low, high, 200)
    with figure(title, 2.8 + 0.2 * len(series)) as (axes, out):
        axis = axes[0, 0]
        for place, (who, taken) in enumerate(series.items()):
            steps(axis, np.asarray(taken), grid, label=who, **look(place))
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda x, _: words.seconds(x))
        axis.set(xlim=(grid[0], grid[-1]), ylim=(0, 102), title=title, ylabel="losses, %", xlabel="compiled within")
        axis.minorticks_off()
        legend(axis)
    return out.text
