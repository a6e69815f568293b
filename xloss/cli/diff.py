"""`xloss diff`: what changed from one sweep to another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xloss.cli import validate
from xloss.cli.console import DISAGREES, NOTHING, WELL, Json, console

if TYPE_CHECKING:
    import pandas as pd

#: How bad a status is; a check whose status gets worse has lost its verdict.
RANK: Mapping[str, int] = {
    "ok": 0, "unsupported": 1, "differs": 2, "inaccurate": 3, "error": 4, "crash": 4, "timeout": 4, "oom": 4,
}  # fmt: skip
KEY = ["case_id", "implementation", "framework"]
SHOWN = 8
#: Facts that say how long a run took and what it found, not what it was.
OUTCOMES = ("seconds", "counts", "checks", "checks_of_xloss", "table_sha256")


def diff(
    run_a: Annotated[
        Path,
        typer.Argument(
            parser=validate.path,
            metavar="RUN_A",
            help="The run before: the folder of `xloss parity --out`, or its parquet file.",
        ),
    ],
    run_b: Annotated[Path, typer.Argument(parser=validate.path, metavar="RUN_B", help="The run after.")],
    digits: Annotated[
        float,
        typer.Option(
            parser=validate.number,
            metavar="DIGITS",
            help="Decimal digits that a check may lose: 0.5 is 3.2 times the error in "
            "ulps. Errors below an ulp count as rounding.",
        ),
    ] = 0.5,
    every: Annotated[bool, typer.Option("--all", help="Show every check that changed, not the worst few.")] = False,
    as_json: Json = False,
) -> None:
    """Compare two sweeps, check by check: of two versions, machines or commits.

    A check is worse where its verdict is (ok, then inaccurate, then crashed) or where it lost digits; one that gives no
    result and was not there before is worse, too. Exits 0 when nothing is worse, 1 when something is, 2 when a run
    cannot be read, 4 when the runs have no check in common.
    """  # fmt: skip
    from xloss.report.source import ReportError, read_run

    try:
        if not 0 <= digits <= 100:
            raise ValueError(f"digits: expected a number from 0 to 100, got {digits:g}")
    except ValueError as error:
        validate.refuse(error)
    runs = []
    for name, run in (("RUN_A", run_a), ("RUN_B", run_b)):
        try:
            runs.append(read_run(run))
        except (ReportError, ValueError) as error:
            validate.refuse(f"{name}: {error}")
    (before, facts_a), (after, facts_b) = runs
    changed, facts = compare(before, after, digits), facts_that_differ(facts_a, facts_b)
    sides = changed["side"].value_counts()
    both = int(sides.get("both", 0))
    summary = {
        "compared": both,
        **{name: int((changed["change"] == name).sum()) for name in ("worse", "better")},
        "only_in_a": int(sides.get("left_only", 0)),
        "only_in_b": int(sides.get("right_only", 0)),
    }
    moved = changed[changed["change"] != "same"].sort_values(
        ["rank_step", "digits_lost"], ascending=False, kind="stable")  # fmt: skip
    if as_json:
        shown = moved if every else moved[moved["change"] == "worse"].head(SHOWN)
        data = {"facts": facts, **summary, "by_loss": by_loss(changed), "checks": _records(shown)}
        typer.echo(json.dumps(data, indent=2))
    else:
        _print(summary, facts, changed, moved, every)
    if summary["worse"]:
        raise typer.Exit(DISAGREES)
    raise typer.Exit(WELL if both else NOTHING)


def compare(before: pd.DataFrame, after: pd.DataFrame, digits: float) -> pd.DataFrame:
    """Return a row for each check of either run: its `side`, `digits_lost` and `change` (worse, better or same)."""
    import numpy as np

    columns = [*KEY, "loss", "status", "max_ulp", "budget", "reason"]
    both = before[columns].merge(after[columns], how="outer", on=KEY, suffixes=("_a", "_b"), indicator="side")
    both["loss"] = both["loss_a"].fillna(both["loss_b"])
    step = both["status_b"].map(RANK) - both["status_a"].map(RANK)
    measured = both["status_a"].isin(["ok", "inaccurate", "differs"]) & both["status_b"].isin(
        ["ok", "inaccurate", "differs"])  # fmt: skip
    ulps_a, ulps_b = (np.maximum(both[f"max_ulp_{side}"].to_numpy(float), 1.0) for side in "ab")
    with np.errstate(invalid="ignore"):
        lost = np.where(ulps_a == ulps_b, 0.0, np.log10(ulps_b) - np.log10(ulps_a))
    both["digits_lost"] = np.where(measured & ~np.isnan(lost), lost, 0.0)
    # Of an ill-conditioned check the ulps say little: its share of the budget must have moved the same way.
    share = both["budget_b"] - both["budget_a"]
    moved = both["digits_lost"].abs() > digits
    appeared = (both["side"] == "right_only") & (both["status_b"].map(RANK) >= RANK["error"])
    worse = (step > 0) | appeared | ((step == 0) & moved & (both["digits_lost"] > 0) & ~(share <= 0))
    better = ~worse & ((step < 0) | ((step == 0) & moved & (both["digits_lost"] < 0) & ~(share >= 0)))
    both["change"] = np.select([worse, better], ["worse", "better"], "same")
    both["rank_step"] = step.fillna(0).where(~appeared, float(RANK["error"]))
    both["side"] = both["side"].astype(str)
    return both


def by_loss(changed: pd.DataFrame) -> list[dict[str, Any]]:
    """Count what changed by loss and framework, where anything did."""
    rows = []
    for (loss, framework), part in changed.groupby(["loss", "framework"]):
        counts = {name: int((part["change"] == name).sum()) for name in ("worse", "better")}
        only = {
            f"only_in_{s}": int((part["side"] == side).sum()) for s, side in (("a", "left_only"), ("b", "right_only"))
        }
        if any(counts.values()) or any(only.values()):
            rows.append({"loss": loss, "framework": framework, "checks": len(part), **counts, **only})
    return sorted(rows, key=lambda row: (-row["worse"], -row["better"], row["loss"]))


def facts_that_differ(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the facts about two runs that are not the same: versions, machine, date, seed."""
    flat = [
        {**{k: v for k, v in facts.items() if k != "versions"}, **(facts.get("versions") or {})} for facts in (a, b)
    ]
    names = [name for name in dict.fromkeys([*flat[0], *flat[1]]) if name not in OUTCOMES]
    return {name: [one.get(name) for one in flat] for name in names if flat[0].get(name) != flat[1].get(name)}


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    names = ["change", "case_id", "loss", "framework", "implementation", "status_a", "status_b", "max_ulp_a",
             "max_ulp_b", "budget_a", "budget_b", "digits_lost", "reason_b"]  # fmt: skip
    found = rows[names].to_dict("records")
    return [
        {str(k): None if isinstance(v, float) and not abs(v) < float("inf") else v for k, v in row.items()}
        for row in found
    ]


def _print(summary: Mapping[str, int], facts: Mapping[str, list[Any]], changed: pd.DataFrame, moved: pd.DataFrame,
           every: bool) -> None:  # fmt: skip
    from rich.table import Table

    screen = console()
    for name, (first, second) in facts.items():
        screen.print(f"{name}: {first} -> {second}", markup=False)
    rows = by_loss(changed)
    if rows:
        table = Table("loss", "framework", "checks", "worse", "better", "only in A", "only in B",
                      title="what changed, by loss and framework", title_justify="left")  # fmt: skip
        for row in rows if every else rows[:20]:
            table.add_row(*(validate.plain(value) for value in row.values()))
        screen.print(table)
    shown = moved if every else moved[moved["change"] == "worse"].head(SHOWN)
    for found in shown.to_dict("records"):
        was, now = (found[f"status_{side}"] if isinstance(found[f"status_{side}"], str) else "absent" for side in "ab")
        verdict = now if was == now else f"{was} -> {now}"
        ulps = f"{found['max_ulp_a']:.3g} -> {found['max_ulp_b']:.3g} ulps, {found['digits_lost']:+.1f} digits lost"
        screen.print(f"{found['change']}  {found['case_id']}: {verdict}; {ulps}", markup=False, soft_wrap=True)
    left = int((moved["change"] == "worse").sum()) - len(shown)
    if left > 0:
        screen.print(f"... and {left} more that are worse; --all shows them")
    only = f"{summary['only_in_a']} only in A, {summary['only_in_b']} only in B"
    screen.print(f"{summary['compared']} checks compared: {summary['worse']} worse, {summary['better']} better; {only}")
