"""The journal of a sweep: the rows of each finished cell, in an SQLite database, kept as long as they hold.

SQLite in WAL mode: a record is there whole or not at all after a crash at any moment, several sweeps may write at once,
and one file answers "which of these do I have" without reading all of it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import os
import platform
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xloss
from xloss import environment
from xloss.parity import database
from xloss.parity.cells import Cell

APPLICATION = 0x786C6F73  # "xlos", where SQLite notes whose file it is
HEADER = b"SQLite format 3\0"
# What every loss's answer depends on, beside its own file.
SHARED = ("catalog.py", "third_party.py", "ops", "parity")
Kept = dict[Cell, list[dict[str, Any]]]


class StoreError(Exception):
    """The journal cannot be read or written; the message names the file and the cause."""


class Store:
    """The journal of one folder, for sweeps of these frameworks, with or without peers.

    `machines` are the processors that answer, where this machine's does not.
    """

    def __init__(self, path: Path, frameworks: Sequence[str], peers: bool, machines: Sequence[str] = ()):
        self.path = path
        self._question = json.dumps([list(frameworks), peers, *machines])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size:
                with path.open("rb") as file:
                    if file.read(len(HEADER)) != HEADER:
                        raise StoreError(f"{path}: is no journal of xloss (not an SQLite file); it is left as it is")
            self._base = database.connect(path, _create, self._check)
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from None

    def _check(self, base: sqlite3.Connection) -> None:
        (owner,) = base.execute("PRAGMA application_id").fetchone()
        tables = base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if owner != APPLICATION and (owner or tables):
            raise StoreError(f"{self.path}: is an SQLite file of another program; it is left as it is")

    def load(self, cells: Sequence[Cell]) -> Kept:
        """Return the rows of those of these cells whose answer is kept and still holds."""
        found: Kept = {}
        try:
            for cell in cells:
                got = self._base.execute("SELECT rows FROM cells WHERE key = ?", (self._key(cell),)).fetchone()
                if got is not None:
                    found[cell] = json.loads(got[0])
        except (OSError, sqlite3.Error, ValueError) as error:
            raise self._failed(error) from None
        return found

    def add(self, rows: Kept) -> None:
        """Keep the rows of finished cells."""
        if not rows:
            return
        records = [(self._key(cell), cell.case_id, json.dumps(of, default=_plain)) for cell, of in rows.items()]
        try:
            self._base.execute("BEGIN IMMEDIATE")
            self._base.executemany("INSERT OR REPLACE INTO cells VALUES (?, ?, ?)", records)
            self._base.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def _key(self, cell: Cell) -> str:
        parts = (cell.case_id, str(cell.torch_only), self._question, loss_digest(cell.loss), shared_digest())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _failed(self, error: Exception) -> StoreError:
        folder = self.path.parent
        cause = getattr(error, "strerror", None) or str(error)
        if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
            cause += "; the folder cannot be written to"
        return StoreError(f"{self.path}: {cause}")


def _create(base: sqlite3.Connection) -> None:
    # Taken at once: this is what finds out whether the folder can be written to.
    base.execute("BEGIN IMMEDIATE")
    base.execute(f"PRAGMA application_id={APPLICATION}")
    base.execute("CREATE TABLE IF NOT EXISTS cells (key TEXT PRIMARY KEY, cell TEXT, rows TEXT) WITHOUT ROWID")
    base.execute("COMMIT")


def _plain(value: Any) -> Any:
    return value.item()  # a number of NumPy


@functools.cache
def loss_digest(name: str) -> str:
    """Return the digest of a loss's own file, and of the losses that it imports."""
    digest = hashlib.sha256()
    seen, waiting = set(), [f"xloss.losses.{name}"]
    while waiting:
        module = waiting.pop()
        spec = None if module in seen else importlib.util.find_spec(module)
        seen.add(module)
        if spec is not None and spec.origin is not None:
            text = Path(spec.origin).read_bytes()
            digest.update(text)
            found = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
            waiting += sorted(one for one in found if one and one.startswith("xloss.losses."))
    return digest.hexdigest()


@functools.cache
def shared_digest() -> str:
    """Return the digest of the code that all losses share, of the versions, and of the machine."""
    root = Path(xloss.__file__).parent
    digest = hashlib.sha256()
    for name in SHARED:
        place = root / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes())
    facts = [environment.versions(), platform.python_version(), platform.node(), environment.processor()]
    digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()
