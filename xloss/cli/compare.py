"""`xloss compare`: two functions, the user's or a library's: the same? which is right? why not?"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xloss.cli import signals, validate
from xloss.cli.console import BROKEN, progress
from xloss.files import write_text

if TYPE_CHECKING:
    from xloss.compare.cases import Inputs
    from xloss.compare.isolated import Isolated
    from xloss.compare.run import Case
    from xloss.compare.sides import Side

IMPORTING = 180.0  # seconds that importing both files, with their frameworks, may take
STARTING = 10.0  # seconds that a worker may take to start, or a function to come back when the time is up


def compare(
    first: Annotated[str, typer.Argument(help="A function: module:name, file.py:name, xloss:NAME, optax:NAME, ...")],
    second: Annotated[str, typer.Argument(help="The other one.")],
    like: Annotated[
        str | None,
        typer.Option(
            parser=validate.text,
            metavar="LOSS",
            help="The functions are this catalogue loss: its inputs, its exact result.",
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            parser=validate.text, metavar="NAME", help="With --like: which variant; `xloss explain LOSS` names them."
        ),
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(parser=validate.path, metavar="FILE", help="Inputs as a TOML file describes them.")
    ] = None,
    shape: Annotated[
        str | None, typer.Option(parser=validate.text, metavar="SIZES", help="Shape of the first argument: 64,10.")
    ] = None,
    labels: Annotated[
        int | None,
        typer.Option(
            parser=validate.integer, metavar="INTEGER", help="The second argument holds labels below this number."
        ),
    ] = None,
    ignore_index: Annotated[
        int | None, typer.Option(parser=validate.integer, metavar="INTEGER", help="A third of the labels are this.")
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            parser=validate.text,
            metavar="FUNCTION",
            help="The right value: a function in plain arithmetic (NumPy), module:name or file.py:name.",
        ),
    ] = None,
    dtype: Annotated[
        list[str] | None, typer.Option(help="Only this dtype (float64, float32, bfloat16, float16); several times.")
    ] = None,
    regime: Annotated[
        list[str] | None, typer.Option(help="Only these inputs: typical, large, tiny, ties, zeros, ...")
    ] = None,
    per_sample: Annotated[bool, typer.Option(help="Compare the gradients of each sample, by loop and by vmap.")] = True,
    microbatches: Annotated[
        int,
        typer.Option(
            parser=validate.integer,
            metavar="INTEGER",
            help="Do gradients of so many micro-batches add up to the batch's?",
        ),
    ] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Digits lost where the result is small count as a fault, not as a note.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[
        int, typer.Option(parser=validate.integer, metavar="INTEGER", help="Draw other inputs: 0 to 4294967295.")
    ] = 0,
    timeout: Annotated[
        float, typer.Option(parser=validate.number, metavar="SECONDS", help="Seconds that one check may take.")
    ] = 30.0,
    jobs: Annotated[
        int, typer.Option(parser=validate.integer, metavar="INTEGER", help="Worker processes; 0 takes one per core.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    junit: Annotated[
        Path | None, typer.Option(parser=validate.path, metavar="FILE", help="Write JUnit XML for CI.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(parser=validate.path, metavar="FILE", help="Write a summary in Markdown.")
    ] = None,
) -> None:
    """Compare two losses: value, gradients, per-sample gradients, reductions, dtypes, extreme inputs.

    \b
    xloss compare torch_losses.py:focal jax_losses.py:focal
    xloss compare mypkg.losses:smooth_ce xloss:cross_entropy --like cross_entropy --variant label_smoothing
    xloss compare a.py:f b.py:g --shape 64,10 --labels 10 --truth right.py:f
    xloss compare torch:huber_loss optax:huber_loss --shape 64

    Without --like or --truth both functions in float64 are each other's reference. Where they agree, float32 and 16
    bits are judged by that; where they do not, they compute different functions: the cause is looked for, and each
    gradient is held against the numerical derivative of its own value. Both functions run in worker processes: one that
    crashes or hangs costs its own check.
    """
    from xloss.ops.arguments import check_choice
    from xloss.parity.cells import DEVICES, check_seed
    from xloss.parity.inputs import DTYPES

    try:
        check_choice("device", [device], DEVICES)
        check_choice("dtype", dtype or (), DTYPES)
        check_seed(seed)
        validate.within("jobs", jobs, 0, validate.MOST_JOBS, " (0: a worker per core)")
        validate.within("microbatches", microbatches, 0, 1024, " (0: none)")
        validate.positive(validate.MOST_SECONDS, timeout=timeout)
        like, variant, truth = like or "", variant or "", truth or ""
        _check_together(like, variant, inputs, shape, labels, ignore_index, truth)
        sizes = _sizes(shape)
        for name, text in (("first", first), ("second", second)):
            if text.count(":") < 1 or text.endswith(":") or text.startswith(":"):
                raise ValueError(f"{name}: expected module:name or file.py:name, got {text!r}")
        for written in (junit, markdown):
            if written is not None:
                validate.writable(written.parent, "junit" if written is junit else "markdown")
    except ValueError as error:
        validate.refuse(error)

    from xloss.compare import show
    from xloss.compare.isolated import Isolated, Source
    from xloss.compare.script import script
    from xloss.parity.processes import Workers, fair_memory

    os.environ.setdefault("KERAS_BACKEND", "jax")
    workers = Workers(jobs or None, timeout)
    workers.memory = fair_memory(workers.jobs)
    with signals.stoppable(), workers:
        isolated = Isolated(Source((first, second)), workers)
        try:
            comparison = _compared(isolated, like, variant, inputs, sizes, labels, ignore_index, truth, dtype, regime,
                                   seed, as_json, per_sample, microbatches, strict, device)  # fmt: skip
        except signals.Interrupted as stop:
            workers.shutdown(cancel_futures=True)
            typer.echo(f"stopped by {stop}", err=True)
            raise typer.Exit(stop.code) from None
    with validate.writing(Path()):
        if junit is not None:
            write_text(junit, show.junit(comparison))
        if markdown is not None:
            write_text(markdown, show.markdown(comparison))
    if as_json:
        typer.echo(show.as_json(comparison))
    else:
        typer.echo("\n".join(map(validate.plain, show.text(comparison).split("\n"))))
        if code := script(comparison, (first, second)):
            typer.echo(f"\nwithout xloss (up to 20 lines, for a bug report):\n\n{code}")
    raise typer.Exit(comparison.exit_code())


def _check_together(like: str, variant: str, inputs: Any, shape: str | None, labels: Any, ignore_index: Any,
                    truth: str) -> None:  # fmt: skip
    """Refuse options that contradict each other."""
    if variant and not like:
        raise ValueError(f"variant: {variant!r} needs --like LOSS")
    if like:
        from xloss.catalog import get

        try:
            loss = get(like)
            if variant:
                loss.variant(variant)
        except KeyError as error:
            raise ValueError(f"{'variant' if 'variant' in str(error) else 'like'}: {error.args[0]}") from None
        if truth:
            raise ValueError("truth: --like brings its own exact result; leave one of them out")
    if inputs and (like or shape or labels is not None):
        raise ValueError("inputs: a file says all; leave out --like, --shape and --labels, or the file")
    if like and labels is not None:
        raise ValueError("labels: --like draws its own; leave one of them out")
    if labels is not None and not shape:
        raise ValueError("labels: needs --shape, the shape of the first argument")
    if labels is not None and not 1 <= labels <= 2**20:
        raise ValueError(f"labels: expected a number of classes from 1 to {2**20}, got {labels}")
    if ignore_index is not None and labels is None:
        raise ValueError("ignore-index: needs --shape and --labels")
    if ignore_index is not None:
        validate.within("ignore-index", ignore_index, -(2**31), 2**31 - 1, " (labels have 32 bits in JAX)")


def _sizes(shape: str | None) -> tuple[int, ...] | None:
    if shape is None:
        return None
    parts = shape.replace("x", ",").split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() and 0 < int(part) <= 2**20 for part in parts):
        raise ValueError(f"shape: expected sizes like 64,10, got {shape!r}")
    sizes = tuple(int(part) for part in parts)
    total = 1
    for size in sizes:
        total *= size
    if total > 2**20:
        raise ValueError(f"shape: expected at most {2**20} elements, got {total}")
    return sizes


def _compared(isolated: Isolated, like: str, variant: str, inputs: Path | None, sizes: tuple[int, ...] | None,
              labels: int | None, ignore_index: int | None, truth: str, dtype: list[str] | None,
              regime: list[str] | None, seed: int, quiet: bool, per_sample: bool, microbatches: int, strict: bool,
              device: str) -> Any:  # fmt: skip
    """Find both functions and their inputs, and compare them."""
    from xloss.compare import isolated as worker
    from xloss.compare import pair
    from xloss.compare.reference import CatalogueTruth, FormulaTruth
    from xloss.parity.inputs import DTYPES

    sides = _asked(isolated, worker.describe)
    if device == "cuda":
        _check_device(device, sides)
    chosen: Any = None
    if truth:
        sys.path.insert(0, str(Path.cwd()))
        from xloss.compare.sides import resolve

        try:
            chosen = FormulaTruth(resolve(truth if "=" in truth else f"torch={truth}").call)
        except ValueError as error:
            validate.refuse(f"truth: {error}")
    elif like:
        chosen = CatalogueTruth(like, variant)
    try:
        cases, assumed = _cases(isolated, sides, like, variant, inputs, sizes, labels, ignore_index, seed)
        known = list(dict.fromkeys(case.name for case in cases))
        for name in regime or ():
            if name not in known:
                raise ValueError(
                    f"regime: expected one of {', '.join(known)}, got {name!r}{validate.hint(name, known)}"
                )
    except ValueError as error:
        validate.refuse(error)
    if regime:
        cases = [case for case in cases if case.name in regime]
    dtypes = tuple(dtype or DTYPES)
    found = None
    with progress("checks", quiet=quiet) as tell:
        found = pair.compare(
            sides[0], sides[1], cases, dtypes=dtypes, truth=chosen, per_sample=per_sample, microbatches=microbatches,
            strict=strict, device=device, runner=isolated, progress=tell,
            diagnoser=lambda cases, names, rows, seconds: _diagnosed(isolated, cases, names, chosen, rows, seconds),
        )  # fmt: skip
    found.assumed = assumed
    return found


def _asked(isolated: Isolated, function: Any, *args: Any) -> Any:
    """Call a function in a worker; what the user's files raise at import ends the command."""
    from xloss.parity.failures import Raised, WorkerFailure

    try:
        return isolated.call(function, *args, timeout=IMPORTING)
    except Raised as error:
        if error.kind == "ValueError" and str(error).startswith("ValueError: "):
            validate.refuse(str(error).removeprefix("ValueError: "))
        typer.echo(validate.plain(f"importing the functions raised {error}"), err=True)
        typer.echo(error.trace, err=True)
    except WorkerFailure as error:
        typer.echo(validate.plain(f"importing the functions failed: {error.status}: {error}"), err=True)
    raise typer.Exit(BROKEN)


def _cases(isolated: Isolated, sides: tuple[Side, Side], like: str, variant: str, inputs: Path | None,
           sizes: tuple[int, ...] | None, labels: int | None, ignore_index: int | None,
           seed: int) -> tuple[list[Case], str]:  # fmt: skip
    from xloss.compare import cases as drawing
    from xloss.compare import isolated as worker

    if like:
        return drawing.like(like, variant, seed, sizes), ""
    if inputs is not None:
        return drawing.from_toml(inputs).cases(seed=seed), ""
    if sizes is not None:
        names = max((side.required for side in sides), key=len)
        return drawing.from_shapes(names, sizes, labels, ignore_index).cases(seed=seed), ""
    guessed: Inputs | str = _asked(isolated, worker.guess)
    if isinstance(guessed, str):
        raise ValueError("inputs: none guessed from the signatures runs in both functions; say what they take by "
                         f"--shape and --labels, --like LOSS or --inputs FILE. First guess: {guessed}")  # fmt: skip
    return guessed.cases(seed=seed), guessed.assumed


def _diagnosed(isolated: Isolated, cases: Any, names: Any, truth: Any, rows: Any, seconds: float) -> Any:
    from xloss.compare import isolated as worker
    from xloss.parity.failures import WorkerFailure

    try:
        plain = [{key: row[key] for key in row} for row in rows]
        # It ends by itself; a call that hangs in a function is ended soon after.
        return isolated.call(worker.diagnose_here, cases, names, truth, plain, seconds, timeout=seconds + STARTING)
    except WorkerFailure as error:
        typer.echo(validate.plain(f"the search for a cause ended early: {error.status}: {error}"), err=True)
        return []


def _check_device(device: str, sides: tuple[Side, Side]) -> None:
    from xloss.parity.mechanisms import load

    for name in dict.fromkeys(side.framework for side in sides):
        try:
            load(name).device(device)
        except (RuntimeError, ImportError) as error:
            validate.refuse(str(error))
