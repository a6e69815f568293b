"""Many cells at once: over any executor or none, to a table."""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
import multiprocessing
import queue
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from xloss.catalog import FRAMEWORKS, get
from xloss.ops import accelerator
from xloss.parity import state, worker
from xloss.parity.cells import NUMBERS, OURS, Cell
from xloss.parity.failures import WorkerFailure
from xloss.parity.policy import MAIN_DTYPE

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    "loss", "variant", "reduction", "mechanism", "argument", "dtype", "device", "regime", "shape", "implementation",
    "framework", "version", "max_abs", "max_rel", "max_ulp", "p99_ulp", "budget", "status", "reason", "seconds",
    "case_id",
]  # fmt: skip
STATUSES = ("ok", "inaccurate", "differs", "error", "crash", "timeout", "oom", "unsupported")
BAD = ("inaccurate", "differs")
STOPPED = ("error", "crash", "timeout", "oom")
GUILTY = ("crash", "timeout", "oom")  # what may be the machine's fault: not kept, asked again by the next sweep

Group = tuple[Cell, ...]
Rows = list[dict[str, Any]]  # of one cell
# Seconds that one cell may take. A healthy one, compiling included, takes a few.
CELL_TIMEOUT = 120.0


class Journal(Protocol):
    """Keeps the rows of finished cells: `xloss.parity.store.Store`."""

    def load(self, cells: Sequence[Cell]) -> dict[Cell, Rows]:
        """Return what is kept, and still holds, of these cells."""
        ...

    def add(self, rows: dict[Cell, Rows]) -> None:
        """Keep the rows of cells that are finished."""
        ...


@dataclass(frozen=True, eq=False)
class _Part:
    """What is asked of a worker at once; `again` counts how often the very same was asked before."""

    cells: Group
    frameworks: tuple[str, ...]
    again: int = 0


def sweep(
    cells: Iterable[Cell],
    executor: concurrent.futures.Executor | None = None,
    *,
    frameworks: tuple[str, ...] = FRAMEWORKS,
    peers: bool = True,
    progress: Callable[[int, int], None] | None = None,
    store: Journal | None = None,
    resume: bool = False,
    timeout: float | None = CELL_TIMEOUT,
) -> pd.DataFrame:
    """Check all cells, and give one row a check, with the columns of `COLUMNS`.

    Args:
        cells: from `xloss.parity.cells`, or made by hand.
        executor: any `concurrent.futures.Executor`, a cluster's too; None checks in this process, one after the other.
        frameworks: which of "torch" and "jax".
        peers: whether torch.nn.functional, optax and Keras are measured as well.
        progress: called with the number of cells answered and of all.
        store: keeps the rows of each cell as it finishes.
        resume: takes from the store what still holds.
        timeout: seconds a cell, of an executor that has a `submit_in_parts` (`xloss.parity.processes.Workers`): each
            finished cell of a group comes at once, and the time begins anew. Any other executor answers whole groups.

    Where a worker dies, takes too long or needs too much memory, the cell at which it was is asked again framework by
    framework, and those after it in a new group; of an executor that answers whole groups, all cells are asked again
    one by one first. Only what is at fault gets a row of status `crash`, `timeout` or `oom`.
    `table.attrs` has the numbers of cells: `asked`, `ran`, `resumed`, `lost`.
    """
    import pandas as pd

    asked = list(dict.fromkeys(cells))
    kept = store.load(asked) if store is not None and resume else {}
    answered: dict[Cell, Rows] = dict(kept)
    waiting = [cell for cell in asked if cell not in kept]

    def finished(rows: dict[Cell, Rows]) -> None:
        answered.update(rows)
        if store is not None:
            store.add({cell: of for cell, of in rows.items() if not any(row["status"] in GUILTY for row in of)})
        if progress:
            progress(len(answered), len(asked))

    groups = _grouped(waiting)
    if executor is None:
        for group in groups:
            finished(check_group(group, frameworks, peers))
    else:
        _over(executor, groups, frameworks, peers, timeout, finished)
    table = pd.DataFrame([row for cell in answered for row in answered[cell]], columns=COLUMNS)
    table = table.sort_values(["loss", "case_id"], kind="stable", ignore_index=True)
    missing = sum(not answered.get(cell) for cell in asked)
    table.attrs = {"asked": len(asked), "ran": len(waiting), "resumed": len(kept), "lost": missing}
    return table


def _over(
    executor: concurrent.futures.Executor,
    groups: list[Group],
    frameworks: tuple[str, ...],
    peers: bool,
    timeout: float | None,
    finished: Callable[[dict[Cell, Rows]], None],
) -> None:
    """Ask all groups over an executor, and again in smaller parts what gave no answer."""
    # Of a part: a cell's rows as it is finished, then its future. One queue, so that the former are seen first.
    events: queue.SimpleQueue[tuple[_Part, concurrent.futures.Future[Any] | dict[Cell, Rows]]] = queue.SimpleQueue()
    due: dict[_Part, list[Cell]] = {}
    # What frameworks asked apart have given of a cell, and of which of them the answer is still due.
    apart: dict[Cell, tuple[Rows, set[str]]] = {}
    in_parts = getattr(executor, "submit_in_parts", None)
    # What died once is asked again one at a time: a machine that is taken down by one of them takes the others with it.
    suspects: collections.deque[tuple[Cell, tuple[str, ...]]] = collections.deque()
    suspect: _Part | None = None

    def submit(*cells: Cell, names: tuple[str, ...] = frameworks, again: int = 0) -> _Part:
        part = _Part(cells, names, again)
        due[part] = list(cells)
        try:
            if in_parts is None and timeout is not None and hasattr(executor, "submit_within"):
                future = executor.submit_within(timeout * len(cells), check_group, cells, names, peers)
            elif in_parts is None:
                future = executor.submit(check_group, cells, names, peers)
            else:
                seen = lambda rows: events.put((part, rows))  # noqa: E731
                future = in_parts(seen, timeout, check_group, cells, names, peers, worker.hand_over)
        except concurrent.futures.BrokenExecutor as error:  # what is not answered becomes rows
            future = concurrent.futures.Future()
            future.set_exception(error)
        future.add_done_callback(lambda future: events.put((part, future)))
        return part

    def ask_again() -> None:
        nonlocal suspect
        if suspects and suspect not in due:
            cell, names = suspects.popleft()
            suspect = submit(cell, names=names, again=1)

    def answer(part: _Part, rows: dict[Cell, Rows]) -> None:
        rows = {cell: rows[cell] for cell in due[part] if cell in rows}
        due[part] = [cell for cell in due[part] if cell not in rows]
        if part.frameworks == frameworks:
            finished(rows)
            return
        for cell, some in rows.items():
            so_far, missing = apart[cell]
            so_far += some
            missing -= set(part.frameworks)
            if not missing:
                order = [row for name in frameworks for row in so_far if row["framework"] == name]
                del apart[cell]
                finished({cell: order})

    def fail(part: _Part, status: str, reason: str) -> None:
        """Ask again what gave no answer."""
        first, *rest = due.pop(part)
        if rest and in_parts is None:
            for cell in (first, *rest):
                submit(cell, names=part.frameworks)
            return
        if rest:  # the cells before `first` are finished, those after it were not begun
            submit(*rest, names=part.frameworks)
        names = _asked_of(first, part.frameworks)
        if len(names) > 1:
            apart[first] = ([], set(names))
            for name in names:
                submit(first, names=(name,))
        elif status == "crash" and not part.again:  # it may have been killed from outside
            suspects.append((first, part.frameworks))
        else:
            due[part] = [first]
            answer(part, {first: lost([first], names, status, reason)})
            del due[part]

    # The long ones first, so that no worker is left alone with one at the end.
    groups.sort(key=lambda group: (group[0].dtype == MAIN_DTYPE, len(group)), reverse=True)
    for group in groups:
        submit(*group)
    while due or suspects:
        ask_again()
        part, event = events.get()
        if isinstance(event, dict):
            answer(part, event)
        elif (error := _failure_of(event)) is None:
            answer(part, event.result())
            if due[part]:
                fail(part, "crash", "the executor gave no answer")
            else:
                del due[part]
        elif due[part]:
            fail(part, *error)
        else:  # all its cells were answered before it ended
            del due[part]


def _asked_of(cell: Cell, frameworks: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of these frameworks a cell is asked of."""
    return tuple(name for name in frameworks if len(frameworks) == 1 or not (cell.torch_only and name == "jax"))


def _failure_of(future: concurrent.futures.Future[Any]) -> tuple[str, str] | None:
    """Return status and reason of what gave no answer."""
    try:
        error = future.exception()
    except concurrent.futures.CancelledError:
        return "crash", "cancelled"
    if error is None:
        return None
    if isinstance(error, WorkerFailure):
        where = getattr(error, "trace", "") or error.output
        last = where.strip().splitlines()[-1:] if where else []
        return error.status, "; printed last: ".join([str(error), *last])[:300]
    status = "timeout" if isinstance(error, (TimeoutError, concurrent.futures.TimeoutError)) else "crash"
    return status, (f"{type(error).__name__}: {error}").split("\n")[0][:300]


def check_group(
    group: Group,
    frameworks: tuple[str, ...] = FRAMEWORKS,
    peers: bool = True,
    hand_over: Callable[[dict[Cell, Rows]], None] | None = None,
) -> dict[Cell, Rows]:
    """Check cells of one loss, variant and dtype one after the other; a cell that cannot be asked becomes a row.

    The rows are returned by cell, or each cell's are handed over as it is finished.
    """
    programs: dict[Any, Any] = {}
    answered = {}
    before = state.Snapshot()
    for cell in group:
        rows = {cell: _check(cell, frameworks, peers, programs, before)}
        if hand_over is None:
            answered.update(rows)
        else:
            hand_over(rows)
    return answered


def prepare_process(truth: Path | None, as_accelerator: bool) -> None:
    """Set up a process that checks: where exact results are kept, and whether values may be looked at."""
    keep_truth(truth)
    accelerator.hide_values(as_accelerator)


def keep_truth(path: Path | None) -> None:
    """Keep exact results in this file, in this process, and take from it those that are there; None ends that."""
    from xloss.parity import truth_cache  # which imports ball arithmetic

    truth_cache.use(path)


def _check(
    cell: Cell, frameworks: tuple[str, ...], peers: bool, programs: dict[Any, Any], before: state.Snapshot
) -> Rows:
    from xloss.parity.evaluate import evaluate  # which imports ball arithmetic

    before.imported()
    try:
        return evaluate(get(cell.loss), cell, frameworks, peers, programs, before)
    except (
        BaseException
    ) as error:  # of truth or inputs, or one that no mechanism catches: SystemExit, KeyboardInterrupt
        if not isinstance(error, Exception) and multiprocessing.parent_process() is None:
            raise  # someone stops this very process
        before.restore()
        if len(frameworks) > 1 and not isinstance(error, Exception):
            return [row for name in _asked_of(cell, frameworks) for row in _check(cell, (name,), peers, {}, before)]
        names = frameworks if not isinstance(error, Exception) else (OURS,)
        status = "oom" if isinstance(error, MemoryError) else "error"
        return lost([cell], names, status, f"{type(error).__name__}: {error}".split("\n")[0][:300])


def _grouped(cells: Sequence[Cell]) -> list[Group]:
    key = lambda cell: (cell.loss, cell.variant, cell.shape, cell.dtype, cell.device)  # noqa: E731
    return [tuple(group) for _, group in itertools.groupby(sorted(cells, key=key), key=key)]


def lost(group: Iterable[Cell], frameworks: Sequence[str], status: str, reason: str, check: str = "") -> Rows:
    """Return rows for cells that gave none."""
    nan = float("nan")
    return [
        {
            **dict.fromkeys(COLUMNS, ""),
            **dict.fromkeys((*NUMBERS, "seconds"), nan),
            **cell.columns,
            "implementation": OURS,
            "framework": framework,
            "status": status,
            "reason": reason,
            "case_id": f"{cell.case_id}#{check}" if check else cell.case_id,
        }
        for cell in group
        for framework in frameworks
    ]
