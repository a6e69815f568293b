"""Many cells at once: over any executor or none, to a table."""

from __future__ import annotations

import concurrent.futures
import itertools
import multiprocessing
import queue
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from xloss.catalog import FRAMEWORKS, get
from xloss.parity import state
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
# Seconds that one cell may take. A healthy one, compiling included, takes a few.
CELL_TIMEOUT = 120.0


class Rows(Protocol):
    """Keeps the rows of finished cells: `xloss.parity.store.Store`."""

    def load(self, cells: Sequence[Cell]) -> dict[Cell, list[dict[str, Any]]]:
        """Return what is kept, and still holds, of these cells."""
        ...

    def add(self, rows: dict[Cell, list[dict[str, Any]]]) -> None:
        """Keep the rows of cells that are finished."""
        ...


@dataclass(frozen=True)
class _Part:
    """What is asked of a worker at once; `alone` counts how often these cells were asked again."""

    cells: Group
    frameworks: tuple[str, ...]
    alone: int = 0


def sweep(
    cells: Iterable[Cell],
    executor: concurrent.futures.Executor | None = None,
    *,
    frameworks: tuple[str, ...] = FRAMEWORKS,
    peers: bool = True,
    progress: Callable[[int, int], None] | None = None,
    store: Rows | None = None,
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
        timeout: seconds a cell, of an executor that has a `submit_within`; a group of cells has the sum of its cells'.

    Where a worker dies, takes too long or needs too much memory, its cells are asked again one by one, and the one that
    does it again framework by framework: only what is at fault gets a row of status `crash`, `timeout` or `oom`.
    `table.attrs` has the numbers of cells: `ran`, `resumed`, `lost`.
    """
    import pandas as pd

    asked = list(dict.fromkeys(cells))
    kept = store.load(asked) if store is not None and resume else {}
    answered: dict[Cell, list[dict[str, Any]]] = dict(kept)
    waiting = [cell for cell in asked if cell not in kept]

    def finished(rows: dict[Cell, list[dict[str, Any]]]) -> None:
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
    finished: Callable[[dict[Cell, list[dict[str, Any]]]], None],
) -> None:
    """Ask all groups over an executor, and again in smaller parts what gave no answer."""
    pending: dict[concurrent.futures.Future[Any], _Part] = {}
    # `concurrent.futures.wait` looks at all that is pending each time: 20 ms of 17,000.
    done: queue.SimpleQueue[concurrent.futures.Future[Any]] = queue.SimpleQueue()
    # What frameworks asked apart have given of a cell, and of how many of them the answer is still due.
    apart: dict[Cell, tuple[list[dict[str, Any]], set[str]]] = {}

    def submit(part: _Part) -> None:
        try:
            if timeout is not None and hasattr(executor, "submit_within"):
                within = timeout * len(part.cells)
                future = executor.submit_within(within, check_group, part.cells, part.frameworks, peers)
            else:
                future = executor.submit(check_group, part.cells, part.frameworks, peers)
        except concurrent.futures.BrokenExecutor as error:  # what is not answered becomes rows
            future = concurrent.futures.Future()
            future.set_exception(error)
        pending[future] = part
        future.add_done_callback(done.put)

    def answer(part: _Part, rows: dict[Cell, list[dict[str, Any]]]) -> None:
        if part.frameworks == frameworks:
            finished(rows)
            return
        (cell,) = part.cells
        so_far, due = apart[cell]
        so_far += rows[cell]
        due -= set(part.frameworks)
        if not due:
            finished({cell: apart.pop(cell)[0]})

    # The long ones first, so that no worker is left alone with one at the end.
    groups.sort(key=lambda group: (group[0].dtype == MAIN_DTYPE, len(group)), reverse=True)
    for group in groups:
        submit(_Part(group, frameworks))
    while pending:
        future = done.get()
        part = pending.pop(future)
        error = _failure_of(future)
        if error is None:
            answer(part, future.result())
            continue
        status, reason = error
        if len(part.cells) > 1:
            for cell in part.cells:
                submit(_Part((cell,), part.frameworks))
        elif len(part.frameworks) > 1:
            apart[part.cells[0]] = ([], set(part.frameworks))
            for name in part.frameworks:
                submit(_Part(part.cells, (name,)))
        elif status == "crash" and not part.alone:  # it may have been killed from outside
            submit(_Part(part.cells, part.frameworks, 1))
        else:
            answer(part, {part.cells[0]: lost(part.cells, part.frameworks, status, reason)})


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
    group: Group, frameworks: tuple[str, ...] = FRAMEWORKS, peers: bool = True
) -> dict[Cell, list[dict[str, Any]]]:
    """Check cells of one loss, variant and dtype one after the other; a cell that cannot be asked becomes a row."""
    programs: dict[Any, Any] = {}
    return {cell: _check(cell, frameworks, peers, programs) for cell in group}


def _check(cell: Cell, frameworks: tuple[str, ...], peers: bool, programs: dict[Any, Any]) -> list[dict[str, Any]]:
    from xloss.parity.evaluate import evaluate  # which imports ball arithmetic

    before = state.Snapshot()
    try:
        rows = evaluate(get(cell.loss), cell, frameworks, peers, programs)
    except (
        BaseException
    ) as error:  # of truth or inputs, or one that no mechanism catches: SystemExit, KeyboardInterrupt
        if not isinstance(error, Exception) and multiprocessing.parent_process() is None:
            raise  # someone stops this very process
        before.restore()
        if len(frameworks) > 1 and not isinstance(error, Exception):
            return [row for name in frameworks for row in _check(cell, (name,), peers, {})]
        names = frameworks if not isinstance(error, Exception) else (OURS,)
        status = "oom" if isinstance(error, MemoryError) else "error"
        return lost([cell], names, status, f"{type(error).__name__}: {error}".split("\n")[0][:300])
    for name, change in before.restore():
        framework = next((one for one in frameworks if name.startswith(one)), frameworks[0])
        rows += lost([cell], (framework,), "error", f"left changed: {name} ({change})"[:300], f"state/{name}")
    return rows


def _grouped(cells: Sequence[Cell]) -> list[Group]:
    key = lambda cell: (cell.loss, cell.variant, cell.shape, cell.dtype, cell.device)  # noqa: E731
    return [tuple(group) for _, group in itertools.groupby(sorted(cells, key=key), key=key)]


def lost(
    group: Iterable[Cell], frameworks: Sequence[str], status: str, reason: str, check: str = ""
) -> list[dict[str, Any]]:
    """Return rows for cells that gave none."""
    nan = float("nan")
    return [
        {
            **dict.fromkeys(COLUMNS, ""),
            **dict.fromkeys((*NUMBERS, "seconds"), nan),
            "loss": cell.loss,
            "variant": cell.variant,
            "dtype": cell.dtype,
            "device": cell.device,
            "regime": cell.regime,
            "shape": cell.shape_text,
            "implementation": OURS,
            "framework": framework,
            "status": status,
            "reason": reason,
            "case_id": f"{cell.case_id}#{check}" if check else cell.case_id,
        }
        for cell in group
        for framework in frameworks
    ]
