"""``xloss claims``: measure the claims, judge them, and show what came out."""

import importlib.util
import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from xloss.claims import Result
from xloss.claims import run as run_claims
from xloss.claims import select as select_claims
from xloss.claims.model import FRAMEWORKS
from xloss.cli import validate
from xloss.cli.console import BROKEN, DISAGREES, NOTHING, WELL, console, progress
from xloss.report import claims as shown

_COLORS = {"holds": "green", "fails": "red", "holds only if": "yellow"}
#: How the outcome of a claim becomes the exit code; the highest one wins.
_EXIT = {"as expected": WELL, "changed": DISAGREES, "undecided": DISAGREES, "crashed": BROKEN}


def claims(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="A claim, or the beginning of its id.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Everything as JSON, evidence included.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", parser=validate.path, metavar="PATH", help="Write claims.md into this folder."),
    ] = None,
) -> None:
    """Test what people claim about losses and gradients, in PyTorch and in JAX.

    Without an ID all claims are run and listed; one claim is shown in full, with its evidence and the code for it.
    Exits 0 when every verdict is the expected one, 1 when one differs, 2 when there is no such claim, 3 when one
    crashed, 4 when a framework is missing.
    """
    missing = [framework for framework in FRAMEWORKS if importlib.util.find_spec(framework) is None]
    if missing:
        typer.echo(f"claims compare both frameworks, and {' and '.join(missing)} is not installed", err=True)
        raise typer.Exit(NOTHING)
    try:
        chosen = [claim.id for claim in select_claims(id)] if id is not None else None
        if out is not None:
            validate.writable(out)
    except LookupError as error:
        validate.refuse(error.args[0])
    except ValueError as error:
        validate.refuse(error)
    with progress("claims", quiet=chosen is not None and len(chosen) == 1) as show:
        results = run_claims(chosen, lambda done, total, _: show(done, total))
    if out is not None:
        with validate.writing(out):
            typer.echo(f"wrote {shown.write(results, out)}", err=True)
    if json:
        typer.echo(json_module.dumps([result.to_dict() for result in results], indent=1, allow_nan=False))
    elif len(results) == 1:
        _show_one(results[0])
    else:
        for result in results:
            line = f" {result.claim.id:46} {result.claim.statement}"
            console().print(_outcome(result, 14) + _plain(line), soft_wrap=True)
        seconds = sum(result.seconds for result in results)
        typer.echo(f"{len(results)} claims: {shown.counts(results)}; {seconds:.1f} s, {shown.versions()}")
    raise typer.Exit(max(_EXIT[result.status] for result in results))


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _outcome(result: Result, width: int = 0) -> str:
    """Return the verdict in color, and the expected one where it differs."""
    text = shown.verdict(result)
    color = _COLORS.get(text, "magenta")
    text += "" if result.status == "as expected" else f" (expected: {result.claim.expected})"
    return f"[bold {color}]{_plain(f'{text:{width}}')}[/]"


def _show_one(result: Result) -> None:
    from rich.table import Table

    claim, screen = result.claim, console()
    condition = f" {result.verdict.condition}" if result.verdict else ""
    parts = [f"[bold]{_plain(claim.statement)}[/]", _outcome(result) + _plain(condition), _plain(result.explanation)]
    screen.print("\n\n".join(parts) + "\n", soft_wrap=not screen.is_terminal)
    if result.evidence:
        table = Table("evidence", *shown.LABELS.values(), box=None, header_style="bold", pad_edge=False)
        for name, cells in shown.rows(result):
            table.add_row(_plain(name), *(_plain(cells[framework]) for framework in FRAMEWORKS))
        screen.print(table)
    for framework, code in claim.snippets.items():
        screen.print(f"\n[bold]In {shown.LABELS[framework]}:[/]\n")
        screen.print(code.rstrip(), markup=False, soft_wrap=not screen.is_terminal)
