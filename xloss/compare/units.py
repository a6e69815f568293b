"""What each side is asked: units of work, each one case in one dtype, to be run here or in a worker."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xloss.compare.diagnosis import Evidence
from xloss.compare.reference import nudged, spread_of
from xloss.compare.run import Case, Failure, Result, per_sample, run, twice, vmapped
from xloss.compare.sides import Side
from xloss.parity.inputs import DIGITS

Answer = dict[str, Result | Failure]
# In 16 bits plain code overflows and loses what it may in the other cases.
CASES_IN_16_BITS = ("typical", "more_rows", "many_rows")
NUDGES = 4


@dataclass(frozen=True)
class Unit:
    """What one side is asked at once, in one worker: one case in one dtype."""

    which: int
    case: Case
    dtype: str
    asked: tuple[str, ...]
    device: str = "cpu"


def answer(side: Side, unit: Unit) -> Answer:
    """Run all that a unit asks."""
    return {what: _one(side, unit, what) for what in unit.asked}


def _one(side: Side, unit: Unit, what: str) -> Result | Failure:
    case, dtype, device = unit.case, unit.dtype, unit.device
    if what == "value":
        return run(side, case, dtype, device=device)
    if what == "again":
        return _twice(side, case, dtype, device)
    if what.startswith("reduction="):
        return run(side, case.with_options(reduction=what.partition("=")[2]), dtype, device=device)
    if what == "per_sample":
        return per_sample(side, case, dtype, device=device)
    if what == "vmap":
        return vmapped(side, case, dtype, device=device)
    if what == "float64":  # at the inputs as the dtype rounds them
        return run(side, widened(case, dtype), "float64", device=device)
    if what == "spread":
        at = run(side, case, "float64", device=device)
        moved = [run(side, nudged(case, i), "float64", device=device) for i in range(NUDGES)]
        whole = [m for m in moved if isinstance(m, Result)]
        return spread_of(at, whole) if isinstance(at, Result) and len(whole) == NUDGES else Failure("not measured")
    if what == "numerical":
        return _numerical(side, case)
    if what.startswith("microbatches="):
        return _accumulated(side, case, dtype, int(what.partition("=")[2]), device)
    raise ValueError(f"asked: unknown {what!r}")


def _twice(side: Side, case: Case, dtype: str, device: str) -> Result | Failure:
    """Return the value with that of a second call beside it."""
    both = twice(side, case, dtype, device=device)
    if isinstance(both[0], Failure) or isinstance(both[1], Failure):
        return next(got for got in both if isinstance(got, Failure))
    return Result(both[0].value, {"again": both[1].value})


def widened(case: Case, dtype: str) -> Case:
    """Return the case with its floating arrays rounded to a dtype, in float64."""
    return case.in_dtype(dtype).in_dtype("float64")


def _numerical(side: Side, case: Case) -> Result | Failure:
    """Return the value with central differences of it as gradients."""
    at = run(side, case, grads=False)
    if isinstance(at, Failure):
        return at
    evidence = Evidence((side, side), [case])
    grads = {name: evidence.numerical_gradient(0, case, name) for name in case.wrt}
    return Result(at.value, {name: grad for name, grad in grads.items() if grad is not None})


def parts_of(case: Case, number: int) -> list[Case]:
    """Return the case cut into micro-batches, as even as can be."""
    edges = np.linspace(0, case.rows, min(number, case.rows) + 1).astype(int)
    return [case.row(slice(int(a), int(b))) for a, b in itertools.pairwise(edges)]


def _accumulated(side: Side, case: Case, dtype: str, number: int, device: str) -> Result | Failure:
    """Return each micro-batch's value and gradients, stacked; gradients by arguments that carry the batch are put
    together.
    """
    done = [run(side, part, dtype, device=device) for part in parts_of(case, number)]
    for part in done:
        if isinstance(part, Failure):
            return part
    whole = [part for part in done if isinstance(part, Result)]
    carried = case.batch_arguments()
    return Result(
        np.stack([part.value for part in whole]) if len({p.value.shape for p in whole}) == 1 else whole[0].value,
        {n: np.concatenate([p.grads[n] for p in whole]) for n in case.wrt if n in carried},
    )


Run = Callable[[Iterable[Unit]], Iterator[tuple[Unit, Answer]]]


def units(sides: Sequence[Side], cases: Sequence[Case], dtypes: Sequence[str], samples: bool, microbatches: int,
          device: str) -> list[Unit]:  # fmt: skip
    """Return all that is asked of both sides."""
    out = []
    both = [s for s in ("none", "mean", "sum") if all(side.keywords and side.takes("reduction") for side in sides)]
    for number, case in enumerate(cases):
        for dtype in ("float64", *(d for d in dtypes if d != "float64")):
            narrow = DIGITS[dtype][0] < DIGITS["float32"][0]
            if (narrow and case.name not in CASES_IN_16_BITS) or (case.name == "many_rows" and dtype not in dtypes):
                continue
            asked = ["value", *(["float64"] if dtype != "float64" and dtype != "float32" else [])]
            if number == 0 and not narrow:
                asked += ["again", *(f"reduction={r}" for r in both)]
                asked += ["per_sample", "vmap"] if samples and case.batched and case.rows > 1 else []
                asked += [f"microbatches={microbatches}"] if microbatches > 1 else []
            out += [Unit(which, case, dtype, tuple(asked), device) for which in (0, 1)]
    return out


def in_process(sides: Sequence[Side]) -> Run:
    """Return a runner of units in this process."""
    return lambda asked: ((unit, answer(sides[unit.which], unit)) for unit in asked)
