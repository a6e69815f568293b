"""Many cells at once: over any executor or none, to a table."""

from __future__ import annotations

import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from xloss.catalog import FRAMEWORKS, get
from xloss.parity.cells import NUMBERS, OURS, Cell
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

Group = tuple[Cell, ...]


def sweep(
    cells: Iterable[Cell],
    executor: concurrent.futures.Executor | None = None,
    *,
    frameworks: tuple[str, ...] = FRAMEWORKS,
    peers: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Check all cells, and give one row a check, with the columns of `COLUMNS`.

    Args:
        cells: from `xloss.parity.cells`, or made by hand.
        executor: any `concurrent.futures.Executor`, a cluster's too; None checks in this process, one after the other.
        frameworks: which of "torch" and "jax".
        peers: whether torch.nn.functional, optax and Keras are measured as well.
        progress: called with the number of cells answered and of all.

    What a worker dies of, or a time-out that the executor imposes, becomes rows of status `crash` or `timeout`.
    """
    import pandas as pd

    groups = _grouped(list(cells))
    total = sum(map(len, groups))
    done = 0
    rows: list[dict[str, Any]] = []
    if executor is None:
        for group in groups:
            rows += check_group(group, frameworks, peers)
            done += len(group)
            if progress:
                progress(done, total)
    else:
        # The long ones first, so that no worker is left alone with one at the end.
        groups.sort(key=lambda group: (group[0].dtype == MAIN_DTYPE, len(group)), reverse=True)
        waiting = {executor.submit(check_group, group, frameworks, peers): group for group in groups}
        for future in concurrent.futures.as_completed(waiting):
            group = waiting[future]
            rows += _result(future, group, frameworks)
            done += len(group)
            if progress:
                progress(done, total)
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["loss", "case_id"], kind="stable", ignore_index=True)


def check_group(group: Group, frameworks: tuple[str, ...] = FRAMEWORKS, peers: bool = True) -> list[dict[str, Any]]:
    """Check cells of one loss, variant and dtype one after the other; a cell that cannot be asked becomes a row."""
    from xloss.parity.evaluate import evaluate  # which imports ball arithmetic

    rows = []
    programs: dict[Any, Any] = {}
    for cell in group:
        try:
            rows += evaluate(get(cell.loss), cell, frameworks, peers, programs)
        except (KeyError, ImportError):
            raise
        except Exception as error:  # a fault of truth or inputs: of no contestant, and yet it must not pass in silence
            rows += lost([cell], (OURS,), "error", f"{type(error).__name__}: {error}".split("\n")[0][:300])
    return rows


def _grouped(cells: Sequence[Cell]) -> list[Group]:
    key = lambda cell: (cell.loss, cell.variant, cell.shape, cell.dtype, cell.device)  # noqa: E731
    return [tuple(group) for _, group in itertools.groupby(sorted(cells, key=key), key=key)]


def _result(future: concurrent.futures.Future[Any], group: Group, frameworks: Sequence[str]) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = future.result()
        return rows
    except (TimeoutError, concurrent.futures.TimeoutError) as error:
        return lost(group, frameworks, "timeout", str(error) or "took too long")
    except (concurrent.futures.BrokenExecutor, concurrent.futures.CancelledError) as error:
        return lost(group, frameworks, "crash", f"{type(error).__name__}: {error}")
    except RuntimeError as error:
        if type(error).__name__ != "ProcessExpired":
            raise
        return lost(group, frameworks, "crash", f"the process died: {error}")


def lost(group: Iterable[Cell], frameworks: Sequence[str], status: str, reason: str) -> list[dict[str, Any]]:
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
            "case_id": cell.case_id,
        }
        for cell in group
        for framework in frameworks
    ]
