"""Keep exact results in a file, so that a later sweep need not compute them again.

A result is keyed by all that it depends on: the inputs themselves, the options, the loss's file without its
implementations, the code of `truth.py` and the version of the ball arithmetic. So a change of an implementation, of a
framework or of a mechanism leaves it valid. Of a ball the midpoint is stored exactly, the radius rounded up.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flint
import numpy as np

from xloss.catalog import Loss, Variant
from xloss.parity import database, formula, truth
from xloss.parity.inputs import DIGITS

_open: dict[str, sqlite3.Connection] = {}  # of this process: the file in use, or none


def use(path: Path | str | None) -> None:
    """Keep in this file what this process computes, and take from it what is there; None ends that.

    A file that cannot be used is not: the results are the same without.
    """
    for connection in _open.values():
        connection.close()
    _open.clear()
    if path is None:
        return
    table = "CREATE TABLE IF NOT EXISTS exact (key TEXT PRIMARY KEY, result BLOB) WITHOUT ROWID"
    with contextlib.suppress(sqlite3.Error):
        _open[str(path)] = database.connect(path, lambda base: base.execute(table))


def evaluate(
    loss: Loss, variant: Variant, arrays: Mapping[str, np.ndarray], dtype: str, wrt: tuple[str, ...], order: int
) -> truth.Exact:
    """Return the exact results of a loss at these inputs, with derivatives up to `order`: kept ones, or new ones."""

    def compute() -> truth.Exact:
        axes = loss.arguments.class_axes
        return truth.evaluate(loss.truth, arrays, variant.options, wrt, axes, order, *DIGITS[dtype])

    connection = next(iter(_open.values()), None)
    digest = None if connection is None else digest_of(loss.truth.__module__)
    if connection is None or digest is None:
        return compute()
    key = _key(digest, variant.options, arrays, wrt, order, dtype)
    try:
        found = connection.execute("SELECT result FROM exact WHERE key = ?", (key,)).fetchone()
        if found is not None:
            return _loads(found[0], arrays, wrt, loss.arguments.class_axes)
    except (sqlite3.Error, zlib.error, ValueError, KeyError):  # of a damaged file: what it holds is computed again
        return compute()
    exact = compute()
    try:
        connection.execute("INSERT OR REPLACE INTO exact VALUES (?, ?)", (key, _dumps(exact)))
    except sqlite3.Error:  # a full disk; the journal, which is needed, says so
        use(None)
    return exact


def _key(
    formula: str, options: Any, arrays: Mapping[str, np.ndarray], wrt: tuple[str, ...], order: int, dtype: str
) -> str:
    digest = hashlib.sha256("\0".join((formula, repr(sorted(options.items())), repr(wrt), str(order), dtype)).encode())
    for name, array in arrays.items():
        digest.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@functools.cache
def digest_of(module: str) -> str | None:
    """Return the digest of a formula's file and of the losses it imports, their implementations left out.

    None where the formula does not lie in a file: nothing is kept of it.
    """
    parts = formula.parts_of(module)
    if parts is None:
        return None
    parts |= {"flint": flint.__version__, "truth": Path(truth.__file__).read_text("utf-8")}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _dumps(exact: truth.Exact) -> bytes:
    return zlib.compress(json.dumps(_parts(exact), separators=(",", ":")).encode(), 1)


def _parts(exact: truth.Exact) -> dict[str, Any]:
    return {
        "values": _balls(exact.values),
        "weights": _balls(exact.weights),
        "factors": _balls(exact.factors),
        "first": [_balls(array) for array in exact.first],
        "second": [[c, d, _balls(array)] for (c, d), array in exact.second.items()],
        "precision": exact.precision,
        "weights_first": [_balls(array) for array in exact.weights_first],
        "through": exact.through and _parts(exact.through),
    }


def _loads(stored: bytes, arrays: Mapping[str, np.ndarray], wrt: tuple[str, ...], class_axes: Any) -> truth.Exact:
    return _whole(json.loads(zlib.decompress(stored)), arrays, wrt, class_axes)


def _whole(parts: Any, arrays: Mapping[str, np.ndarray], wrt: tuple[str, ...], class_axes: Any) -> truth.Exact:
    values = _array(parts["values"])
    exact_arrays = {name: truth.balls(array) for name, array in arrays.items()}
    return truth.Exact(
        values,
        _array(parts["weights"]),
        _array(parts["factors"]),
        truth.columns(exact_arrays, wrt, class_axes, values.shape),
        [_array(array) for array in parts["first"]],
        {(c, d): _array(array) for c, d, array in parts["second"]},
        exact_arrays,
        parts["precision"],
        [_array(array) for array in parts["weights_first"]],
        parts["through"] and _whole(parts["through"], arrays, wrt, class_axes),
    )


def _balls(array: Any) -> Any:
    """Return an array of balls, or of numbers, in JSON's types: shape, and each element in one word."""
    if array is None:
        return None
    array = np.asarray(array)
    kind = "" if array.dtype == object else array.dtype.str
    return [kind, array.shape, [_word(x) if isinstance(x, flint.arb) else _plain(x) for x in array.ravel().tolist()]]


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, float) else value


def _word(ball: Any) -> list[str]:
    """Return midpoint and radius; each is mantissa, "p", exponent of 2, in hexadecimal, or what is no number."""
    return [_number(ball.mid()), _number(ball.rad())]


def _number(exact: Any) -> str:
    if not exact.is_finite():
        return "nan" if exact.is_nan() else "inf" if exact > 0 else "-inf"
    mantissa, exponent = exact.man_exp()
    return f"{int(mantissa):x}p{int(exponent):x}"


def _array(stored: Any) -> Any:
    if stored is None:
        return None
    kind, shape, words = stored
    out = np.empty(len(words), dtype=kind or object)
    for index, word in enumerate(words):
        out[index] = _ball(*word) if isinstance(word, list) else float.fromhex(word) if isinstance(word, str) else word
    return out.reshape(shape)


def _ball(middle: str, radius: str) -> Any:
    made: Any = flint.arb(_value(middle), _value(radius))
    return made


def _value(word: str) -> Any:
    if "n" in word:  # nan, inf, -inf
        return flint.arb(word)
    mantissa, exponent = (int(part, 16) for part in word.split("p"))
    return (mantissa, exponent)
