"""`xloss list`: which losses there are."""

from __future__ import annotations

import json
from typing import Any

import typer

from xloss.cli.console import Json, console


def list_losses(as_json: Json = False) -> None:
    """List the losses: what each is, its reductions, how it is checked, who else has it."""
    from xloss.catalog import LOSSES
    from xloss.modules.signatures import class_name

    rows: list[dict[str, Any]] = [
        {
            "name": loss.name,
            "class": class_name(loss),
            "summary": loss.summary,
            "reductions": list(loss.reductions),
            "variants": [variant.name for variant in loss.variants],
            "differentiable": list(loss.arguments.wrt),
            "peers": [peer.name for peer in loss.peers],
            "differences": [difference.id for difference in loss.differences],
            "source": loss.source,
        }
        for loss in LOSSES.values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.table import Table

    table = Table(
        title=f"{len(rows)} losses, each in xloss.torch and xloss.jax, as a function and as a class",
        title_justify="left",
    )
    for heading in ("loss", "what it is", "variants checked", "measured beside it"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        names = f"{row['name']}\n[dim]{row['class']}[/dim]"
        table.add_row(names, row["summary"], str(len(row["variants"])), ", ".join(row["peers"]))
    console().print(table)
