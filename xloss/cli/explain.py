"""`xloss explain`: one loss, its formula, its conventions, where implementations differ."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from xloss.cli import validate
from xloss.cli.console import Json, console


def explain(
    loss: Annotated[str, typer.Argument(help="A loss's name; `xloss list` has them.")], as_json: Json = False
) -> None:
    """Explain a loss: formula, arguments, gradient, conventions, where implementations differ, how it is checked."""
    import inspect

    from xloss.catalog import get
    from xloss.modules.signatures import class_name, options_of, signature_text
    from xloss.parity.inputs import REGIMES, applicable

    try:
        record = get(loss)
    except KeyError as error:
        validate.refuse(f"loss: {error.args[0]}{'' if '?' in error.args[0] else '; `xloss list` has them all'}")
    signature = f"{record.name}{signature_text(record.torch)}"
    form = f"{class_name(record)}{inspect.Signature(options_of(record))}"
    if record.class_form.parametric:
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
                "versions": d.versions,
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
        which = f"{d.versions}; " if d.versions else ""
        screen.print(
            f"  {d.id}: {d.case}; xloss {d.expected[0]}, {d.who} {d.expected[1]} ({which}seen with {d.seen}) {d.link}",
            markup=False,
        )
    screen.print(f"\n[bold]Measured beside it[/bold]  {', '.join(data['peers']) or 'nobody has it'}")
    screen.print(f"[bold]Reproduce[/bold]  xloss parity --loss {record.name}")
