"""Select what was measured of one loss: times, memory, digits, by implementation, size and version."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from xloss.report import format as words
from xloss.report.speed import sections, tables
from xloss.report.speed.sections import Grid, Section
from xloss.site import figures

if TYPE_CHECKING:
    from xloss.catalog import Loss
    from xloss.report.speed.history import Change
    from xloss.site.sources import Sources

MAIN = tables.MAIN
#: What a history shows: kind, quantities (the greatest counts), unit.
HISTORIES = (("speed", [MAIN], "seconds"), ("accuracy", ["value_worst", "gradient_worst"], "ulps"))


def reported(found: Sources, loss: Loss) -> list[Section]:
    """Lay out speed, memory and compile times of a loss; a section says so where nothing was measured."""
    part = found.newest[found.newest["loss"] == loss.name]
    made = [_in_turn(found, loss), _times(found, loss, part), _memory(part), _compiling(part)]
    return [one for one in made if one is not None]


def _in_turn(found: Sources, loss: Loss) -> Section | None:
    """Show ratios that were measured in turn, from the rows of ``xloss bench``."""
    compared = [one for one in found.compared if one.loss == loss.name]
    if not compared:
        return None
    return sections.ratios(compared, sections.tallies(compared), found.bench[0], f"{loss.name} --out bench.parquet")


def _times(found: Sources, loss: Loss, part: pd.DataFrame) -> Section | None:
    """List times with their intervals, by implementation, mode and size; and draw them against the roofline."""
    rows = part[part["kind"].isin(["speed", "device"])]
    if rows.empty:
        return None
    order = {size: place for place, size in enumerate(tables.SIZES)}
    whos = {who: place for place, who in enumerate(tables.contestants(rows))}
    rows = rows.assign(place=rows["size"].map(order), rank=rows["who"].map(whos)).sort_values(["place", "rank"])
    body = tuple(
        (
            row["who"], _where(loss, row), str(row["version"]), _quantity(row), words.seconds(row["value"]),
            _interval(row, words.seconds), words.number(row["gb_s"]), words.share(row["share_of_copy"]),
        )
        for row in rows.to_dict("records")
    )  # fmt: skip
    head = ("implementation", "size", "version", "what", "time", "99 % interval", "GB/s", "of a copy's bandwidth")
    text = (
        "The median of the samples of one process, with the 99 % interval of that median. Processes of different "
        "frameworks ran minutes apart, on a machine that others use too: a ratio with an interval of its own comes "
        f"from xloss bench {loss.name}, which measures all in turn.",
    )
    main = rows[(rows["quantity"] == MAIN) & (rows["dtype"] == "float32") & (rows["least_bytes"] > 0)]
    lines = {
        who: [(float(r["least_bytes"]), _measured(r)) for r in main[main["who"] == who].to_dict("records")]
        for who in tables.contestants(main)
    }
    title = "Value and gradient, float32: time against size"
    drawn = (partial(figures.sizes, lines, found.copy, title),) if lines else ()
    return Section("Time", text, drawn, (Grid(f"Times of {loss.name}", head, body, 4),))


def _memory(part: pd.DataFrame) -> Section | None:
    rows = part[part["kind"] == "memory"]
    if rows.empty:
        return None
    body = tuple(
        (
            row["who"], str(row["size"]), str(row["version"]), sections.RULERS.get(row["ruler"], str(row["ruler"])),
            words.size(row["value"]), words.ratio(1 / row["share_of_least"]) if row["share_of_least"] > 0 else "–",
        )
        for row in rows.sort_values(["size", "who"]).to_dict("records")
    )  # fmt: skip
    head = ("implementation", "size", "version", "measured by", "peak above the inputs", "times the least")
    text = (
        "Value and gradient, each in a fresh process. The least is the gradients, which must be there at the end. "
        "Resident memory comes in pages and may be less than that where memory was kept for reuse.",
    )
    return Section("Memory", text, (), (Grid("Peak memory", head, body, 4),))


def _compiling(part: pd.DataFrame) -> Section | None:
    rows = part[part["kind"] == "compiling"]
    if rows.empty:
        return None
    body = tuple(
        (row["who"], str(row["quantity"]), str(row["version"]), words.seconds(row["value"]))
        for row in rows.to_dict("records")
    )
    return Section(
        "Compiling", (), (), (Grid("Compile times", ("implementation", "stage", "version", "time"), body, 3),)
    )


def history(found: Sources, loss: Loss) -> tuple[list[figures.Panel], list[tuple[str, ...]]]:
    """Return the panels of the history of a loss, and what a release of a framework changed, as rows."""
    part = found.table[(found.table["loss"] == loss.name) & (found.table["device"] == "cpu")]
    panels = []
    for kind, quantities, unit in HISTORIES:
        rows = part[(part["kind"] == kind) & part["quantity"].isin(quantities) & (part["dtype"] == "float32")]
        if kind == "speed":
            rows = rows[rows["size"] == "medium"]
        for framework, group in rows.groupby("framework", sort=False):
            panels.append(_panel(str(framework), kind, unit, group))
    changed = [_change(change) for change in found.changes if change.loss == loss.name]
    return sorted(panels, key=lambda panel: panel.unit != "seconds"), changed


def _change(change: Change) -> tuple[str, ...]:
    show = {"ulps": words.number, "memory": words.size}.get(change.topic, words.seconds)
    verdict = ("worse" if change.worse else "better") + ("" if change.sure else ", to be measured again")
    factor = f"{words.ratio(change.ratio)} ({words.interval(change.low, change.high)})"
    return (
        change.name,
        change.who,
        f"{change.topic}: {change.what}",
        show(change.old),
        show(change.new),
        factor,
        verdict,
    )


def _panel(framework: str, kind: str, unit: str, group: pd.DataFrame) -> figures.Panel:
    """Arrange a framework's numbers by version and commit, oldest first."""
    keys = sorted(
        {(str(r["version"]), str(r["commit"]), r["date"]) for r in group.to_dict("records")},
        key=lambda key: (tables.numbers(key[0]), key[2]),
    )
    columns = list(dict.fromkeys((version, commit) for version, commit, _ in keys))
    lines: dict[str, dict[tuple[str, str], figures.Measured]] = {who: {} for who in tables.contestants(group)}
    for row in group.to_dict("records"):
        line, key = lines[row["who"]], (str(row["version"]), str(row["commit"]))
        line[key] = max(line.get(key, _measured(row)), _measured(row), key=lambda measured: measured[0])
    what = "time of value and gradient, medium" if kind == "speed" else "worst error of value or gradient, ulps"
    return figures.Panel(f"{framework}: {what}", unit, columns, lines)


@functools.cache
def worst(found: Sources) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the worst errors of value and gradient by loss and contestant, in the newest versions."""
    return tables.worst_ulps(found.newest)


def worst_of(found: Sources, loss: Loss) -> list[tuple[str, float, float]]:
    """Return who was measured, with the worst errors of a loss, xloss first."""
    errors = worst(found)
    whos = [who for who in tables.contestants(found.newest) if (loss.name, who) in errors]
    return [(who, *errors[loss.name, who]) for who in whos]


@functools.cache
def medium(found: Sources) -> dict[tuple[str, str], Mapping[Any, Any]]:
    """Return the rows of time of value and gradient, medium, float32, by loss and contestant."""
    rows = tables.times(found.newest)
    rows = rows[rows["size"] == "medium"]
    return {(str(row["loss"]), str(row["who"])): row for row in rows.to_dict("records")}


def commits(found: Sources) -> Sequence[str]:
    """Return the commits of xloss that were measured, oldest first, shortened."""
    rows = found.table[["commit", "date"]].drop_duplicates("commit").sort_values("date")
    return [str(commit)[:8] for commit in rows["commit"]]


def _measured(row: Mapping[Any, Any]) -> figures.Measured:
    low, high = (float("nan") if row[name] is None else float(row[name]) for name in ("low", "high"))
    return float(row["value"]), low, high


def _interval(row: Mapping[Any, Any], show: Any) -> str:
    _, low, high = _measured(row)
    return f"{show(low)} – {show(high)}" if low == low and high == high else "–"


def _where(loss: Loss, row: Mapping[Any, Any]) -> str:
    from xloss.bench.workload import shape_at
    from xloss.catalog import Unsupported

    try:
        shape = "×".join(map(str, shape_at(loss, loss.variants[0], row["size"])))
    except Unsupported:
        return str(row["size"])
    return f"{row['size']}, {shape}"


def _quantity(row: Mapping[Any, Any]) -> str:
    named = {MAIN: "value and gradient", "value": "value", "per_sample": "per-sample gradients"}
    cache = f", {row['caches']} caches" if row["kind"] == "device" else ""
    return f"{named.get(row['quantity'], row['quantity'])}, {row['dtype']}{cache}"
