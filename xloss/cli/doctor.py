"""`xloss doctor`: what is installed, and what each framework sees."""

from __future__ import annotations

import json
from typing import Any

import typer

from xloss.cli.console import BROKEN, DISAGREES, Json, console


def doctor(as_json: Json = False) -> None:
    """Say what is installed here, what each framework sees, and whether a small check passes in it.

    A version beyond those that xloss's tests and sweep were run on is named; it may well work (`xloss parity` tells).
    """
    from xloss import environment, stacks

    data = environment.describe()
    data["outside"] = stacks.outside(data["versions"], data["python"])
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
    for line in data["outside"]:
        screen.print(f"  not tested: {line}", markup=False)
    for name, found in data["frameworks"].items():
        if not found["installed"]:
            screen.print(f"{name}: not installed; pip install 'xloss[{name}]'", markup=False)
            continue
        gpu = ", ".join(found.get("cuda", [])) or f"none ({found.get('why', 'not asked')})"
        screen.print(f"{name}: GPU {gpu}; small check: {found['check']}", markup=False)
