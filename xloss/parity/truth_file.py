"""Exact results in a file, for machines without ball arithmetic; `make truth` (`xloss.gpu.truth`) makes it.

The file holds, for each cell, what each probe should give (`Expected`) and the `Facts` of the cell, as plain numbers.
What a cell's entry depends on (inputs, directions, formula, the code that computes truth) is digested with it: where
the digest made here is another, the entry is not used.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xloss.catalog import Loss, Unsupported
from xloss.parity import formula
from xloss.parity.cells import Cell
from xloss.parity.expected import Expected, Facts
from xloss.parity.mechanisms.base import Directions

CODE = ("truth.py", "reference.py", "probes.py", "policy.py", "inputs.py", "immaterial.py", "expected.py")
FIELDS = ("high", "low", "rel_condition", "abs_condition")

Stored = dict[str, dict[str, Expected]]  # by a probe's key, by argument
Arrays = Mapping[str, np.ndarray]
Directed = Callable[[tuple[int, ...]], Directions]


@dataclass(frozen=True)
class Kept:
    """What the file has of a cell."""

    facts: Facts
    expected: Stored


_in_use: dict[Path, sqlite3.Connection] = {}  # of this process: the file, or none


def use(path: Path | str | None) -> None:
    """Take exact results from this file, in this process; None ends that."""
    for connection in _in_use.values():
        connection.close()
    _in_use.clear()
    if path is not None:
        path = Path(path).resolve()
        if not path.is_file():
            raise FileNotFoundError(f"truth: expected the file that `make truth` writes, there is no {path}")
        # It is only read, and may lie where nothing can be written.
        _in_use[path] = sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)


def find(loss: Loss, cell: Cell, arrays: Arrays, directed: Directed) -> Kept | None:
    """Return what the file in use has of a cell with these inputs; `directed` draws directions for values of a shape.

    None where no file is in use, or it does not have the cell and ball arithmetic is there to compute it. `Unsupported`
    where it is not: the entry is missing, or was made of other inputs, or by other code.
    """
    if not _in_use:
        return None
    path, connection = next(iter(_in_use.items()))
    row = connection.execute("SELECT digest, facts, result FROM cells WHERE cell = ?", (name_of(cell),)).fetchone()
    if row is not None and row[0] == digest(loss, arrays, directed(tuple(json.loads(row[1])["shape"]))):
        facts = json.loads(row[1])
        return Kept(Facts(**{**facts, "shape": tuple(facts["shape"])}), _loads(row[2]))
    if has_ball_arithmetic():
        return None
    what = "has no such cell" if row is None else "was made by other code or of other inputs"
    raise Unsupported(f"python-flint is not installed, and {path.name} {what}: `make truth` where it is installed")


def name_of(cell: Cell) -> str:
    """Return the name of a cell in the file: where it is asked does not change what is right."""
    return replace(cell, device="cpu").case_id


def has_ball_arithmetic() -> bool:
    """Tell whether ball arithmetic is installed."""
    try:
        import flint  # noqa: F401
    except ImportError:
        return False
    return True


def names(path: Path | str) -> set[str]:
    """Return the cells that a file has, by `case_id`."""
    connection = sqlite3.connect(f"{Path(path).resolve().as_uri()}?immutable=1", uri=True)
    try:
        return {row[0] for row in connection.execute("SELECT cell FROM cells")}
    finally:
        connection.close()


def digest(loss: Loss, arrays: Arrays, directions: Directions) -> str:
    """Return the digest of all that the exact results of a cell depend on."""
    out = hashlib.sha256(_code_of(loss.truth.__module__).encode())
    parts = {**arrays, "": directions.cotangent, **{f"d {name}": x for name, x in directions.tangents.items()}}
    for name, array in parts.items():
        out.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode() + np.ascontiguousarray(array).tobytes())
    return out.hexdigest()


@functools.cache
def _code_of(module: str) -> str:
    folder = Path(__file__).parent
    texts: dict[str, str] = {name: (folder / name).read_text("utf-8") for name in CODE}
    texts |= formula.parts_of(module) or {}
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()


def dumps(stored: Stored) -> bytes:
    """Return shapes as JSON, then all numbers in one row."""
    index, numbers = [], []
    for key, by_argument in stored.items():
        for argument, expected in by_argument.items():
            arrays = [np.asarray(getattr(expected, name), dtype="<f8") for name in FIELDS]
            index.append([key, argument, expected.undefined, [array.shape for array in arrays]])
            numbers += [array.tobytes() for array in arrays]
    head = json.dumps(index).encode()
    return zlib.compress(len(head).to_bytes(8, "little") + head + b"".join(numbers), 6)


def _loads(blob: bytes) -> Stored:
    data = zlib.decompress(blob)
    start = 8 + int.from_bytes(data[:8], "little")
    out: Stored = {}
    at = start
    for key, argument, undefined, shapes in json.loads(data[8:start]):
        arrays = []
        for shape in shapes:
            count = int(np.prod(shape, dtype=int))
            arrays.append(np.frombuffer(data, "<f8", count, at).reshape(shape))
            at += 8 * count
        out.setdefault(key, {})[argument] = Expected(arrays[0], arrays[1], arrays[2], arrays[3], undefined)
    return out
