"""The run itself: facts, then the steps in their order under one budget, then those again that were cut short."""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xloss import environment, forkserver
from xloss.catalog import FRAMEWORKS, LOSSES
from xloss.files import write_text
from xloss.gpu import engine, facts, needs, planted, summary
from xloss.gpu.journal import Journal, Row
from xloss.gpu.steps import NOMINAL, Cell, Step, steps
from xloss.parity import truth_file

BROKEN, NOTHING = 3, 4
#: Of the budget, for the facts of both frameworks.
TO_LOOK = 0.25


class Refused(ValueError):
    """The run cannot be begun as it was asked for."""


class Run:
    """One run: what was asked for, where it is kept, and what is left to ask."""

    def __init__(self, given: argparse.Namespace, start: float):
        self.given, self.end = given, start + given.budget
        self.device = "cpu" if given.rehearse else "cuda"
        self.losses = list(given.loss or LOSSES)
        unknown = [name for name in self.losses if name not in LOSSES]
        if unknown:
            raise Refused(f"argument --loss: expected names of `xloss list`, got {', '.join(unknown)}")
        self.steps = [step for step in steps(given.rehearse) if not given.step or step.name in given.step]
        if given.step and (other := set(given.step) - {step.name for step in self.steps}):
            known = ", ".join(step.name for step in steps(given.rehearse))
            raise Refused(f"argument --step: expected some of {known}, got {', '.join(sorted(other))}")
        self.truth = given.truth or next((p for p in usual_truths() if p.is_file()), None)
        self.first_page = needs.page(self.truth)
        path = given.out / "journal.jsonl"
        if path.exists() and not given.resume:
            stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S-%f")
            path.rename(path.with_name(f"journal-{stamp}.jsonl"))  # nothing is lost
        self.journal = Journal(path)
        self.skipped: dict[str, str] = {}
        self.said: set[str] = set()
        self.outcomes: dict[str, engine.Outcome] = {}
        self._check_same()

    def run(self) -> int:
        """Run all, write the summary after each step, and return the exit code."""
        self._say("\n".join(self.first_page))
        here = environment.describe()
        self.journal.add({"run": {**here, "device": self.device, "rehearse": self.given.rehearse,
                                  "budget": self.given.budget, "losses": len(self.losses)}})  # fmt: skip
        usable = self._facts()
        todo = list(self._plan(usable))
        self._say("\n".join(self._plan_lines(todo)))
        self._write()
        if said := engine.start(min(self.end, time.monotonic() + TO_LOOK * self.given.budget)):
            self._say(said)
        done = self.journal.answered() if self.given.resume else set()
        waiting = [(step, [cell for cell in cells if (step.name, cell["id"]) not in done]) for step, cells in todo]
        share = min(1.0, self.given.budget / NOMINAL)
        for again in (False, True):  # what was cut short is gone on with where time is left
            for step, cells in waiting:
                if again:
                    outcome = self.outcomes.get(step.name)
                    cells = outcome.left if outcome and not outcome.reason.startswith("no child") else []
                now = time.monotonic()
                deadline = self.end if again else min(self.end, now + share * step.seconds)
                if cells and now < self.end - 1:
                    self._step(step, cells, deadline)
                elif not again:
                    self.outcomes[step.name] = engine.Outcome(0, cells, 0.0, "no time was left" if cells else "")
        self.journal.add({"end": {"seconds": round(time.monotonic() - self.end + self.given.budget, 1)}})
        self._write()
        self.journal.close()
        return self._code()

    def _step(self, step: Step, cells: list[Cell], deadline: float) -> None:
        self._say(f"{step.title}: {len(cells)} cells, at most {deadline - time.monotonic():.0f} s")
        settings = {"device": self.device, "rehearse": self.given.rehearse,
                    "truth": str(self.truth) if self.truth and step.truth else None}  # fmt: skip
        outcome = engine.run(step, cells, self.journal, deadline, settings, self._seen)
        earlier = self.outcomes.get(step.name)
        if earlier is not None:
            outcome.done += earlier.done
            outcome.seconds += earlier.seconds
        self.outcomes[step.name] = outcome
        left = f", {len(outcome.left)} left: {outcome.reason}" if outcome.left else ""
        self._say(f"  {outcome.done} answered in {outcome.seconds:.0f} s{left}")
        self.journal.add({"step_end": {"step": step.name, "answered": outcome.done, "left": len(outcome.left),
                                       "seconds": round(outcome.seconds, 1), "reason": outcome.reason}})  # fmt: skip
        self._write()

    def _facts(self) -> list[str]:
        """Ask for the facts; return the frameworks that can be asked further."""
        self._keep_facts("machine", facts.machine())
        usable = []
        for name in FRAMEWORKS:
            if name not in forkserver.installed():
                self.skipped[name] = f"{name} is not installed"
                continue
            row = facts.framework(name, max(5.0, min(120.0, TO_LOOK * self.given.budget)))
            self._keep_facts(name, row)
            if row["status"] != "ok":
                self.skipped[name] = f"{name} cannot be used: {row['reason']}"
                forkserver.leave_out(name)
            elif self.device == "cuda" and not row["devices"]:
                self.skipped[name] = f"{name} {row['version']} sees no CUDA device"
            else:
                usable.append(name)
        return usable

    def _keep_facts(self, cell: str, row: Row) -> None:
        self.journal.add({"step": "facts", "cell": cell, **row})

    def _plan(self, usable: list[str]) -> Iterator[tuple[Step, list[Cell]]]:
        """Yield the steps that can be run, with their cells; note why others are left out."""
        exact = self.truth is not None or truth_file.has_ball_arithmetic()
        for step in self.steps:
            if step.framework and step.framework not in usable:
                self.skipped[step.name] = self.skipped[step.framework]
            elif step.truth and not exact:
                self.skipped[step.name] = "there are no exact results to judge by (see the first lines)"
            else:
                yield step, [cell for cell in step.cells(self.losses, self.device) if _of(cell) in (*usable, "")]

    def _plan_lines(self, todo: list[tuple[Step, list[Cell]]]) -> list[str]:
        lines = [f"{step.name}: {step.title}; {len(cells)} cells, {step.seconds:.0f} s" for step, cells in todo]
        return lines + [f"left out: {name}: {reason}" for name, reason in self.skipped.items()]

    def _check_same(self) -> None:
        """Refuse to go on with what another environment has begun."""
        runs = [row["run"] for row in self.journal.rows() if "run" in row]
        here = environment.describe()
        now = {"device": self.device, "rehearse": self.given.rehearse, **here["versions"]}
        for before in runs:
            then = {"device": before["device"], "rehearse": before["rehearse"], **before["versions"]}
            other = [f"{k} {then.get(k)}, now {v}" for k, v in now.items() if then.get(k) != v]
            if other:
                raise Refused(
                    f"argument --resume: {self.given.out} was begun with {'; '.join(other)}: give another --out"
                )

    def _seen(self, row: Row) -> None:
        reason = row.get("reason", "")[:160]
        if row["status"] == "unsupported":  # of many cells, as a rule
            if reason not in self.said:
                self._say(f"  {row['cell']}: {reason}; further cells of that reason are not listed")
                self.said.add(reason)
        elif row["status"] != "ok":
            self._say(f"  {row['cell']}: {row['status']}: {reason}")

    def _say(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def _write(self) -> None:
        page = summary.page(self.journal.rows(), self.first_page, self._table(), self.skipped)
        write_text(Path(self.given.out) / "summary.md", page)

    def _table(self) -> list[dict[str, Any]]:
        return [
            {"step": step.name, "title": step.title, "left": len(of.left), "seconds": of.seconds, "reason": of.reason}
            for step in self.steps
            if (of := self.outcomes.get(step.name)) is not None
        ]

    def _code(self) -> int:
        rows = [row for row in self.journal.rows() if "cell" in row and row["step"] != "facts"]
        if self.given.rehearse and any(step.name == "planted" for step in self.steps):
            wrong = planted.missing(rows)
            self._say("\n".join(wrong) or "each planted fault cost its own cell")
            if wrong:
                return BROKEN
        found = {row["status"] for row in rows if row["step"] != "planted"}
        if found & {"error", "crash", "timeout", "oom"}:
            return BROKEN
        return 1 if "inaccurate" in found else 0 if "ok" in found else NOTHING


def _of(cell: Cell) -> str:
    """Return the framework of a cell, or ""."""
    return str(cell.get("framework") or str(cell.get("who", "")).partition("/")[0])


def usual_truths() -> list[Path]:
    """Return where a file of exact results is looked for."""
    from xloss.gpu.truth import USUAL

    return [USUAL, Path(__file__).parents[2] / USUAL]
