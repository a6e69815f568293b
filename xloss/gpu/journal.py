"""One line of JSON for each answer, on the disk before the next cell is asked."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: What a resumed run asks again: it may have been the machine's fault.
AGAIN = ("crash", "timeout", "oom")

Row = dict[str, Any]


class Journal:
    """The lines of one folder's run. A line begins and ends on its own: what another run left torn is ended first."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        self._file = path.open("ab")
        if torn:
            self._write(b"\n")

    def add(self, row: Row) -> None:
        """Append a row, and wait until the disk has it."""
        line = json.dumps(row, default=_plain, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._write(line)

    def _write(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def rows(self) -> list[Row]:
        """Return all rows; of a cell that was asked again, the last."""
        out: dict[Any, Row] = {}
        for number, row in enumerate(read(self.path)):
            out[(row["step"], row["cell"]) if "cell" in row else number] = row
        return list(out.values())

    def answered(self) -> set[tuple[str, str]]:
        """Return steps and cells that need not be asked again."""
        return {(row["step"], row["cell"]) for row in self.rows() if "cell" in row and row["status"] not in AGAIN}

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> Iterator[Row]:
    """Yield the rows of a journal; lines that are no whole object, such as a torn last one, are left out."""
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and ("cell" not in row or {"step", "status"} <= set(row)):
            yield row


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
