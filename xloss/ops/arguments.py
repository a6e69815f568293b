"""Checks of names, shapes and options, never of values, with one wording of the errors for both frameworks.

An option that is a number must be one, finite in the dtype of the computation (unless its loss says that it may be
infinite), and in its range; a NaN, a bool, a string are refused. An option that is a bool must be one: no 0, 1 or None.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

FLOATS = ("float64", "float32", "bfloat16", "float16")
# The greatest number of each dtype that losses are computed in, by its size in bytes.
LARGEST = {4: float(np.finfo(np.float32).max), 8: float(np.finfo(np.float64).max)}
REDUCTIONS = ("none", "mean", "sum")


class Parts:
    """Type of `PARTS`, the reduction by which `sum_and_denominator` asks a loss for both parts of its mean."""

    def __repr__(self) -> str:
        return "PARTS"


PARTS: Any = Parts()


def raise_value_error(argument: str, got: object, expected: str) -> NoReturn:
    """Raise the `ValueError` that names the argument, what came and what was expected."""
    raise ValueError(f"{argument}: expected {expected}, got {got}")


def raise_type_error(argument: str, got: object, expected: str) -> NoReturn:
    """Raise the `TypeError` that names the argument, what came and what was expected."""
    raise TypeError(f"{argument}: expected {expected}, got {got}")


def check_reduction(reduction: str, allowed: Sequence[str] = REDUCTIONS) -> None:
    """Refuse a reduction that the loss does not have."""
    if not isinstance(reduction, Parts) and not (isinstance(reduction, str) and reduction in allowed):
        raise_value_error("reduction", repr(reduction), "one of " + ", ".join(map(repr, allowed)))


def promote(dtypes: Sequence[str]) -> str:
    """Name the floating dtype that holds all of `dtypes`; two different 16-bit formats meet in float32."""
    for name in ("float64", "float32"):  # plain, for the compiler of PyTorch up to 2.9: no `max` with a key
        if name in dtypes:
            return name
    return dtypes[0] if len(set(dtypes)) == 1 else "float32"


def check_same_shape(name: str, shape: Sequence[int], like: str, expected: Sequence[int]) -> None:
    """Refuse a tensor whose shape is not exactly that of another argument."""
    if tuple(shape) != tuple(expected):
        raise_value_error(name, f"shape {tuple(shape)}", f"the shape of {like}, {tuple(expected)}")


def broadcast_shape(**shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape to which all arguments broadcast; otherwise refuse, naming the one that does not fit."""
    common: tuple[int, ...] = ()
    names: list[str] = []
    for name, given in shapes.items():
        shape = tuple(given)
        rank = max(len(shape), len(common))
        merged: list[int] = []
        # A plain loop, for the compiler of PyTorch up to 2.9; a size that depends on values is not compared with 1.
        for i in range(rank):
            ours, theirs = i - rank + len(common), i - rank + len(shape)
            if ours < 0 or theirs < 0:
                merged.append(shape[theirs] if ours < 0 else common[ours])
            elif common[ours] == shape[theirs] or shape[theirs] == 1:
                merged.append(common[ours])
            elif common[ours] == 1:
                merged.append(shape[theirs])
            else:
                meant = f"a shape that broadcasts with {' and '.join(names)}, {common}"
                raise_value_error(name, f"shape {shape}", meant)
        common = tuple(merged)
        names.append(name)
    return common


def check_broadcasts_to(name: str, shape: Sequence[int], like: str, expected: Sequence[int]) -> None:
    """Refuse a tensor that does not broadcast to exactly the shape of another argument."""
    if broadcast_shape(**{like: expected, name: shape}) != tuple(expected):
        raise_value_error(
            name, f"shape {tuple(shape)}", f"a shape that broadcasts to that of {like}, {tuple(expected)}"
        )


def class_axis(input_shape: Sequence[int]) -> int:
    """Return the axis of the classes of an (unbatched or batched, K-dimensional) input; refuse a scalar."""
    if not input_shape:
        raise_value_error("input", "shape ()", "shape (C), (N, C) or (N, C, d1, ..., dK)")
    return 0 if len(input_shape) == 1 else 1


def check_class_target(input: Sequence[int], target: Sequence[int], probabilities: bool, weight: Any,
                       ignore_index: int | None) -> int:  # fmt: skip
    """Refuse a target, or class weights, that do not fit the input (given by their shapes); return the class axis.

    With `ignore_index` None, what comes is class indices already.
    """
    axis = class_axis(input)
    if input[axis] == 0:
        raise_value_error("input", f"shape {tuple(input)}", "one class or more")
    without_classes = tuple(input[:axis]) + tuple(input[axis + 1 :])
    if probabilities:
        check_same_shape("target (class probabilities)", target, "input", input)
        if ignore_index is not None and ignore_index >= 0:
            raise_value_error(
                "ignore_index", repr(ignore_index), "none: it goes with class indices, and target is floating"
            )
    elif tuple(target) != without_classes:
        expected = f"{without_classes}, that of input, {tuple(input)}, without its classes"
        raise_value_error("target (class indices)", f"shape {tuple(target)}", expected)
    if weight is not None and tuple(weight.shape) != (input[axis],):
        raise_value_error(
            "weight", f"shape {tuple(weight.shape)}", f"one for each of the {input[axis]} classes, ({input[axis]},)"
        )
    return axis


def check_choice(name: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a word that is not among those known, and list them, the nearest at the end."""
    known = list(known)
    for word in given:
        if word not in known:
            near = difflib.get_close_matches(word.lower(), known, n=2, cutoff=0.6)
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            raise_value_error(name, f"{word!r}{meant}", f"one of {', '.join(known)}")


def check_weight(weight: Any, input: Any, name: str = "weight", broadcast: bool = False) -> None:
    """Refuse elementwise weights (None passes) that have not the shape of the input, or do not `broadcast` to it."""
    if weight is not None:
        check = check_broadcasts_to if broadcast else check_same_shape
        check(name, weight.shape, "input", input.shape)


def plain(value: Any) -> Any:
    """Return a NumPy scalar, or a 0-d array, as the Python number or bool it is; anything else as it came."""
    return value.item() if isinstance(value, (np.generic, np.ndarray)) and not value.shape else value


def shown(value: Any) -> str:
    """Return a value as an error shows it; of an integer that would fill lines, the number of bits."""
    large = isinstance(value, int) and not -(2**128) <= value <= 2**128
    return f"an integer of {value.bit_length()} bits" if large else repr(value)


def is_zero(value: Any) -> bool:
    """Tell whether an option is the number 0; one that is a tensor, whose value may change, is not."""
    return isinstance(value, (int, float)) and value == 0


def check_integer(name: str, value: Any) -> int:
    """Refuse what is not a whole number, or one that no integer dtype has; return it as a Python number."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise_type_error(name, f"{type(value).__name__} {value!r}", "an integer")
    if not -(2**63) <= value < 2**63:
        raise_value_error(name, shown(value), "an integer of at most 64 bits")
    return value


def check_flags(**flags: Any) -> Any:
    """Refuse what is neither True nor False, as torch does: a number here is an argument in the wrong place.

    Return the flag, or a tuple of them in order, as Python's.
    """
    flags = {name: plain(value) for name, value in flags.items()}
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise_type_error(name, f"{type(value).__name__} {value!r}", "True or False")
    return tuple(flags.values()) if len(flags) > 1 else next(iter(flags.values()))


def _is_inside(value: Any, above: float | None, least: float | None, most: float | None, below: float | None) -> bool:
    return bool(
        value == value
        and (above is None or value > above)
        and (least is None or value >= least)
        and (most is None or value <= most)
        and (below is None or value < below)
    )


def check_number(name: str, value: Any, *, above: float | None = None, least: float | None = None,
                 most: float | None = None, below: float | None = None,
                 limit: float = LARGEST[8]) -> Any:  # fmt: skip
    """Refuse a number outside of its range, a NaN included, or of a size beyond `limit`; return it as a Python number.

    A large integer becomes a float: neither framework takes every integer where it takes a float of that size.
    """
    # Most options are right: no text is made, no array asked for.
    usual = type(value) is float or (type(value) is int and -(2**24) <= value <= 2**24)
    if usual and _is_inside(value, above, least, most, below) and -limit <= value <= limit:
        return value
    value = plain(value)
    bounds = (">", above), (">=", least), ("<=", most), ("<", below)
    expected = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise_type_error(name, f"{type(value).__name__} {value!r}", f"a number {expected}".rstrip())
    if not _is_inside(value, above, least, most, below):
        raise_value_error(name, shown(value), f"a number {expected}".rstrip())
    large = isinstance(value, int) and not -(2**24) <= value <= 2**24
    limit = min(limit, LARGEST[8]) if large else limit
    if not -limit <= value <= limit:
        finite = "that is finite in float32" if limit == LARGEST[4] else "that is finite"
        raise_value_error(name, shown(value), f"a number {expected}".rstrip() + f" {finite}")
    return float(value) if large else value


def check_option(name: str, value: Any, is_scalar: bool, known: Any, **bounds: Any) -> Any:
    """Check an option that a framework's array holds: 0-d and floating (`is_scalar`), in its range where `known`.

    `known` is its value as a Python number, None where that cannot be read: while tracing, or on an accelerator.
    """
    if not is_scalar:
        got = f"{type(value).__name__} of shape {tuple(value.shape)}, dtype {value.dtype}"
        raise_type_error(name, got, "a number, or a floating array of shape ()")
    if known is not None:
        check_number(name, known, **bounds)
