"""The command `xloss`. Each command lives where its work does; here they get their names."""

from __future__ import annotations

import typer

from xloss.cli.bench import bench
from xloss.cli.claims import claims
from xloss.cli.compare import compare
from xloss.cli.diff import diff
from xloss.cli.doctor import doctor
from xloss.cli.explain import explain
from xloss.cli.list import list_losses
from xloss.cli.parity import parity
from xloss.cli.report import report
from xloss.cli.site import site
from xloss.cli.validate import Commands

app = typer.Typer(
    name="xloss",
    cls=Commands,
    help="Losses and their gradients in PyTorch and JAX: are they the same, right, and fast?",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 all well, 1 a disagreement or an inaccuracy, 2 usage, 3 something crashed or timed out, "
    "4 nothing was run.",
)
app.command("list")(list_losses)
app.command()(parity)
app.command()(compare)
app.command()(diff)
app.command()(claims)
app.command()(explain)
app.command()(bench)
app.command()(report)
app.command()(site)
app.command()(doctor)


def _version(value: bool) -> None:
    if value:
        import xloss

        typer.echo(f"xloss {xloss.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Run the command."""
    app()
