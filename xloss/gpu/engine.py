"""Run the cells of a step in child processes, under deadlines, and keep each answer as it comes.

A child answers one cell at a time. Where it dies, hangs or says that its device is lost, that is the answer of the cell
that it was at, and a new child goes on with the next. A step that is out of time leaves the rest for a later turn.
"""

from __future__ import annotations

import collections
import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver as server
from typing import Any

from xloss import forkserver
from xloss.gpu import work
from xloss.gpu.journal import Journal, Row
from xloss.gpu.steps import Cell, Step
from xloss.parity.failures import DeadlineExceeded, WorkerFailure
from xloss.parity.supervised import Supervised

#: A child that cannot even be started so many times in a row ends the step.
STRIKES = 2


@dataclass
class Outcome:
    """What became of a step: how many cells were answered, which are left, why it ended where it ended early."""

    done: int
    left: list[Cell]
    seconds: float
    reason: str = ""


def run(step: Step, cells: list[Cell], journal: Journal, deadline: float, settings: dict[str, Any],
        seen: Callable[[Row], None] = lambda _row: None) -> Outcome:  # fmt: skip
    """Ask these cells of a step until `deadline` (of `time.monotonic`); `seen` is called with each row."""
    start = time.monotonic()
    waiting = collections.deque(cells)
    state = _State(step, journal, deadline, settings, seen, waiting)
    lanes = [threading.Thread(target=state.lane, daemon=True) for _ in range(min(step.lanes, len(cells)) or 1)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    left = sorted([*state.cut, *waiting], key=cells.index)
    reason = state.reason or ("its time was up" if left else "")
    return Outcome(state.done, left, time.monotonic() - start, reason)


def start(deadline: float) -> str:
    """Start a first child, which imports the frameworks for all: no step is to pay for that. Return what went wrong."""
    # Imported once, here, is what each new child would import again. Nothing of JAX: it is not to be started here.
    forkserver.context("xloss.parity.evaluate", "xloss.parity.worker", "xloss.ops.torch", "xloss.bench.torch")
    server.ensure_running()
    process = Supervised(None, ())
    alarm = threading.Timer(max(deadline - time.monotonic(), 0.0), process.stop)
    alarm.daemon = True
    alarm.start()
    try:
        process.run(pickle.dumps((time.monotonic, (), {})), 60.0, None)
    except WorkerFailure as failure:
        return f"no child could be started: {failure}"
    finally:
        alarm.cancel()
        process.kill()
    return ""


def _last_words(failure: WorkerFailure) -> str:
    """Return what a child printed last; of one that was asked where it is, the innermost calls."""
    lines = failure.output.strip().splitlines()
    if isinstance(failure, DeadlineExceeded):
        where = [line.strip().removeprefix("File ") for line in lines if line.startswith("  File ")]
        return f"; it was at {' < '.join(where[:4])}" if where else ""
    return f"; printed last: {lines[-1]}" if lines else ""


class _State:
    """What the lanes of a step share."""

    def __init__(
        self, step: Step, journal: Journal, deadline: float, settings: dict[str, Any], seen: Callable[[Row], None],
        waiting: collections.deque[Cell],
    ):  # fmt: skip
        self.step, self.journal, self.deadline, self.settings, self.seen = step, journal, deadline, settings, seen
        self.waiting, self.cut, self.done, self.reason = waiting, list[Cell](), 0, ""
        self._lock = threading.Lock()

    def lane(self) -> None:
        """Ask one cell after the other of one child at a time."""
        process = Supervised(None, ())
        # A child that hangs before it can be asked, in a driver's start for one, is ended with the step.
        alarm = threading.Timer(max(self.deadline - time.monotonic(), 0.0), process.stop)
        alarm.daemon = True
        alarm.start()
        strikes = 0
        try:
            while not self.reason and (cell := self._next()) is not None:
                row, strike, whole = self._ask(process, cell)
                strikes = strikes + 1 if strike else 0
                if not whole:
                    self.cut.append(cell)
                    return
                self._keep(cell, row)
                if row.pop("restart", False):
                    process.kill()
                if strikes == STRIKES:
                    self.reason = f"no child could be started: {row.get('reason', '')}"[:300]
        finally:
            alarm.cancel()
            process.kill()

    def _next(self) -> Cell | None:
        with self._lock:
            return self.waiting.popleft() if self.waiting and time.monotonic() < self.deadline else None

    def _ask(self, process: Supervised, cell: Cell) -> tuple[Row, bool, bool]:
        """Return the row of a cell, whether no child could be started, and whether it had all the time it may have."""
        start = time.monotonic()
        patience = min(self.step.patience, max(self.deadline - start, 0.1))
        call = pickle.dumps((work.answer, (self.step.work, cell, self.settings), {}))
        strike = False
        try:
            row: Row = process.run(call, patience, None)
        except WorkerFailure as failure:
            cut = time.monotonic() >= self.deadline - 0.05 and patience < self.step.patience
            if cut or str(failure) == "stopped":
                return {}, False, False  # the step's time was up, which is not the cell's fault
            row = {"status": failure.status, "reason": f"{failure}{_last_words(failure)}"[:400]}
            strike = str(failure).startswith("no worker could be started")
        row.setdefault("seconds", round(time.monotonic() - start, 3))
        return row, strike, True

    def _keep(self, cell: Cell, row: Row) -> None:
        kept = {"step": self.step.name, "cell": cell["id"], **{k: v for k, v in row.items() if k != "restart"}}
        self.journal.add(kept)
        with self._lock:
            self.done += 1
        self.seen(kept)
