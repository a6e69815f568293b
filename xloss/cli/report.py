"""``xloss report``: what the sweep, the benchmarks and the claims found, as pages to read."""

import importlib.util
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xloss.cli import validate
from xloss.report import ReportError, read_parity, write

if TYPE_CHECKING:
    from xloss.claims import Result


def report(
    source: Annotated[
        Path, typer.Argument(parser=validate.path, metavar="PATH", help="The folder that `xloss parity --out` wrote.")
    ] = Path("reports"),
    out: Annotated[
        Path | None,
        typer.Option("--out", parser=validate.path, metavar="PATH", help="Where to write; SOURCE itself if not given."),
    ] = None,
    claims: Annotated[bool, typer.Option("--claims/--no-claims", help="Run the claims too, and show them.")] = True,
    open_: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
) -> None:
    """Make one page of what `xloss parity --out reports` and the claims found: index.html, and parity.md beside it.

    What `make bench` and `xloss bench --all --out reports/data/bench.parquet` measured is part of it, and speed.md.
    The page needs no network and no other file. Exits 0 when it is written, 2 when there is nothing to report on.
    """
    out = source if out is None else out
    try:
        validate.readable(source, "source")
        read_parity(source)  # before the claims take their time
        validate.writable(out)
        with validate.writing(out):
            results = _claims(out) if claims else None
            paths = write(source, out, results)
    except ValueError as error:
        if not isinstance(error, ReportError) and not str(error).startswith(("source: ", "out: ")):
            raise
        validate.refuse(error)
    if results:
        paths.append(out / "claims.md")
    for path in paths:
        typer.echo(str(path))
    if open_:
        webbrowser.open(paths[0].resolve().as_uri())


def _claims(out: Path) -> "list[Result] | None":
    """Run the claims and write claims.md; return None, and say so, where a framework is missing."""
    from xloss import claims

    missing = [name for name in ("torch", "jax") if importlib.util.find_spec(name) is None]
    if missing:
        typer.echo(f"claims left out: they compare both frameworks, and {missing[0]} is not installed", err=True)
        return None
    from xloss.cli.console import progress
    from xloss.report.claims import write as write_claims

    with progress("claims") as show:
        results = claims.run(progress=lambda done, total, _: show(done, total))
    write_claims(results, out)
    return results
