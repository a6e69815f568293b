"""Run the two functions in worker processes: one that crashes, hangs or eats memory costs its own check."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xloss.catalog import FRAMEWORKS
from xloss.compare import diagnosis
from xloss.compare.cases import Inputs, guesses
from xloss.compare.pair import diagnoser_of
from xloss.compare.reference import Truth
from xloss.compare.run import Case, Failure, run
from xloss.compare.sides import Side, resolve
from xloss.compare.units import Answer, Unit, answer
from xloss.parity.failures import WorkerFailure
from xloss.parity.processes import Workers


@dataclass(frozen=True)
class Source:
    """Where the two functions are: the texts that a user gave, and the directory that they are relative to."""

    texts: tuple[str, str]

    def side(self, which: int) -> Side:
        """Find one of the functions, in this process."""
        text, other = self.texts[which], self.texts[1 - which]
        # xloss's own is in the framework that the other function is not.
        own = text.startswith("xloss:") and not other.startswith("xloss:")
        known = resolve(other, default=FRAMEWORKS[1 - which]).framework if own else FRAMEWORKS[1 - which]
        return resolve(text, known, default=self._default(which))

    def _default(self, which: int) -> str:
        """Return the framework of a function whose code does not tell: the one that the other is not."""
        other = self.texts[1 - which]
        if other.startswith("xloss:"):
            return FRAMEWORKS[which]
        known = resolve(other, default=FRAMEWORKS[1 - which]).framework
        return next(name for name in FRAMEWORKS if name != known)


def describe(source: Source) -> tuple[Side, Side]:
    """Return both sides without their functions, so that they can be sent to another process."""
    sides = (source.side(0), source.side(1))
    return (replace(sides[0], call=_elsewhere), replace(sides[1], call=_elsewhere))


def _elsewhere(*_args: Any, **_kwargs: Any) -> Any:
    raise RuntimeError("the function is in a worker process")


def guess(source: Source) -> Inputs | str:
    """Return the first inputs on which both functions run, or what they said to the likeliest."""
    sides = (source.side(0), source.side(1))
    said = ""
    for inputs in guesses(sides):
        (case,) = inputs.cases(["typical"])
        failed = [got for side in sides if isinstance(got := run(side, case), Failure)]
        if not failed:
            return inputs
        said = said or f"{inputs.assumed}: {failed[0]}"
    return said


def answer_here(source: Source, unit: Unit) -> Answer:
    """Answer a unit in a worker."""
    return answer(source.side(unit.which), unit)


def diagnose_here(source: Source, cases: list[Case], names: tuple[str, str], truth: Truth | None,
                  found: Sequence[Mapping[str, Any]], seconds: float) -> list[diagnosis.Diagnosis]:  # fmt: skip
    """Diagnose in a worker."""
    return diagnoser_of((source.side(0), source.side(1)), truth)(cases, names, found, seconds)


class Isolated:
    """Runs units in workers; what a worker died of is a failure of the check that it was asked."""

    def __init__(self, source: Source, workers: Workers):
        self.source, self.workers = source, workers

    def call(self, function: Any, *args: Any, timeout: float | None = None) -> Any:
        """Call a function of this module in a worker; raises `WorkerFailure`."""
        return self.workers.submit_within(timeout or self.workers.timeout, function, self.source, *args).result()

    def __call__(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, Answer]]:
        """Answer units, in the order in which they are done."""
        waiting = {self.workers.submit(answer_here, self.source, unit): unit for unit in units}
        for future in concurrent.futures.as_completed(waiting):
            unit = waiting[future]
            try:
                yield unit, future.result()
            except WorkerFailure as failure:
                yield unit, self._one_by_one(unit) if len(unit.asked) > 1 else _lost(unit, failure)

    def _one_by_one(self, unit: Unit) -> Answer:
        out: Answer = {}
        for what in unit.asked:
            part = replace(unit, asked=(what,))
            if isinstance(value := out.get("value"), Failure) and value.error.startswith("timeout:"):
                out[what] = value  # the plain call hangs: so would all the others, one deadline each
                continue
            try:
                out.update(self.workers.submit(answer_here, self.source, part).result())
            except WorkerFailure as failure:
                out.update(_lost(part, failure))
        return out


def _lost(unit: Unit, failure: WorkerFailure) -> Answer:
    said = f"{failure.status}: {failure}"
    if last := failure.output.strip().splitlines()[-1:]:
        said += f"; it printed last: {last[0][:120]}"
    return dict.fromkeys(unit.asked, Failure(said))
