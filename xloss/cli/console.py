"""A console and a progress bar for the commands: plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
# Exit codes: all well, a disagreement or an inaccuracy, usage, something crashed or timed out, nothing was run.
WELL, DISAGREES, USAGE, BROKEN, NOTHING = range(5)
# Where there is no terminal, a line of progress at least every so many seconds.
LINES_APART = 30.0


def console(stderr: bool = False) -> Any:
    """Return a rich console, at least 160 columns wide where the output goes to a file."""
    from rich.console import Console

    out = Console(stderr=stderr, highlight=False)
    return out if out.is_terminal else Console(stderr=stderr, highlight=False, width=max(out.width, 160))


@contextmanager
def progress(label: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that shows progress on standard error."""
    screen = console(stderr=True)
    if quiet:
        yield lambda _done, _total: None
        return
    if not screen.is_terminal:
        shown, when = -1, 0.0

        def line(done: int, total: int) -> None:
            nonlocal shown, when
            tenth, now = 10 * done // max(total, 1), time.monotonic()
            if tenth != shown or now > when + LINES_APART:
                shown, when = tenth, now
                screen.print(f"{label}: {done} of {total}")

        yield line
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                  TimeRemainingColumn(), console=screen, transient=True) as bar:  # fmt: skip
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
