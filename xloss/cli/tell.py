"""The commands that only tell: `list`, `explain`, `doctor`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from xloss.cli.console import BROKEN, DISAGREES, USAGE, console

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def list_losses(as_json: Json = False) -> None:
    """List the losses: what each is, its reductions, how it is checked, who else has it."""
    from xloss.catalog import LOSSES
    from xloss.modules import class_name

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


def explain(
    loss: Annotated[str, typer.Argument(help="A loss's name; `xloss list` has them.")], as_json: Json = False
) -> None:
    """Explain a loss: formula, arguments, gradient, conventions, where implementations differ, how it is checked."""
    import inspect

    from xloss.catalog import get
    from xloss.modules import class_name, options_of
    from xloss.parity.inputs import REGIMES, applicable

    try:
        record = get(loss)
    except KeyError as error:
        typer.echo(f"loss: {error.args[0]}", err=True)
        raise typer.Exit(USAGE) from None
    signature = f"{record.name}{inspect.signature(record.torch)}"
    form = f"{class_name(record)}{inspect.Signature(options_of(record))}"
    if record.class_form.torch is not None:
        form = class_name(record)  # it has a constructor of its own
    data: dict[str, Any] = {
        "name": record.name,
        "signature": signature,
        "class": form,
        "documentation": record.torch.__doc__,
        "variants": {
            variant.name: {
                "options": dict(variant.options),
                "tensors": list(variant.tensors),
                "shapes": [list(shape) for shape in variant.shapes],
                "regimes": list(applicable(record, variant)),
            }
            for variant in record.variants
        },
        "kinks": list(record.domain.kinks),
        "without": dict(record.domain.skip_regimes),
        "peers": [peer.name for peer in record.peers],
        "differences": [
            {
                "id": d.id,
                "case": d.case,
                "who": d.who,
                "expected": [str(x) for x in d.expected],
                "seen": d.seen,
                "link": d.link,
            }
            for d in record.differences
        ],
        "source": record.source,
    }
    if as_json:
        typer.echo(json.dumps(data, indent=2))
        return
    screen = console()
    screen.print(signature, style="bold", markup=False)
    screen.print(f"as a class: {form}\n", markup=False)
    screen.print(record.torch.__doc__, markup=False)
    screen.print("\n[bold]Checked as[/bold]")
    for name, variant in data["variants"].items():
        screen.print(f"  {name}: shapes {variant['shapes']}, regimes {', '.join(variant['regimes'])}", markup=False)
    for regime, reason in record.domain.skip_regimes.items():
        screen.print(f"  not in the regime {regime!r} ({REGIMES[regime]}): {reason}", markup=False)
    if record.differences:
        screen.print("\n[bold]Where implementations differ[/bold]")
    for d in record.differences:
        screen.print(
            f"  {d.id}: {d.case}; xloss {d.expected[0]}, {d.who} {d.expected[1]} (seen with {d.seen}) {d.link}",
            markup=False,
        )
    screen.print(f"\n[bold]Measured beside it[/bold]  {', '.join(data['peers']) or 'nobody has it'}")
    screen.print(f"[bold]Reproduce[/bold]  xloss parity --loss {record.name}")


def doctor(as_json: Json = False) -> None:
    """Say what is installed here, what each framework sees, and whether a small check passes in it."""
    from xloss import environment

    data = environment.describe()
    trouble = DISAGREES
    healthy = True
    data["frameworks"] = {}
    for name in ("torch", "jax"):
        found: dict[str, Any] = {"installed": data["versions"][name]}
        if found["installed"]:
            try:
                found |= environment.devices(name)
                found["check"] = _small_check(name)
            except Exception as error:  # whatever an installation suffers from is what was asked for
                found["check"] = f"{type(error).__name__}: {error}"
                trouble = BROKEN
            healthy &= found["check"] == "ok"
        data["frameworks"][name] = found
    if as_json:
        typer.echo(json.dumps(data, indent=2))
    else:
        _print_doctor(data)
    if not healthy:
        raise typer.Exit(trouble)


def _small_check(framework: str) -> str:
    from xloss.catalog import get
    from xloss.parity import Cell
    from xloss.parity.evaluate import evaluate

    cell = Cell("mse_loss", "default", (6, 3), "typical", "float64")
    rows = evaluate(get(cell.loss), cell, (framework,), peers=False)
    bad = [row for row in rows if row["status"] not in ("ok", "unsupported")]
    return "ok" if not bad else f"{len(bad)} of {len(rows)} checks fail: {bad[0]['mechanism']}: {bad[0]['reason']}"


def _print_doctor(data: dict[str, Any]) -> None:
    screen = console()
    screen.print(
        f"xloss {data['xloss']}, Python {data['python']}, {data['platform']}, {data['cpu']}, {data['cores']} cores"
    )
    for name, version in data["versions"].items():
        screen.print(f"  {name:14} {version or 'not installed'}", markup=False)
    for name, found in data["frameworks"].items():
        if not found["installed"]:
            screen.print(f"{name}: not installed; pip install 'xloss[{name}]'", markup=False)
            continue
        gpu = ", ".join(found.get("cuda", [])) or f"none ({found.get('why', 'not asked')})"
        screen.print(f"{name}: GPU {gpu}; small check: {found['check']}", markup=False)
