"""`xloss parity`: sweep, say what was found, keep the table."""

from __future__ import annotations

import json
import operator
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xloss.cli import executors, signals, validate
from xloss.cli.console import BROKEN, NOTHING, console, progress
from xloss.cli.sweep_results import exit_code, facts_of, failures, keep
from xloss.cli.sweep_results import show as show_results

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
    as_accelerator: Annotated[
        bool,
        typer.Option(
            "--as-accelerator",
            help="Let the losses look at no value, as on an accelerator: its branches are checked on a CPU.",
        ),
    ] = False,
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
    from xloss import environment
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
        if as_accelerator and executor is not None:
            raise ValueError(f"as-accelerator: contradicts --executor {executor}: it is set in this machine's workers "
                             "only; leave one of them out")  # fmt: skip
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
            how_far = ("no value looked at",) if as_accelerator else ()  # another question, kept apart
            store = _open_store(out, chosen, peers, (*executors.machines(executor, cluster), *how_far))
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
                set_up = (truth, as_accelerator)
                table = _isolated(asked, jobs, timeout, set_up, how) if isolation else _inline(asked, set_up, how)
        seconds = time.perf_counter() - start
        facts = facts_of(
            table,
            seconds,
            len(asked),
            {"device": device, "seed": seed, "full": full, "frameworks": list(chosen),
             **({"as_accelerator": True} if as_accelerator else {}),
             **({"cards": environment.cards()} if kind == "cuda" else {})},
        )  # fmt: skip
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
        show_results(table, facts)
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


def _isolated(
    asked: Any, jobs: int, timeout: float, set_up: tuple[Path | None, bool], how: dict[str, Any]
) -> pd.DataFrame:
    from xloss.parity import sweep
    from xloss.parity.processes import Workers, fair_memory
    from xloss.parity.sweep import prepare_process

    try:
        workers = Workers(jobs or None, timeout, initializer=prepare_process, initargs=set_up)
    except ValueError as error:
        validate.refuse(str(error))
    workers.memory = fair_memory(workers.jobs)
    with workers:
        return sweep(asked, workers, timeout=timeout, **how)


def _inline(asked: Any, set_up: tuple[Path | None, bool], how: dict[str, Any]) -> pd.DataFrame:
    import warnings

    from xloss.parity import sweep
    from xloss.parity.sweep import prepare_process

    prepare_process(*set_up)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a sweep reports what it finds in its table
            return sweep(asked, **how)
    finally:
        prepare_process(None, False)
