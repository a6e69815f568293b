"""Lay out what the pages say about speed: sections of text, figures and tables, the same for HTML and for Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from xloss.bench.compare import Ratio
from xloss.report import format as words
from xloss.report.format import count, listed, number, plural
from xloss.report.source import BENCH_HINT, HISTORY_HINT
from xloss.report.speed import figures, history, tables

#: A table of changes shows so many; all are in ``data/speed_changes.csv``.
MOST = 25
RULERS: Mapping[str, str] = {
    "resident": "the process's resident memory",
    "analysed": "XLA's own plan",
    "device": "the allocator of the GPU",
}


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
    """Say where the numbers come from."""
    where = []
    for machine, device in tables.places(table):
        part = table[(table["machine"] == machine) & (table["device"] == device)]
        versions = "; ".join(
            f"{name} {listed(sorted(set(rows['version'].dropna()), key=tables.numbers))}"
            for name, rows in part.groupby("framework")
        )
        cpu = str(part["cpu"].dropna().iloc[0]) if part["cpu"].notna().any() else machine
        commits = plural(part["commit"].nunique(), "commit")
        kind = "the CPU, " if device == "cpu" else "its GPU; CPU "
        where.append(f"{machine} ({kind}{cpu}): {versions}; {commits} of xloss.")
    first = (
        "Times are of value and gradient together, in float32, where nothing else is said; of the host, from the call "
        "until the result is there, and on a GPU of the GPU itself with cold caches. asv stores seconds, bytes and "
        "ulps; xloss report writes all of them to data/speed.csv."
    )
    return [first, "Measured on " + " ".join(where)] if where else [first]


def tallies(found: Sequence[tables.Comparison]) -> list[str]:
    """Say of each pair how often which is faster."""
    out = []
    for pair in tables.PAIRS:
        tally = tables.tally(found, pair)
        if total := sum(tally.values()):
            counts = [f"{verdict} in {count(n)}" for verdict, n in tally.items() if n]
            out.append(f"{pair[1]} against {pair[0]}: {listed(counts)} of {plural(total, 'comparison')}.")
    return out


def ratios(found: Sequence[tables.Comparison], summary: Sequence[str], facts: Mapping[str, Any], path: str) -> Section:
    """Compare who is faster, from contestants that were measured in turn."""
    title = "PyTorch against JAX, loss by loss"
    if not found:
        why = "Nothing was measured in turn, and times that were taken hours apart give no ratio. This makes it:"
        return Section(title, (f"{why} {BENCH_HINT.format(path=path)}",))
    method = (
        f"Each contestant in {plural(int(facts['rounds']), 'fresh process', 'fresh processes')}, in turn with the "
        "others; the interval (99 %) is that of resampled processes and samples within them. Faster or slower: the "
        f"whole interval is beyond 5 %; same: within; otherwise ambiguous. On {facts['cpu']}, {facts['device']}."
    )
    drawn = []
    for name, pairs, left, right in (
        ("JAX over PyTorch", tables.PAIRS[:2], "JAX is faster", "PyTorch is faster"),
        ("xloss over others", tables.PAIRS[2:], "xloss is faster", "the other is faster"),
    ):
        series = {f"{b} / {a}": _bars(found, (a, b)) for a, b in pairs if _bars(found, (a, b))}
        if series:
            drawn.append(partial(figures.ratios, series, name, left, right))
    whos = [who for pair in tables.PAIRS[:2] for who in pair]
    shown = [who for who in dict.fromkeys(whos) if any(who in one.seconds for one in found)]
    there = [pair for pair in tables.PAIRS if any(pair in one.pairs for one in found)]
    rows = tuple(
        (
            one.loss, f"{one.shape}, {one.dtype}",
            *(words.seconds(one.seconds.get(who)) for who in shown), *(_pair(one.pairs.get(pair)) for pair in there),
        )
        for one in found
    )  # fmt: skip
    head = ("loss", "shape and dtype", *shown, *(f"{b} / {a}" for a, b in there))
    return Section(title, (method, *summary), tuple(drawn), (Grid("Times and ratios by loss", head, rows, 2, True),))


def _by_loss(caption: str, rows: pd.DataFrame, cell: Callable[[Mapping[Any, Any]], str]) -> Grid:
    """Lay out a row for each loss and a column for each contestant."""
    whos = tables.contestants(rows)
    cells = {(row["loss"], row["who"]): cell(row) for row in rows.to_dict("records")}
    body = tuple((loss, *(cells.get((loss, who), "–") for who in whos)) for loss in sorted(set(rows["loss"])))
    return Grid(caption, ("loss", *whos), body, 1, True)


def throughput(table: pd.DataFrame, place: str) -> Section | None:
    """Show how much of the memory's bandwidth is reached, by size."""
    lines = tables.roofline(table)
    if not lines:
        return None
    copy = tables.copy_gb_s(table)
    known = f"This machine copies {number(copy)} GB/s (dashed)." if copy > 0 else "Its copy bandwidth was not measured."
    text = (
        "The least bytes that a loss must move, inputs read once and gradients written once, over the time that it "
        f"takes. {known} A small call shows what calling costs; above the dashed line it is the caches that answer. "
        "Thin: each loss; thick: the median."
    )
    rows, ulps = tables.times(table), tables.worst_ulps(table)

    def cell(row: Mapping[Any, Any]) -> str:
        worst = [number(error) for error in ulps.get((row["loss"], row["who"]), ())]
        part = f", {words.share(row['share_of_copy'])}" if row["share_of_copy"] == row["share_of_copy"] else ""
        return f"{words.seconds(row['value'])}{part}" + (f"; {' / '.join(worst)}" if worst else "")

    caption = "{}: time, share of the copy bandwidth, worst ulps of value and gradient"
    sizes = [size for size in tables.SIZES if size in set(rows["size"])]
    grids = tuple(_by_loss(caption.format(size.capitalize()), rows[rows["size"] == size], cell) for size in sizes)
    title = f"Throughput against size{place}"
    return Section(title, (text,), (partial(figures.roofline, lines, copy, title),), grids)


def memory(table: pd.DataFrame, place: str) -> Section | None:
    """Compare peak memory with the least possible."""
    rows = tables.peaks(table)
    if rows.empty:
        return None
    series: dict[str, dict[str, float]] = {}
    rows = rows.assign(over=(rows["value"] / rows["least_bytes"]).where(rows["least_bytes"] > 0))
    drawn = rows[rows["over"] > 0].sort_values("loss")
    for who in tables.contestants(drawn):
        part = drawn[drawn["who"] == who]
        series[who] = dict(zip(part["loss"], part["over"].astype(float), strict=True))
    used = rows.sort_values("who").groupby("ruler")["who"].unique()
    rulers = [f"{name} ({', '.join(used[ruler])})" for ruler, name in RULERS.items() if ruler in used]
    text = (
        "Bytes at the peak above the inputs, each in a fresh process, over the least possible: the gradients, which "
        f"must be there at the end. Measured by {'; '.join(rulers)}. Resident memory comes in pages and may be less "
        "where memory was kept for reuse."
    )
    grid = _by_loss(
        "Peak memory, and how many times the least it is", rows,
        lambda row: f"{words.size(row['value'])}, {words.ratio(row['over'])}× ({row['size']})",
    )  # fmt: skip
    figure = (partial(figures.peaks, series, f"Peak memory over the least{place}"),) if series else ()
    return Section(f"Peak memory against the least possible{place}", (text,), figure, (grid,))


def compile_times(table: pd.DataFrame, place: str) -> Section | None:
    """Show what compiling costs."""
    wide = tables.compiling(table)
    if wide.empty:
        return None
    stages = [stage for stage in ("lowering", "cold", "cached") if stage in wide.columns]
    series, rows = {}, []
    for who, part in wide.groupby(level="who"):
        middle, most = part[stages].median(), part[stages].max()
        rows.append((str(who), count(len(part)), *(words.seconds(x) for s in stages for x in (middle[s], most[s]))))
        cold = part["cold"].dropna() if "cold" in stages else pd.Series(dtype=float)
        if len(cold) and cold.min() > 0:
            series[str(who)] = [float(x) for x in cold]
    head = ("implementation", "losses", *(f"{stage}, {what}" for stage in stages for what in ("median", "most")))
    text = (
        "Value and gradient at the medium size. Cold: from Python to machine code with no cache; cached: again, as a "
        "new process finds the compiler's cache on disk; lowering: the part before the compiler proper."
    )
    figure = (partial(figures.compile_times, series, f"Compile times, cold{place}"),) if series else ()
    return Section(f"Compile times{place}", (text,), figure, (Grid("Compile times", head, tuple(rows)),))


def versions(table: pd.DataFrame, found: Sequence[history.Change]) -> Section:
    """Show what changed from version to version."""
    stepped = history.steps(table, found)
    if not stepped:
        none = "No framework was measured in two versions at one commit."
        return Section("Versions", (f"{none} {HISTORY_HINT} measures all versions of asv.conf.json.",))
    text = (
        "Each version measured the same commit of xloss. A change: the 99 % interval of the ratio is beyond 5 %. It "
        "is sure where the number is deterministic (ulps, planned memory), or where five commits or more agree; a time "
        "that one process each measured, at different times, is a candidate, to be measured again. The control is a "
        "copy of memory, timed in each environment: where it differs by more than 10 %, the machine was not the same, "
        f"and no times are judged. {plural(len(found), 'change')}, {count(sum(c.sure for c in found))} of them sure."
    )
    drawn = []
    for (machine, device, framework), topics in history.trends(table).items():
        changed = {
            (step.topic, step.after): (step.better, step.worse)
            for step in stepped
            if (step.machine, step.device, step.framework) == (machine, device, framework)
        }
        drawn.append(partial(figures.versions, topics, changed, f"{framework} on {machine}, {device}"))
    head = ("release", "what", "where", "cells", "all together, ×", "control, ×", "better", "worse", "sure")
    grids = [Grid("Which release changed what", head, tuple(map(_step, stepped)), 3)]
    if found:
        cut = f" ({MOST} of {count(len(found))}; all are in data/speed_changes.csv)" if len(found) > MOST else ""
        columns = ("loss", "release", "who", "what", "before", "after", "×", "interval", "runs", "verdict")
        caption = f"Changes, the surest and greatest first{cut}"
        grids.append(Grid(caption, columns, tuple(map(_change, found[:MOST])), 4, True))
    return Section("Versions", (text,), tuple(drawn), tuple(grids))


def failed(cells: pd.DataFrame) -> Section | None:
    """List the cells that failed."""
    if cells.empty:
        return None
    groups = Counter(
        (str(row["loss"]), str(row["kind"]), f"{row['framework']} {row['version']}") for row in cells.to_dict("records")
    )
    rows = tuple((*key, count(n)) for key, n in sorted(groups.items()))
    text = (
        f"{plural(len(cells), 'cell')} gave no result: it raised, ran out of time or memory, or its environment was "
        "not what its label says."
    )
    head = ("loss", "benchmark", "version", "cells")
    return Section("Failed", (text,), (), (Grid("Failed cells", head, rows, 3, True),))


def _bars(found: Sequence[tables.Comparison], pair: tuple[str, str]) -> list[figures.Bar]:
    several = len({(one.shape, one.dtype, one.variant) for one in found}) > len({one.loss for one in found})
    return [
        (f"{one.loss} {one.shape} {one.dtype}" if several else one.loss, at.ratio, at.low, at.high)
        for one in found
        if (at := one.pairs.get(pair)) is not None
    ]


def _pair(at: Ratio | None) -> str:
    return "–" if at is None else f"{words.ratio(at.ratio)} ({words.interval(at.low, at.high)}) {at.verdict}"


def _step(step: history.Step) -> tuple[str, ...]:
    """Format a release; no counts of times where the machine was not the same."""
    unjudged = step.topic in history.TIMED and not step.steady and not step.better + step.worse
    changed = ("not judged",) * 3 if unjudged else tuple(map(count, (step.better, step.worse, step.sure)))
    place, ratios = f"{step.machine}, {step.device}", (words.ratio(step.ratio), words.ratio(step.copy))
    return (step.name, step.topic, place, count(step.cells), *ratios, *changed)


def _change(change: history.Change) -> tuple[str, ...]:
    show = {"ulps": number, "memory": words.size}.get(change.topic, words.seconds)
    verdict = ("worse" if change.worse else "better") + ("" if change.sure else ", candidate")
    numbers = (show(change.old), show(change.new), words.ratio(change.ratio), words.interval(change.low, change.high))
    what = f"{change.topic}: {change.what}"
    return (change.loss, change.name, change.who, what, *numbers, str(change.runs), verdict)
