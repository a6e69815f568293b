"""The faults of a rehearsal: a crash, a hang, a poisoned device, too little memory; and what must survive them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from xloss.gpu.journal import Row

#: Seconds after which a rehearsal gives up a cell that hangs.
PATIENCE = 4.0
#: What is planted, in this order, and the status that its cell must get; healthy ones lie between.
FAULTS = {
    "healthy 1": "ok",
    "crash": "crash",
    "healthy 2": "ok",
    "hang": "timeout",
    "healthy 3": "ok",
    "poisoned device": "error",
    "healthy 4": "ok",
    "too little memory": "oom",
    "exit": "error",
    "inaccurate": "inaccurate",
    "healthy 5": "ok",
}

_poisoned = False  # of this process, as a CUDA context stays after a device-side assertion


def answer(cell: Mapping[str, Any], _settings: Mapping[str, Any]) -> Row:
    """Commit the fault of a cell."""
    global _poisoned
    name = cell["id"]
    if _poisoned or name == "poisoned device":
        _poisoned = True
        raise RuntimeError("CUDA error: device-side assert triggered")
    if name == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "hang":
        time.sleep(3600)
    if name == "too little memory":
        raise RuntimeError("CUDA out of memory. Tried to allocate 1024.00 GiB")
    if name == "exit":
        raise SystemExit("a library that ends the process")
    return {"status": "inaccurate" if name == "inaccurate" else "ok"}


def missing(rows: list[Row]) -> list[str]:
    """Return what did not come out as it must have, in words; nothing where all did."""
    found = {row["cell"]: row["status"] for row in rows if row.get("step") == "planted" and "cell" in row}
    return [
        f"planted: {name}: expected {status}, got {found.get(name, 'no row')}"
        for name, status in FAULTS.items()
        if found.get(name) != status
    ]
