"""``xloss site``: static pages of every loss, of the comparisons, of the API and the guides."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from xloss.cli import validate


def site(
    ctx: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            parser=validate.path,
            metavar="PATH",
            help="The folder of reports; that of a checkout has what is committed.",
        ),
    ] = Path("reports"),
    out: Annotated[
        Path, typer.Option("--out", parser=validate.path, metavar="PATH", help="The folder to write the pages to.")
    ] = Path("build/site"),
    open_: Annotated[bool, typer.Option("--open", help="Show the front page in a browser.")] = False,
) -> None:
    """Make a site of static pages, which opens offline: a page a loss, comparisons, the API, guides.

    It is made from what is in the folder: asv's history, gallery.json, mutants.json, invariance.json, accuracy/,
    claims.md and, where `xloss parity --out` was run there, its table (accuracy by regime). A page says which
    command makes what is absent.

      xloss site                              from reports/ into build/site/
      xloss parity --loss mse_loss --out r && xloss site r --out pages

    Any host of static files can serve the folder as it is. Exits 0 when it is written, 2 when the folder is missing or
    cannot be read.
    """
    from xloss.cli.console import progress
    from xloss.report import ReportError

    try:
        validate.readable(source, "source")
        validate.writable(out)
        with validate.writing(out), progress("pages") as show:
            from xloss.site import write

            paths = write(source, out, show, ctx.find_root().command)
    except ModuleNotFoundError as error:
        if error.name not in ("jinja2", "markdown_it", "pygments", "matplotlib", "latex2mathml"):
            raise
        validate.refuse(f"site: {error.name} is not installed; pip install 'xloss[report]'")
    except ValueError as error:
        if not isinstance(error, ReportError) and not str(error).startswith(("source: ", "out: ")):
            raise
        validate.refuse(error)
    size = sum(path.stat().st_size for path in paths)
    typer.echo(f"{len(paths)} pages, {size / 1e6:.1f} MB: {out / 'index.html'}")
    if open_:
        webbrowser.open((out / "index.html").resolve().as_uri())
