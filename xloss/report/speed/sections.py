"""What the pages say about speed: sections of text, figures and tables, the same for HTML and for Markdown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from xloss.report.format import count, listed, number, some
from xloss.report.speed import format as say
from xloss.report.speed import history, tables

#: What makes the two things that are read here.
HISTORY_HINT = "make bench"
RATIOS_HINT = "xloss bench --all --quick --mode eager --mode compile --mode jit --out {path}"
#: A table of changes shows so many; all are in the data.
MOST = 60


@dataclass(frozen=True)
class Grid:
    """A table as text: the first `words` columns are words, the others numbers."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page; `figures` are functions that draw."""

    title: str
    text: tuple[str, ...]
    figures: tuple[Callable[[], str], ...] = ()
    grids: tuple[Grid, ...] = ()


def lead(table: pd.DataFrame) -> list[str]:
    """Where the numbers come from, in sentences."""
    where = []
    for machine, device in tables.places(table):
        part = table[(table["machine"] == machine) & (table["device"] == device)]
        versions = {
            str(name): listed(sorted(set(rows["version"].dropna()), key=tables.numbers))
            for name, rows in part.groupby("framework")
        }
        cpu = str(part["cpu"].dropna().iloc[0]) if part["cpu"].notna().any() else machine
        said = "; ".join(f"{name} {version}" for name, version in versions.items())
        commits = some(part["commit"].nunique(), "commit")
        where.append(
            f"{machine} ({'the CPU, ' if device == 'cpu' else 'its GPU; CPU '}{cpu}): {said}; {commits} of xloss."
        )
    first = (
        "Times are of value and gradient together, in float32, where nothing else is said; of the host, from the call until "
        "the result is there, and on a GPU of the GPU itself with cold caches. Stored are seconds, bytes and ulps, in "
        "data/speed.parquet; everything else here follows from them."
    )
    return [first, "Measured on " + " ".join(where)] if where else [first]


def ratios(found: Sequence[tables.Duel], facts: Mapping[str, Any], path: str) -> Section:
    """Who is faster, from contestants that were measured in turn."""
    title = "PyTorch against JAX, loss by loss"
    if not found:
        why = "Nothing was measured in turn, and a ratio of times that were taken hours apart is none. This makes it:"
        return Section(title, (f"{why} {RATIOS_HINT.format(path=path)}",))
    text = [
        f"Each contestant in {some(int(facts['rounds']), 'fresh process', 'fresh processes')}, in turn with the others; the interval "
        "(99 %) is that of resampled processes and samples within them. Faster or slower: the whole interval is beyond 5 %; "
        f"same: within; otherwise ambiguous. On {facts['cpu']}, {facts['device']}."
    ]
    for pair in tables.PAIRS:
        tally = tables.tally(found, pair)
        if total := sum(tally.values()):
            counts = [f"{verdict} in {count(n)}" for verdict, n in tally.items() if n]
            text.append(f"{pair[1]} against {pair[0]}: {listed(counts)} of {some(total, 'comparison')}.")
    figures = []
    for title_, pairs, left, right in (
        ("JAX over PyTorch", tables.PAIRS[:2], "JAX is faster", "PyTorch is faster"),
        ("xloss over others", tables.PAIRS[2:], "xloss is faster", "the other is faster"),
    ):
        series = {f"{b} / {a}": _bars(found, (a, b)) for a, b in pairs if _bars(found, (a, b))}
        if series:
            figures.append(_later("ratios", series, title_, left, right))
    whos = [who for both in tables.PAIRS[:2] for who in both]
    shown = list(dict.fromkeys(who for who in whos if any(who in duel.seconds for duel in found)))
    there = [pair for pair in tables.PAIRS if any(pair in duel.pairs for duel in found)]
    rows = tuple(
        (
            duel.loss, f"{duel.shape}, {duel.dtype}",
            *(say.seconds(duel.seconds.get(who)) for who in shown), *(_pair(duel.pairs.get(pair)) for pair in there),
        )
        for duel in found
    )  # fmt: skip
    head = ("loss", "shape and dtype", *shown, *(f"{b} / {a}" for a, b in there))
    return Section(title, tuple(text), tuple(figures), (Grid("Times and ratios by loss", head, rows, 2, True),))


def throughput(table: pd.DataFrame, place: str) -> Section | None:
    """How much of the memory's bandwidth is reached, by size."""
    lines = tables.roofline(table)
    if not lines:
        return None
    copy = tables.copy_gb_s(table)
    known = f"This machine copies {number(copy)} GB/s (dashed)." if copy > 0 else "Its copy bandwidth was not measured."
    text = (
        f"The least bytes that a loss must move, inputs read once and gradients written once, over the time that it takes. {known} "
        "A small call shows what calling costs; above the dashed line it is the caches that answer. Thin: each loss; thick: the median.",
    )
    rows = tables.times(table)
    grids = []
    ulps = tables.worst_ulps(table)
    for size in [size for size in tables.SIZES if size in set(rows["size"])]:
        part = rows[rows["size"] == size]
        whos = tables.contestants(part)
        by = {(row["loss"], row["who"]): row for row in part.to_dict("records")}
        body = tuple(
            (loss, *(_cell(by.get((loss, who)), ulps.get((loss, who))) for who in whos))
            for loss in sorted(set(part["loss"]))
        )
        caption = f"{size.capitalize()}: time, share of the copy bandwidth, worst ulps of value and gradient"
        grids.append(Grid(caption, ("loss", *whos), body, 1, True))
    figure = _later("roofline", lines, copy, f"Throughput against size{place}")
    return Section(f"Throughput against size{place}", text, (figure,), tuple(grids))


def memory(table: pd.DataFrame, place: str) -> Section | None:
    """Peak memory against the least possible."""
    rows = tables.peaks(table)
    if rows.empty:
        return None
    whos = tables.contestants(rows)
    by = {(row["loss"], row["who"]): row for row in rows.to_dict("records")}
    series = {
        who: {loss: by[loss, who]["value"] / by[loss, who]["least_bytes"] for loss in sorted(set(rows["loss"]))
              if (loss, who) in by and by[loss, who]["least_bytes"] > 0 and by[loss, who]["value"] > 0}
        for who in whos
    }  # fmt: skip
    series = {who: losses for who, losses in series.items() if losses}
    words = {
        "resident": "the process's resident memory",
        "analysed": "XLA's own plan",
        "device": "the allocator of the GPU",
    }
    used = sorted(set(zip(rows["ruler"], rows["who"], strict=True)))
    rulers = [
        f"{words[ruler]} ({', '.join(who for by, who in used if by == ruler)})"
        for ruler in words
        if ruler in dict(used)
    ]
    text = (
        "Bytes at the peak above the inputs, each in a fresh process, over the least possible: the gradients, which must be there at "
        f"the end. Rulers: {'; '.join(rulers)}. Resident memory comes in pages and may be less where memory was kept for reuse.",
    )
    body = tuple((loss, *(_peak(by.get((loss, who))) for who in whos)) for loss in sorted(set(rows["loss"])))
    figures = (_later("peaks", series, f"Peak memory over the least{place}"),) if series else ()
    grid = Grid("Peak memory, and how many times the least it is", ("loss", *whos), body, 1, True)
    return Section(f"Peak memory against the least possible{place}", text, figures, (grid,))


def compiling(table: pd.DataFrame, place: str) -> Section | None:
    """What compiling costs."""
    wide = tables.compiling(table)
    if wide.empty:
        return None
    stages = [stage for stage in ("lowering", "cold", "cached") if stage in wide.columns]
    series = {}
    rows = []
    for who, part in wide.groupby(level="who"):
        cells = [str(who), count(len(part))]
        for stage in stages:
            taken = part[stage].dropna()
            cells += [
                say.seconds(taken.median() if len(taken) else None),
                say.seconds(taken.max() if len(taken) else None),
            ]
            if stage == "cold" and len(taken) and taken.min() > 0:
                series[str(who)] = [float(x) for x in taken]
        rows.append(tuple(cells))
    head = ("implementation", "losses", *(f"{stage}, {what}" for stage in stages for what in ("median", "most")))
    text = ("Value and gradient at the medium size. Cold: from Python to machine code with no cache; cached: again, as a new "
            "process finds the compiler's cache on disk; lowering: the part before the compiler proper.",)  # fmt: skip
    figures = (_later("compiling", series, f"Compile times, cold{place}"),) if series else ()
    return Section(f"Compile times{place}", text, figures, (Grid("Compile times", head, tuple(rows)),))


def versions(table: pd.DataFrame, found: Sequence[history.Change]) -> Section:
    """What changed from version to version."""
    title = "Versions"
    stepped = history.steps(table, found)
    if not stepped:
        said = "No framework was measured in two versions at one commit."
        return Section(title, (f"{said} {HISTORY_HINT} measures all versions of asv.conf.json.",))
    sure = sum(change.sure for change in found)
    text = (
        "Each version measured the same commit of xloss. A change: the 99 % interval of the ratio is beyond 5 %. It is sure where the "
        "number has no chance in it (ulps, planned memory), or where five commits or more agree; a time that one process each measured, "
        "at different times, is a candidate, to be measured again. The control is a copy of memory, timed in each environment: where "
        f"it differs by more than 10 %, the machine was not the same, and no times are judged. {some(len(found), 'change')}, {count(sure)} of them sure.",
    )
    figures = []
    for (machine, device, framework), topics in history.trends(table).items():
        marks = {
            (step.topic, step.after): (step.better, step.worse)
            for step in stepped
            if (step.machine, step.device, step.framework) == (machine, device, framework)
        }
        figures.append(_later("history", topics, marks, f"{framework} on {machine}, {device}"))
    rows: tuple[tuple[str, ...], ...] = tuple(
        (
            f"{step.framework} {step.before} → {step.after}", step.topic, f"{step.machine}, {step.device}", count(step.cells),
            say.ratio(step.ratio), say.ratio(step.copy), *_counts(step),
        )
        for step in stepped
    )  # fmt: skip
    head: tuple[str, ...] = (
        "release",
        "what",
        "where",
        "cells",
        "all together, ×",
        "control, ×",
        "better",
        "worse",
        "sure",
    )
    grids = [Grid("Which release changed what", head, rows, 3)]
    if found:
        head = ("loss", "release", "who", "what", "before", "after", "×", "interval", "runs", "verdict")
        caption = "Changes, the surest and greatest first" + (
            f" ({MOST} of {count(len(found))})" if len(found) > MOST else ""
        )
        grids.append(Grid(caption, head, tuple(map(_change, found[:MOST])), 4, True))
    return Section(title, text, tuple(figures), tuple(grids))


def missing(failed: pd.DataFrame) -> Section | None:
    """The cells that failed."""
    if failed.empty:
        return None
    groups: dict[tuple[str, ...], int] = {}
    for row in failed.to_dict("records"):
        key = (str(row["loss"]), str(row["kind"]), f"{row['framework']} {row['version']}")
        groups[key] = groups.get(key, 0) + 1
    rows = tuple((*key, count(n)) for key, n in sorted(groups.items()))
    text = (
        f"{some(len(failed), 'cell')} gave no result: it raised, ran out of time or memory, or its environment was not what its label says.",
    )
    return Section(
        "Failed", text, (), (Grid("Failed cells", ("loss", "benchmark", "version", "cells"), rows, 3, True),)
    )


def _later(name: str, *args: Any) -> Callable[[], str]:
    def draw() -> str:
        from xloss.report.speed import figures

        return getattr(figures, name)(*args)

    return functools.update_wrapper(draw, _later)


def _bars(found: Sequence[tables.Duel], pair: tuple[str, str]) -> list[tuple[str, float, float, float]]:
    several = len({(duel.shape, duel.dtype, duel.variant) for duel in found}) > len({duel.loss for duel in found})
    return [
        (f"{duel.loss} {duel.shape} {duel.dtype}" if several else duel.loss, at.ratio, at.low, at.high)
        for duel in found
        if (at := duel.pairs.get(pair)) is not None
    ]


def _pair(found: tables.Pair | None) -> str:
    return "–" if found is None else f"{say.ratio(found.ratio)} ({say.interval(found.low, found.high)}) {found.verdict}"


def _cell(row: Mapping[Any, Any] | None, ulps: tuple[float, float] | None) -> str:
    if row is None:
        return "–"
    tail = f"; {number(ulps[0])} / {number(ulps[1])}" if ulps else ""
    part = f", {say.share(row['share_of_copy'])}" if row["share_of_copy"] == row["share_of_copy"] else ""
    return f"{say.seconds(row['value'])}{part}{tail}"


def _peak(row: Mapping[Any, Any] | None) -> str:
    if row is None:
        return "–"
    over = row["value"] / row["least_bytes"] if row["least_bytes"] > 0 else np.nan
    return f"{say.size(row['value'])}, {say.ratio(over)}× ({row['size']})"


def _counts(step: history.Step) -> tuple[str, ...]:
    """How many cells changed; no times where the machine was not the same."""
    if step.topic in history.TIMED and not step.steady and not step.better + step.worse:
        return ("not judged",) * 3
    return count(step.better), count(step.worse), count(step.sure)


def _change(change: history.Change) -> tuple[str, ...]:
    show = {"ulps": number, "memory": say.size}.get(change.topic, say.seconds)
    verdict = ("worse" if change.worse else "better") + ("" if change.sure else ", candidate")
    return (
        change.loss, f"{change.framework} {change.before} → {change.after}", change.who, f"{change.topic}: {change.what}",
        show(change.old), show(change.new), say.ratio(change.ratio), say.interval(change.low, change.high), str(change.runs), verdict,
    )  # fmt: skip
