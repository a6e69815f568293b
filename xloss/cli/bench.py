"""`xloss bench`: one loss, everyone who has it, one table."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xloss.cli import validate
from xloss.cli.console import BROKEN, NOTHING, USAGE, WELL, console, progress
from xloss.files import write_whole

if TYPE_CHECKING:
    from xloss.catalog import Contestant, Loss, Variant

SHORT = {
    "f64": "float64", "f32": "float32", "bf16": "bfloat16", "f16": "float16",
    "double": "float64", "float": "float32", "half": "float16",
}  # fmt: skip
STOPPED = ("error", "crash", "timeout", "oom")
INTERRUPTED = 130
#: More processes or samples, and more elements, than any machine of today has time and memory for.
MOST_REPEATS, MOST_ELEMENTS = 100_000, 2**40


def bench(
    ctx: typer.Context,
    loss: Annotated[list[str] | None, typer.Argument(help="A loss's name; several: a table each.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All losses of the catalogue.")] = False,
    shape: Annotated[str | None, typer.Option(help="Shape of the first argument: 8192,32000.")] = None,
    size: Annotated[
        str | None, typer.Option(help="Instead of a shape: small, medium (the default), large, published, vocabulary.")
    ] = None,
    dtype: Annotated[
        list[str] | None, typer.Option(help="f32 (the default), bf16, f16, f64 or a full name; several: a table each.")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="A variant of the loss; `xloss explain LOSS` has them.")] = None,
    framework: Annotated[list[str] | None, typer.Option(help="Only this framework: torch or jax.")] = None,
    implementation: Annotated[
        list[str] | None, typer.Option(help="Only this one: xloss, torch.nn.functional, optax, keras.")
    ] = None,
    mode: Annotated[list[str] | None, typer.Option(help="Only this mode: eager, compile or jit.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    rounds: Annotated[
        int,
        typer.Option(
            parser=validate.integer,
            metavar="INTEGER",
            help="Processes that each is timed in; fewer than 5 allow no verdict.",
        ),
    ] = 5,
    samples: Annotated[
        int, typer.Option(parser=validate.integer, metavar="INTEGER", help="Samples to take in each process.")
    ] = 30,
    seconds: Annotated[
        float,
        typer.Option(
            parser=validate.number, metavar="SECONDS", help="Stop sampling after this long, with some samples at least."
        ),
    ] = 0.3,
    compiling: Annotated[bool, typer.Option("--compile/--no-compile", help="Time compiling, too.")] = True,
    memory: Annotated[bool, typer.Option("--memory/--no-memory", help="Measure peak memory, too.")] = True,
    accuracy: Annotated[bool, typer.Option("--accuracy/--no-accuracy", help="Measure errors in ulps, too.")] = True,
    quick: Annotated[
        bool, typer.Option("--quick", help="Value and gradient only, and torch.compile only by --mode compile.")
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            parser=validate.number, metavar="SECONDS", help="Seconds that one process may take before it is ended."
        ),
    ] = 600.0,
    out: Annotated[
        Path | None,
        typer.Option(parser=validate.path, metavar="PATH", help="Write the rows to FILE.csv, .parquet or .json."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON, with all samples.")] = False,
) -> None:
    """Measure one loss, by everyone who has it: time, compile time, peak memory, bandwidth reached, ulps.

    Each is timed in several fresh processes, in turn with the others. Ratios are to the fastest, of value and gradient
    together, with a bootstrap interval and a verdict: slower, same, or ambiguous where the interval says neither.
    """
    from xloss import environment
    from xloss.bench import session
    from xloss.bench.workload import Workload
    from xloss.cli import bench_table

    try:
        records = _losses(loss, everything, shape=shape, variant=variant)
        if shape is not None and size is not None:
            raise ValueError(f"size: expected none beside a shape, got {size!r}")
        explicit = None if shape is None else _shape(records[0], variant, shape)
        size = "medium" if size is None else size
        records = records if explicit is not None else _having(records, variant, size)
        dtypes = _dtypes(dtype)
        validate.positive(MOST_REPEATS, rounds=rounds, samples=samples)
        validate.positive(validate.MOST_SECONDS, seconds=seconds, timeout=timeout)
        if quick:
            _quick_alone(ctx)
        _suffix(out)
        _named(device=[device], framework=framework, mode=mode, implementation=implementation)
        present = _present(framework)
    except ValueError as error:
        validate.refuse(error)
    tables = [
        [
            Workload(record.name, contestant, session.MAIN, size, name, device, variant or "", explicit)
            for contestant in _contestants(record, present, mode, implementation, quick)
        ]
        for record in records
        for name in dtypes
    ]
    tables = [table for table in tables if table]
    if not tables:
        there = dict.fromkeys(str(one) for record in records for one in session.contestants(record))
        typer.echo(f"nothing to measure: what there is, is {', '.join(there)}", err=True)
        raise typer.Exit(NOTHING)
    settings = session.Settings(rounds, timeout=timeout, samples=samples, seconds=seconds, compiling=compiling,
                                memory=memory, accuracy=accuracy)  # fmt: skip
    if quick:
        settings = replace(settings, quantities=(session.MAIN,), compiling=False, memory=False, accuracy=False)
    rows: list[dict[str, Any]] = []
    if out is not None:
        try:
            validate.writable(out.parent)
        except ValueError as error:
            validate.refuse(error)
    try:
        with session.no_orphans():
            frameworks = list(dict.fromkeys(one.contestant.framework for table in tables for one in table))
            for name in frameworks if device != "cpu" else ():
                if why := session.no_device(name, device):
                    typer.echo(why, err=True)
                    raise typer.Exit(USAGE)
            copied = session.bandwidth(frameworks, device, timeout)
            facts = {**environment.describe(), "device": device, "copy_bytes_per_second": copied, "rounds": rounds}
            for table in tables:
                with progress(f"{table[0].loss}, {table[0].dtype}", quiet=as_json) as show:
                    found = bench_table.compared(session.run(table, settings, show), facts["copy_bytes_per_second"])
                rows += found
                if out is not None:
                    with validate.writing(out):
                        keep(rows, facts, out)
                if not as_json:
                    bench_table.show(found, facts, console())
    except KeyboardInterrupt:
        typer.echo("interrupted; nothing is left running", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps({**facts, "rows": rows}, indent=1))
    raise typer.Exit(exit_code(rows))


def _losses(names: list[str] | None, everything: bool, **single: str | None) -> list[Loss]:
    """Return the records asked for; refuse what only one loss can have (a shape, a variant) where there are several."""
    from xloss.catalog import LOSSES, get

    if everything and names:
        raise ValueError(f"loss: expected names or --all, got both ({', '.join(names)})")
    if not everything and not names:
        raise ValueError(f"loss: name one, as in `xloss bench mse_loss`, or --all: {', '.join(LOSSES)}")
    try:
        records = [get(name) for name in dict.fromkeys(names or LOSSES)]
    except KeyError as error:
        raise ValueError(
            f"loss: {error.args[0]}{'' if str(error.args[0]).endswith('?') else ';'} `xloss list` has them all"
        ) from None
    for what, given in single.items():
        if given is not None and len(records) > 1:
            raise ValueError(f"{what}: expected one loss with it, got {len(records)}")
    try:
        _variant(records[0], single["variant"])
    except KeyError as error:
        raise ValueError(f"variant: {error.args[0]}") from None
    return records


def _variant(record: Loss, name: str | None) -> Variant:
    return record.variant(name) if name is not None else record.variants[0]


def _having(records: list[Loss], variant: str | None, size: str) -> list[Loss]:
    """Return the losses that have the size; where there is one loss only, it must."""
    from xloss.bench.workload import SIZES, shape_at
    from xloss.catalog import Unsupported
    from xloss.ops.arguments import check_choice

    check_choice("size", [size], SIZES)
    having = []
    for record in records:
        try:
            shape_at(record, _variant(record, variant), size)
        except Unsupported as reason:
            if len(records) == 1:
                raise ValueError(f"size: {reason}") from None
            typer.echo(f"left out: {reason}", err=True)
        else:
            having.append(record)
    return having


def _shape(record: Loss, variant: str | None, text: str) -> tuple[int, ...]:
    """Read a shape; of a rank that the variant has, or of any rank where the loss is elementwise."""
    figures = text.strip().strip("()").replace(" ", "")
    if figures == "scalar" or text.strip() == "()":
        given: tuple[int, ...] = ()
    elif re.fullmatch(r"[1-9][0-9]*([,x][1-9][0-9]*)*,?", figures):
        given = tuple(int(part) for part in re.findall(r"[0-9]+", figures[:200]))
        if math.prod(given) > MOST_ELEMENTS:
            raise ValueError(f"shape: expected at most {MOST_ELEMENTS} elements, got {text[:60]!r}")
    else:
        raise ValueError(f"shape: expected positive numbers such as 8192,32000, got {text!r}")
    shapes = _variant(record, variant).shapes
    elementwise = (
        record.arguments.class_axes is not None
        and record.arguments.class_axes(record.arguments.wrt[0], len(given)) is None
    )
    if not elementwise and len(given) not in {len(known) for known in shapes}:
        known = " or ".join(",".join(map(str, one)) or "scalar" for one in shapes)
        raise ValueError(f"shape: expected one like {known} for {record.name}, got {text!r}")
    return given


def _dtypes(names: list[str] | None) -> list[str]:
    from xloss.parity.inputs import DTYPES

    given = [part for name in names or ["float32"] for part in name.split(",")]
    full = [SHORT.get(name, name) for name in given]
    for name, known in zip(given, full, strict=True):
        if known not in DTYPES:
            raise ValueError(f"dtype: expected one of {', '.join(DTYPES)} (f64, f32, bf16, f16), got {name!r}")
    return list(dict.fromkeys(full))


def _named(**given: list[str] | None) -> None:
    """Refuse an unknown device, framework, mode or implementation."""
    from xloss.bench.workload import CONTESTANTS
    from xloss.ops.arguments import check_choice

    for what, names in given.items():
        known = ("cpu", "cuda") if what == "device" else dict.fromkeys(getattr(c, what) for c in CONTESTANTS)
        check_choice(what, names or (), known)


def _present(asked: list[str] | None) -> list[str]:
    """Return the frameworks asked for, or those that are installed, with a line for the one that is not."""
    from xloss.catalog import FRAMEWORKS
    from xloss.forkserver import installed

    present = installed()
    for name in asked or FRAMEWORKS:
        if name in present:
            continue
        advice = f"{name} is not installed; install it with: pip install 'xloss[{name}]'"
        if asked:
            raise ValueError(f"framework: {advice}")
        typer.echo(f"left out: {advice}", err=True)
    return asked or present


def _contestants(record: Loss, frameworks: list[str], modes: list[str] | None, implementations: list[str] | None,
                 quick: bool) -> list[Contestant]:  # fmt: skip
    """Return those of the loss that were asked for."""
    from xloss.bench.session import contestants

    return [
        one
        for one in contestants(record)
        if one.framework in frameworks
        and (one.mode in modes if modes else one.mode != "compile" or not quick)
        and (not implementations or one.implementation in implementations)
    ]


def _quick_alone(ctx: typer.Context) -> None:
    """Refuse, beside --quick, what it leaves out."""
    for name, option in (("compiling", "compile"), ("memory", "memory"), ("accuracy", "accuracy")):
        if validate.given(ctx, name) and ctx.params[name]:
            raise ValueError(f"{option}: --{option} contradicts --quick, which leaves that out; leave one of them out")


def _suffix(out: Path | None) -> None:
    if out is not None and out.suffix not in (".csv", ".parquet", ".json"):
        raise ValueError(f"out: expected a file named .csv, .parquet or .json, got {str(out)[:200]!r}")
    if out is not None and out.is_dir():
        raise ValueError(f"out: expected a file named .csv, .parquet or .json, got the folder {str(out)!r}")


def keep(rows: list[dict[str, Any]], facts: dict[str, Any], out: Path) -> None:
    """Write the rows; where the format has no lists, notes and samples are JSON in their columns."""
    import pandas as pd

    if out.suffix == ".json":
        write_whole(out, lambda path: path.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n", "utf-8"))
        return
    table = pd.DataFrame(rows)
    for name in ("notes", "samples"):
        table[name] = table[name].map(json.dumps)
    for name in ("created", "cpu", "cores", "copy_bytes_per_second", "rounds", "xloss"):
        table[name] = facts[name]
    write = table.to_csv if out.suffix == ".csv" else table.to_parquet
    write_whole(out, lambda path: write(path, index=False))


def exit_code(rows: list[dict[str, Any]]) -> int:
    """Return 3 where something crashed, timed out or raised; 4 where nobody could be measured."""
    if any(row["status"] in STOPPED for row in rows):
        return BROKEN
    return WELL if any(row["status"] == "ok" for row in rows) else NOTHING
