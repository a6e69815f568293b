"""What a sweep has found: its facts, its words on the terminal, its exit code, and its files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xloss.cli.console import BROKEN, DISAGREES, NOTHING, WELL, console
from xloss.files import write_text, write_whole

if TYPE_CHECKING:
    import pandas as pd


def failures(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of xloss's own that are not as they should be, the worst first."""
    from xloss.parity.cells import OURS

    own = table[(table["implementation"] == OURS) & ~table["status"].isin(["ok", "unsupported"])]
    return own.sort_values("budget", ascending=False, na_position="first", kind="stable")


def exit_code(table: pd.DataFrame) -> int:
    """Return the exit code of a sweep; see the epilog of `xloss --help`."""
    from xloss.parity.cells import OURS
    from xloss.parity.sweep import BAD, STOPPED

    own = table[table["implementation"] == OURS]["status"]
    if own.isin(STOPPED).any():
        return BROKEN
    if own.isin(BAD).any():
        return DISAGREES
    return WELL if (own == "ok").any() else NOTHING


def facts_of(table: pd.DataFrame, seconds: float, cases: int, how: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of a sweep beside its table: versions and machine, counts, seconds; `how` it was asked."""
    from xloss import environment
    from xloss.parity.cells import OURS

    asked = table[table["status"] != "unsupported"]
    counts = table.groupby(["implementation", "framework", "status"]).size().rename("checks").reset_index()
    return {
        **environment.describe(),
        **how,
        "checks": len(asked),
        "checks_of_xloss": int((asked["implementation"] == OURS).sum()),
        "counts": counts.to_dict("records"),
        "cells": cases,
        "answered": table.attrs["asked"] - table.attrs["lost"],
        "lost": table.attrs["lost"],
        "ran": table.attrs["ran"],
        "resumed": table.attrs["resumed"],
        "by_status": {str(status): int(count) for status, count in table["status"].value_counts().items()},
        "seconds": round(seconds, 2),
    }


def keep(table: pd.DataFrame, facts: dict[str, Any], out: Path) -> None:
    """Write the table as parquet and csv, and the facts about it as json, each whole or not at all.

    Of two sweeps that write to one folder, all three are of the last.
    """
    import fcntl

    from xloss.report.source import digest

    data = out / "data"
    data.mkdir(parents=True, exist_ok=True)
    table = table.copy()
    table.attrs = {}
    lock = os.open(data, os.O_RDONLY)  # the folder itself: a lock file would be left behind
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_whole(data / "parity.parquet", lambda path: table.to_parquet(path, index=False))
        others = dict(facts)
        facts.clear()
        facts.update(table_sha256=digest(data / "parity.parquet"), **others)
        write_whole(data / "parity.csv", lambda path: table.to_csv(path, index=False))
        write_text(data / "parity.json", json.dumps(facts, indent=2) + "\n")
    finally:
        os.close(lock)


def show(table: pd.DataFrame, facts: dict[str, Any]) -> None:
    """Print who came how near, the first example of each fault, and the last line."""
    from rich.markup import escape
    from rich.table import Table

    screen = console()
    grid = Table(title="worst distance from the exact result, by who computed it", title_justify="left")
    for heading in ("implementation", "framework"):
        grid.add_column(heading)
    for heading in ("checks", "ok", "inaccurate", "broken", "p99 ulps of values", "worst / allowed"):
        grid.add_column(heading, justify="right")
    for (implementation, framework), rows in table[table["status"] != "unsupported"].groupby(
        ["implementation", "framework"], sort=False
    ):
        counts = rows["status"].value_counts()
        good, off = int(counts.get("ok", 0)), int(counts.get("inaccurate", 0) + counts.get("differs", 0))
        numbers = (len(rows), good, off, len(rows) - good - off)
        values = rows[(rows["mechanism"] == "value") & (rows["reduction"] == "none")]["max_ulp"]
        tail = f"{values.quantile(0.99, interpolation='higher'):.3g}" if len(values) else "-"
        grid.add_row(str(implementation), str(framework), *map(str, numbers), tail, f"{rows['budget'].max():.3g}")
    screen.print(grid)
    bad = failures(table)
    # One example of each fault: all its reductions and regimes have the same cause.
    shown = bad.drop_duplicates(["loss", "framework", "mechanism", "argument", "status"]).head(8)
    for row in shown.to_dict("records"):
        argument = f" by {row['argument']}" if row["argument"] else ""
        head = (
            f"{row['loss']}, xloss.{row['framework']}, {row['mechanism']}{argument}, {row['reduction']}, {row['dtype']}"
        )
        screen.print(f"\n[bold red]{row['status']}[/bold red]  {escape(head)}, {row['regime']}")
        screen.print(f"  {escape(str(row['reason']))}")
        if row["status"] in ("inaccurate", "differs"):
            screen.print(f"  {escape(whose(table, row))}")
        screen.print(f"  reproduce: xloss parity --case '{escape(str(row['case_id']).split('#')[0])}'")
    if len(bad) > len(shown):
        screen.print(f"\n... and {len(bad) - len(shown)} more checks of xloss that are not ok")
    screen.print(f"\n{conclusion(facts, len(bad))}")


def conclusion(facts: Mapping[str, Any], bad: int) -> str:
    """Return the last line of a sweep: xloss's own checks, apart from them those of other libraries, and the time."""
    own = facts["checks_of_xloss"]
    verdict = (
        f"{bad} of {own} checks of xloss are not ok" if bad else f"all {own} checks of xloss are within the budget"
    )
    others = f"{facts['checks'] - own} checks of other libraries" if facts["checks"] > own else "no other library asked"
    rate = facts["checks"] / facts["seconds"]
    cases = (
        f"{facts['cells']} cases asked, {facts['answered']} answered, {facts['resumed']} of them resumed, "
        f"{facts['lost']} lost"
    )
    return f"{verdict}; {others}; {cases}, {facts['seconds']} s, {rate:.0f} checks/s"


def whose(table: pd.DataFrame, row: Mapping[Any, Any]) -> str:
    """Say which framework is wrong, and how the others did on the very same question."""
    case = str(row["case_id"]).split("#")[0]
    same = table[
        table["case_id"].str.startswith(case + "#")
        & (table["reduction"] == row["reduction"])
        & (table["argument"] == row["argument"])
        & (table["mechanism"].isin([row["mechanism"], "backward"]))
        & (table["status"].isin(["ok", "inaccurate"]))
    ]
    others = same[(same["implementation"] != row["implementation"]) | (same["framework"] != row["framework"])]
    others = others.drop_duplicates(["implementation", "framework"])
    if others.empty:
        return f"{row['framework']} is wrong; no one else was asked"
    said = [
        f"{o['implementation']} ({o['framework']}) is {'right' if o['status'] == 'ok' else 'wrong too'}"
        for o in others.to_dict("records")
    ]
    return f"{row['framework']} is wrong; " + ", ".join(said)
