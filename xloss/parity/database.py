"""Open the SQLite files of a sweep: its journal, and the exact results."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

Step = Callable[[sqlite3.Connection], object]


def connect(path: Path | str, create: Step, check: Step = lambda _: None) -> sqlite3.Connection:
    """Open a database in WAL mode after `check`, and `create` its table; close it where one of them fails."""
    connection = sqlite3.connect(path, timeout=60.0, isolation_level=None)
    try:
        check(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        create(connection)
    except BaseException:
        connection.close()
        raise
    return connection
