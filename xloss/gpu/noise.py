"""`python -m xloss.gpu.noise`: which losses would miss the budget where elementary functions are an ulp worse.

Other hardware has other exponentials, logarithms, quotients and roots, right to an ulp or two. Here each float32 result
of theirs is moved by one ulp, up or down as its own bits say, forward and backward, with values taken for unreadable as
on an accelerator. Zeros, ones, infinities and NaN stay: exact everywhere. Truth and verdict are those of the sweep.
A result that is exactly 0, because its terms cancel, may have almost no error: noise in these terms is then beyond the
budget by orders of magnitude, however small.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xloss import environment
from xloss.catalog import LOSSES, get
from xloss.files import write_text

FILE = Path("reports/accelerator/noise.json")
FUNCTIONS = ("exp", "exp_", "log", "log_", "div", "div_", "true_divide", "reciprocal", "sqrt", "sqrt_", "rsqrt")
MECHANISMS = ("value", "backward")
SEEDS = (0, 1, 2)


def noisy(seed: int) -> Any:
    """Return a dispatch mode in which the results of `FUNCTIONS` are an ulp off; one seed, one and the same noise."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    packets = {getattr(torch.ops.aten, name) for name in FUNCTIONS}

    class Noise(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if func.overloadpacket not in packets or out.dtype != torch.float32:
                return out
            moved = off_by_an_ulp(out, seed)
            return out.copy_(moved) if func._schema.is_mutable else moved

    return Noise()


def off_by_an_ulp(x: Any, seed: int) -> Any:
    """Return float32 numbers moved by an ulp, by what a hash of their bits says; 0, 1 and what is not finite stay."""
    import torch

    bits = x.contiguous().view(torch.int32).long()
    up = ((bits * 2654435761 + seed * 97531) >> 13) & 1 == 1
    towards = torch.where(up, torch.inf, -torch.inf).to(x.dtype)
    exact = (x == 0) | (x.abs() == 1) | ~x.isfinite()
    return torch.where(exact, x, torch.nextafter(x, towards))


def measure(name: str) -> dict[str, Any]:
    """Return the worst error of a loss as a multiple of the budget, without noise and with that of each seed.

    In all regimes of the first variant, float32; with the check that was the worst.
    """
    from xloss.ops.accelerator import hidden_values
    from xloss.parity import cells
    from xloss.parity.evaluate import evaluate

    loss = get(name)
    first = loss.variants[0]
    asked = [
        cell
        for cell in cells([name], ["float32"])
        if cell.variant == first.name and cell.shape == first.shapes[0] and cell.regime not in ("empty",)
    ]
    quiet, loud, where, lost = 0.0, 0.0, "", []
    for cell in asked:
        with hidden_values():
            found: list[tuple[int | None, dict[str, Any]]] = [
                (None, row) for row in evaluate(loss, cell, ("torch",), False, mechanisms=MECHANISMS)
            ]
            for seed in SEEDS:
                with noisy(seed):
                    rows = evaluate(loss, cell, ("torch",), False, mechanisms=MECHANISMS)
                found += [(seed, row) for row in rows]
        for with_noise, row in found:
            budget = row["budget"]
            if row["status"] == "error" or (row["status"] == "inaccurate" and not math.isfinite(budget)):
                lost.append(f"{row['case_id']}: {row['reason']}"[:200])
            elif math.isfinite(budget) and with_noise is None:
                quiet = max(quiet, budget)
            elif math.isfinite(budget) and budget > loud:
                loud, where = budget, row["case_id"]
    return {"loss": name, "cells": len(asked), "quiet": _short(quiet), "noisy": _short(loud), "where": where,
            "lost": lost[:5]}  # fmt: skip


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how many losses are beyond the budget with noise, and which is the worst."""
    beyond = [row["loss"] for row in results if row["noisy"] > 1 or row["lost"]]
    worst = max(results, key=lambda row: row["noisy"], default={"loss": "", "noisy": 0.0})
    return {"losses": len(results), "beyond": sorted(beyond), "worst": worst["loss"], "worst_budget": worst["noisy"]}


def measured(names: list[str]) -> Iterator[dict[str, Any]]:
    """Yield what is found of each loss, and say it on stderr."""
    for name in names:
        row = measure(name)
        sys.stderr.write(f"{name}: {row['quiet']} of the budget, with noise {row['noisy']}\n")
        yield row


def main() -> int:
    """Measure, and add each loss to the file as it is done; exit with 1 where one is beyond the budget."""
    from xloss.parity.sweep import keep_truth

    reader = argparse.ArgumentParser(prog="python -m xloss.gpu.noise", description=main.__doc__)
    reader.add_argument("--loss", nargs="*", default=list(LOSSES), help="only these losses")
    reader.add_argument("--out", type=Path, default=FILE, help="(default: %(default)s)")
    given = reader.parse_args()
    unknown = [name for name in given.loss if name not in LOSSES]
    if unknown:
        reader.error(f"loss: expected names of `xloss list`, got {', '.join(unknown)}")
    found = summary(_kept(given.out))
    with tempfile.TemporaryDirectory() as folder:
        keep_truth(Path(folder) / "truth.sqlite")  # four times asked, once computed
        try:
            for row in measured(given.loss):
                results = {one["loss"]: one for one in [*_kept(given.out), row]}
                found = _write(given.out, [results[name] for name in LOSSES if name in results])
        finally:
            keep_truth(None)
    sys.stderr.write(f"{len(found['beyond'])} of {found['losses']} losses beyond the budget; worst: {found['worst']}, "
                     f"{found['worst_budget']} of it\n")  # fmt: skip
    return 1 if found["beyond"] else 0


def _kept(path: Path) -> list[dict[str, Any]]:
    """Return what the file has of other losses, of this torch and these functions; nothing without one."""
    if not path.is_file():
        return []
    found = json.loads(path.read_text("utf-8"))
    return list(found["results"]) if {k: found.get(k) for k in _facts()} == _facts() else []


def _facts() -> dict[str, Any]:
    functions = [one for one in FUNCTIONS if not one.endswith("_")]
    return {"torch": environment.version("torch"), "functions": functions, "seeds": len(SEEDS)}


def _write(path: Path, results: list[dict[str, Any]]) -> dict[str, Any]:
    found = summary(results)
    rows = ",\n".join(json.dumps(row) for row in results)
    write_text(path, f'{{{json.dumps({**_facts(), **found})[1:-1]}, "results": [\n{rows}\n]}}\n')
    return found


if __name__ == "__main__":
    sys.exit(main())
