"""``xloss claims``: measure the claims, judge them, and show what came out."""

import importlib.util
import json as json_module
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from xloss.claims import render
from xloss.claims import run as run_claims
from xloss.claims import select as select_claims
from xloss.claims.model import FRAMEWORKS, Result

_COLORS = {"holds": "green", "fails": "red", "holds only if": "yellow"}
#: How the outcome of a claim becomes the exit status; the highest one wins.
_EXIT = {"as expected": 0, "changed": 1, "undecided": 1, "crashed": 3}


def claims(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="A claim, or the beginning of its id.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Everything as JSON, evidence included.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write claims.md, claims.json and figures here.")] = None,
) -> None:
    """Settle what people said about losses and gradients, in PyTorch and in JAX.

    Without an ID all claims are run and listed; one claim is shown in full, with its evidence and the code for it.
    Exits 0 when every verdict is the one this repository vouches for, 1 when one differs, 2 when there is no such
    claim, 3 when one crashed, 4 when a framework is missing.
    """
    missing = [framework for framework in FRAMEWORKS if importlib.util.find_spec(framework) is None]
    if missing:
        typer.echo(f"claims compare both frameworks, and {' and '.join(missing)} is not installed", err=True)
        raise typer.Exit(4)
    try:
        chosen = [claim.id for claim in select_claims(id)] if id is not None else None
    except LookupError as error:
        typer.echo(error.args[0], err=True)
        raise typer.Exit(2) from None
    results = _measure(chosen, listed=not json and (chosen is None or len(chosen) > 1))
    if out is not None:
        paths = render.write(results, out)
        typer.echo(f"wrote {len(paths)} files below {out}", err=True)
    if json:
        typer.echo(json_module.dumps([result.to_dict() for result in results], indent=1, allow_nan=False))
    elif len(results) == 1:
        _show(results[0])
    elif sys.stdout.isatty():
        _table(results)
    if not json and len(results) > 1:
        seconds = sum(result.seconds for result in results)
        typer.echo(f"{len(results)} claims: {render.counts(results)}; {seconds:.1f} s, {render.versions()}")
    raise typer.Exit(max(_EXIT[result.status] for result in results))


def _measure(ids: list[str] | None, listed: bool) -> list[Result]:
    """Run the claims, with a bar where a person waits, else with plain lines: the list itself where one is wanted."""
    if sys.stderr.isatty():
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("claims")
            return run_claims(
                ids,
                lambda done, total, result: bar.update(task, completed=done, total=total, description=result.claim.id),
            )
    if listed and not sys.stdout.isatty():
        return run_claims(ids, lambda done, total, result: typer.echo(_line(result)))
    return run_claims(ids, lambda done, total, result: typer.echo(f"{done}/{total} {result.claim.id}", err=True))


def _outcome(result: Result) -> str:
    """The verdict in a few words, with a mark where it is not the one vouched for."""
    return render.verdict(result) + ("" if result.status == "as expected" else f" (expected: {result.claim.expected})")


def _line(result: Result) -> str:
    return f"{_outcome(result):14} {result.claim.id:46} {result.claim.statement}"


def _table(results: list[Result]) -> None:
    table = Table("verdict", "claim", "what was said", box=None, header_style="bold", pad_edge=False)
    for result in results:
        color = _COLORS.get(render.verdict(result), "magenta")
        outcome = f"[{color}]{escape(_outcome(result))}[/]"
        table.add_row(outcome, escape(result.claim.id), escape(result.claim.statement))
    Console().print(table)


def _show(result: Result) -> None:
    """One claim in full."""
    claim, terminal = result.claim, sys.stdout.isatty()
    console = Console(width=None if terminal else 120, highlight=False, soft_wrap=not terminal)
    color = _COLORS.get(render.verdict(result), "magenta")
    condition = f" {result.verdict.condition}" if result.verdict else ""
    console.print(f"[bold]{escape(claim.question)}[/]\n“{escape(claim.statement)}”\n")
    console.print(f"[bold {color}]{escape(_outcome(result))}[/]{escape(condition)}\n")
    console.print(escape(result.explanation) + "\n")
    if result.evidence:
        table = Table("evidence", *render.LABELS.values(), box=None, header_style="bold", pad_edge=False)
        for name, cells in render.rows(result):
            table.add_row(escape(name), *(escape(cells[framework]) for framework in FRAMEWORKS))
        console.print(table)
    for framework, code in claim.snippets.items():
        console.print(f"\n[bold]In {render.LABELS[framework]}:[/]\n")
        console.print(code.rstrip(), markup=False)
