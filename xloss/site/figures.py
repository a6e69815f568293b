"""Draw the figures of a loss: its history over versions and commits, its time against its size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xloss.report import format as words
from xloss.report.svg import BAD, MARKERS, RULE, SOFT, figure, legend, look

#: A number with its interval; the ends are NaN where there is none.
Measured = tuple[float, float, float]


@dataclass(frozen=True)
class Panel:
    """A part of a history: `columns` are (version, commit), `lines` give each contestant's numbers by column."""

    title: str
    unit: str
    columns: Sequence[tuple[str, str]]
    lines: Mapping[str, Mapping[tuple[str, str], Measured]]


def history(panels: Sequence[Panel], title: str) -> str:
    """Draw a panel for each framework and quantity: a mark for each commit, the commits of a version side by side."""
    whos = list(dict.fromkeys(who for panel in panels for who in panel.lines))
    with figure(title, 0.3 + 1.75 * len(panels) + 0.2 * len(whos), len(panels), 1) as (axes, out):
        for axis, panel in zip(axes[:, 0], panels, strict=True):
            xs = _places(panel.columns)
            for who, line in panel.lines.items():
                place = whos.index(who)
                for number, version in enumerate(dict.fromkeys(v for v, _ in panel.columns)):
                    keys = [key for key in panel.columns if key[0] == version and key in line]
                    at = [xs[key] for key in keys]
                    middle = [line[key][0] for key in keys]
                    label = {"label": who} if number == 0 or who not in axis.get_legend_handles_labels()[1] else {}
                    axis.plot(at, middle, marker=MARKERS[place % 7], markersize=3.5, **label, **look(place))
                    for key in keys:
                        _, low, high = line[key]
                        if low == low:
                            axis.plot([xs[key]] * 2, [low, high], color=look(place)["color"], linewidth=1)
            _finish(axis, panel, xs)
        legend(*axes[:, 0])
    return out.text


def _places(columns: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Place the commits of a version side by side, with a gap before the next version."""
    places, at, last = {}, 0.0, None
    for key in columns:
        at += 0 if last is None else 1 if key[0] == last else 1.8
        places[key], last = at, key[0]
    return places


def _finish(axis: Any, panel: Panel, xs: Mapping[tuple[str, str], float]) -> None:
    """Label the axes of a panel: the versions below, the unit at the side."""
    versions = dict.fromkeys(version for version, _ in panel.columns)
    groups = {version: [x for (v, _), x in xs.items() if v == version] for version in versions}
    values = [x for line in panel.lines.values() for one in line.values() for x in one if x == x]
    low, high = min(values, default=1.0), max(values, default=1.0)
    if low > 0:
        axis.set_yscale("log")
        axis.set_ylim(low / 1.6, high * 1.6)
    else:  # an error of 0 is a result, too
        axis.set_yscale("symlog", linthresh=0.1)
        axis.set_ylim(-0.02, max(high, 1.0) * 1.6)
    show = words.seconds if panel.unit == "seconds" else words.number
    axis.yaxis.set_major_formatter(lambda y, _: show(y))
    if low > 0 and high < 50 * low:
        axis.set_yticks(_round_ticks(low, high))
    axis.minorticks_off()
    axis.set_xticks([sum(at) / len(at) for at in groups.values()], list(groups))
    ends = [max(at) + 0.9 for at in list(groups.values())[:-1]]
    for end in ends:
        axis.axvline(end, color=RULE, linewidth=0.8)
    axis.set_xlim(-0.8, max(xs.values()) + 0.8)
    axis.grid(axis="x", visible=False)
    axis.set_title(panel.title, fontsize=9)


def _round_ticks(low: float, high: float) -> list[float]:
    """Return numbers with one digit, 1, 2, 3, 5 or 7, around an interval of less than two powers of ten."""
    first = math.floor(math.log10(low)) - 1
    ticks = [digit * 10.0**power for power in range(first, first + 4) for digit in (1, 2, 3, 5, 7)]
    inside = [tick for tick in ticks if low / 1.5 <= tick <= high * 1.5]
    return inside[:: 1 + (len(inside) - 1) // 6]


def sizes(lines: Mapping[str, Sequence[tuple[float, Measured]]], copy: float, title: str) -> str:
    """Draw seconds against the least bytes, a line for each contestant, and the time in which a copy moves as much."""
    with figure(title, 2.7 + 0.2 * len(lines)) as (axes, out):
        axis = axes[0, 0]
        ends = [x for line in lines.values() for x, _ in line]
        for place, (who, line) in enumerate(lines.items()):
            axis.plot(
                [x for x, _ in line], [y[0] for _, y in line], label=who, marker=MARKERS[place % 7], **look(place)
            )
            for x, (_, low, high) in line:
                if low == low:
                    axis.plot([x, x], [low, high], color=look(place)["color"], linewidth=1)
        if copy > 0:
            span = [min(ends) / 1.5, max(ends) * 1.5]
            axis.plot(span, [x / (copy * 1e9) for x in span], color=BAD, linestyle=(0, (5, 2)), linewidth=1.2)
            axis.text(span[1], span[1] / (copy * 3e9), "roofline: a copy", color=BAD, fontsize=8, va="top", ha="right")
        axis.set(xscale="log", yscale="log", xlabel="least bytes that must move", title=title)
        axis.xaxis.set_major_formatter(lambda x, _: words.size(x))
        axis.yaxis.set_major_formatter(lambda y, _: words.seconds(y))
        axis.minorticks_off()
        axis.tick_params(colors=SOFT)
        legend(axis)
    return out.text
