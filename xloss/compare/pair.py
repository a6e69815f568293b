"""Compare two functions: run both on all cases, find out what is right, judge, and say why they disagree."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from xloss.compare.comparison import Comparison, names_of
from xloss.compare.diagnosis import SECONDS, Diagnosis, Evidence, diagnose
from xloss.compare.judging import Judge
from xloss.compare.reference import Truth
from xloss.compare.run import Case
from xloss.compare.sides import Side
from xloss.compare.units import Answer, Run, in_process, units, widened
from xloss.parity.sweep import GUILTY

Diagnoser = Callable[[list[Case], tuple[str, str], Sequence[Mapping[str, Any]], float], list[Diagnosis]]
WHOLE = 45.0  # seconds after which a comparison ends, its diagnosis included; what is asked of the sides has its own
LEAST = 5.0  # seconds for a diagnosis in any case


def compare(
    a: Side,
    b: Side,
    cases: Sequence[Case],
    *,
    dtypes: Sequence[str] = ("float64", "float32"),
    truth: Truth | None = None,
    per_sample: bool = True,
    microbatches: int = 0,
    strict: bool = False,
    device: str = "cpu",
    runner: Run | None = None,
    diagnoser: Diagnoser | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare two functions.

    Args:
        a, b: the functions.
        cases: their inputs; the first should be typical.
        dtypes: those to judge; float64 is always run, to be the reference.
        truth: what is right, where that is known. Without it both functions in float64 are each other's reference.
        per_sample: compare the gradients of each sample alone, by a call each and by `vmap`.
        microbatches: into how many micro-batches to cut the first case, to see whether their gradients add up to
            that of the batch; 0 does not.
        strict: judge by the distance to the exact result alone (`xloss.parity.verdict`), without allowing roundings of
            the size of typical results.
        device: "cpu" or "cuda".
        runner: runs the units, by default in this process.
        diagnoser: looks for the cause of a disagreement within some seconds, by default in this process.
        progress: called with the number of units done and of all.
    """
    start = time.perf_counter()
    sides = (a, b)
    cases = _named_apart([widened(case, "float32") for case in cases])
    asked = units(sides, cases, dtypes, per_sample, microbatches, device)
    runner = runner or in_process(sides)
    answers: dict[tuple[int, str, str], Answer] = {}
    for done, (unit, got) in enumerate(runner(asked), start=1):
        answers[unit.which, unit.case.name, unit.dtype] = got
        if progress:
            progress(done, len(asked))
    out = Comparison(sides, names_of(a, b))
    judge_all = Judge(out, answers, truth, strict, dtypes, runner, device)
    judge_all(cases, microbatches)
    # Where a function crashed or hung, running it again on other inputs would, too.
    if out.failures and not any(row["status"] in GUILTY for row in out.rows):
        few = [case for case in cases if case.name != "many_rows"]
        left = max(LEAST, min(SECONDS, WHOLE - (time.perf_counter() - start)))
        out.diagnoses = (diagnoser or diagnoser_of(sides, truth))(few, out.names, out.failures, left)
    out.seconds = time.perf_counter() - start
    return out


def _named_apart(cases: list[Case]) -> list[Case]:
    """Number the cases that share a name: answers are kept by it."""
    seen: dict[str, int] = {}
    out = []
    for case in cases:
        seen[case.name] = seen.get(case.name, 0) + 1
        out.append(case if seen[case.name] == 1 else replace(case, name=f"{case.name} {seen[case.name]}"))
    return out


def diagnoser_of(sides: tuple[Side, Side], truth: Truth | None) -> Diagnoser:
    """Return what diagnoses in this process."""
    right = None if truth is None else lambda case: truth(case).result()
    return lambda cases, names, found, seconds: diagnose(Evidence(sides, cases, names, right, found), seconds)
