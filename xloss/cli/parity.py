"""`xloss parity`: sweep, say what was found, keep the table."""

from __future__ import annotations

import json
import operator
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xloss.cli import executors, signals, validate
from xloss.cli.console import BROKEN, DISAGREES, NOTHING, WELL, console, progress
from xloss.files import write_text, write_whole

if TYPE_CHECKING:
    import pandas as pd

    from xloss.parity.store import Store


def parity(
    ctx: typer.Context,
    loss: Annotated[list[str] | None, typer.Option(help="Only this loss; may be given several times.")] = None,
    dtype: Annotated[
        list[str] | None, typer.Option(help="Only this dtype: float64, float32, bfloat16, float16.")
    ] = None,
    regime: Annotated[
        list[str] | None, typer.Option(help="Only this regime of inputs: typical, confident, on_kink, ...")
    ] = None,
    framework: Annotated[list[str] | None, typer.Option(help="Only this framework: torch or jax.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    case: Annotated[list[str] | None, typer.Option(help="Only this case, as a failure or a report names it.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Every mechanism, reduction, shape and peer in every dtype.")
    ] = False,
    peers: Annotated[
        bool, typer.Option(help="Whether to measure torch.nn.functional, optax and Keras as well.")
    ] = True,
    seed: Annotated[
        int, typer.Option(parser=validate.integer, metavar="INTEGER", help="Draw other inputs: 0 to 4294967295.")
    ] = 0,
    jobs: Annotated[
        int,
        typer.Option(parser=validate.integer, metavar="INTEGER", help="Worker processes; 0 takes one per core."),
    ] = 0,
    timeout: Annotated[
        float,
        typer.Option(
            parser=validate.number,
            metavar="SECONDS",
            help="Seconds that one case may take before its worker is ended.",
        ),
    ] = 120.0,
    isolation: Annotated[
        bool, typer.Option("--isolation/--no-isolation", help="Check in worker processes, or, for a debugger, in this.")
    ] = True,
    executor: Annotated[
        str | None,
        typer.Option(
            metavar="dask[=ADDRESS]", help="Check on a dask cluster: a local one, or that of tcp://HOST:PORT."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Ask only what --out has no valid answer to.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=validate.path, metavar="PATH", help="Write data/parity.parquet, .csv and .json below this folder."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary and failures as JSON.")] = False,
) -> None:
    """Check every loss, in both frameworks and by every mechanism, against the exact result.

    An implementation passes where its result is the exact result for inputs a few units of roundoff away. xloss's own
    must; those of torch.nn.functional, optax and Keras are measured by the same ruler, and where they miss it, that is
    a finding, not a failure.
    """
    from xloss.catalog import FRAMEWORKS, get
    from xloss.ops.arguments import check_choice
    from xloss.parity import Cell, cells, sweep
    from xloss.parity.cells import DEVICES, check_seed
    from xloss.parity.store import StoreError

    try:
        check_choice("device", [device], DEVICES)
        check_choice("framework", framework or (), FRAMEWORKS)
        validate.within("jobs", jobs, 0, validate.MOST_JOBS, " (0: a worker per core)")
        validate.positive(validate.MOST_SECONDS, timeout=timeout)
        check_seed(seed)
        executors.check(ctx, executor, isolation)
        for name in loss or ():
            get(name)
        asked = [Cell.parse(one) for one in case] if case else cells(loss, dtype, regime, device, seed, full)
        if case:
            validate.agree(ctx, asked, _READ)
            device, seed, full = asked[0].device, asked[0].seed, asked[0].full
    except KeyError as error:
        validate.refuse(f"loss: {error.args[0]}; `xloss list` has them all")
    except ValueError as error:
        validate.refuse(error)
    chosen = tuple(dict.fromkeys(framework or FRAMEWORKS))
    kind = "cuda" if any(cell.device == "cuda" for cell in asked) else device
    _check_installed(chosen, "cpu" if executors.is_remote(executor) else kind)
    if not asked:
        typer.echo("nothing to check: no case has that loss, dtype and regime", err=True)
        raise typer.Exit(NOTHING)
    if out is not None:
        try:
            validate.writable(out / "data")
        except ValueError as error:
            validate.refuse(error)
    if resume and out is None:
        validate.refuse("resume: needs the folder of the sweep to go on with; give it with --out")
    start = time.perf_counter()
    store = None
    try:
        with (
            signals.stoppable(),
            executors.opened(executor, jobs, kind, chosen) as cluster,
            progress("cases", quiet=as_json) as show,
        ):
            store = _open_store(out, chosen, peers, executors.machines(executor, cluster))
            how: dict[str, Any] = {
                "frameworks": chosen,
                "peers": peers,
                "progress": show,
                "store": store,
                "resume": resume,
            }
            if cluster is not None:
                table = sweep(asked, cluster, timeout=timeout, **how)
            else:
                truth = None if out is None else out / "data" / "truth.sqlite"
                table = _isolated(asked, jobs, timeout, truth, how) if isolation else _inline(asked, truth, how)
        seconds = time.perf_counter() - start
        facts = _facts(
            table, seconds, len(asked), {"device": device, "seed": seed, "full": full, "frameworks": list(chosen)}
        )
        if out is not None:
            keep(table, facts, out)
    except signals.Interrupted as stop:
        on = (
            f"go on with: xloss parity ... --out {out} --resume"
            if out
            else "nothing was kept; --out keeps what is done"
        )
        typer.echo(f"stopped by {stop}; {on}", err=True)
        raise typer.Exit(stop.code) from None
    except (StoreError, OSError) as error:
        typer.echo(f"out: {error}; --resume goes on from what was kept in {out}", err=True)
        raise typer.Exit(BROKEN) from None
    finally:
        if store is not None:
            store.close()
    if as_json:
        bad = failures(table).to_dict("records")
        typer.echo(json.dumps({"failures": bad, **facts}, indent=2))
    else:
        _print(table, facts)
        if out is not None:
            console().print(f"kept in {out / 'data'}; make pages of it with: xloss report", markup=False)
    raise typer.Exit(BROKEN if table.attrs["lost"] else exit_code(table))


#: Options that a case answers itself, and how.
_READ: dict[str, Callable[[Any], Any]] = {
    name: operator.attrgetter(name) for name in ("loss", "dtype", "regime", "device", "seed", "full")
}


def _check_installed(frameworks: tuple[str, ...], device: str) -> None:
    import importlib.util

    for name in frameworks:
        if importlib.util.find_spec(name) is None:
            other = "jax" if name == "torch" else "torch"
            validate.refuse(f"framework: {name} is not installed; install it (pip install 'xloss[{name}]') or leave it "
                            f"out with --framework {other}")  # fmt: skip
    if device == "cuda":
        from xloss.parity.mechanisms import load

        for name in frameworks:
            try:
                load(name).device(device)
            except RuntimeError as error:
                validate.refuse(str(error))


def _open_store(
    out: Path | None, frameworks: tuple[str, ...], peers: bool, machines: Sequence[str] = ()
) -> Store | None:
    from xloss.parity.store import Store, StoreError

    if out is None:
        return None
    try:
        return Store(out / "data" / "parity.sqlite", frameworks, peers, machines)
    except StoreError as error:
        validate.refuse(f"out: {error}")


def _isolated(asked: Any, jobs: int, timeout: float, truth: Path | None, how: dict[str, Any]) -> pd.DataFrame:
    from xloss.parity import sweep
    from xloss.parity.processes import Workers, fair_memory
    from xloss.parity.sweep import keep_truth

    try:
        workers = Workers(jobs or None, timeout, initializer=keep_truth, initargs=(truth,))
    except ValueError as error:
        validate.refuse(str(error))
    workers.memory = fair_memory(workers.jobs)
    with workers:
        return sweep(asked, workers, timeout=timeout, **how)


def _inline(asked: Any, truth: Path | None, how: dict[str, Any]) -> pd.DataFrame:
    import warnings

    from xloss.parity import sweep
    from xloss.parity.sweep import keep_truth

    keep_truth(truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a sweep reports what it finds in its table
        return sweep(asked, **how)


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


def _facts(table: pd.DataFrame, seconds: float, cases: int, how: dict[str, Any]) -> dict[str, Any]:
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


def _print(table: pd.DataFrame, facts: dict[str, Any]) -> None:
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
