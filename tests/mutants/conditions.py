"""In which context a fault shows: each makes a `Condition` whose `holds(f, given)` is a bool, or a mask under tracing.

Conditions on shapes, dtypes, options and the kind of an argument are decided while a function is traced; those on
values are 0-d masks, with which the fault is taken or not (`masked`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Given = dict[str, Any]


class Condition(NamedTuple):
    """A context: its name, the kind it counts under, whether it holds, and whether that is a mask."""

    text: str
    kind: str
    holds: Callable[[Any, Given], Any]
    masked: bool = False


ALWAYS = Condition("always", "", lambda f, given: True)


def _first(given: Given) -> Any:
    return next(iter(given.values()))


def _named(given: Given, name: str) -> Any:
    return given.get(name) if name else _first(given)


def _classes(x: Any) -> int:
    return int(x.shape[1] if x.ndim > 1 else x.shape[0]) if x.ndim else 1


def _rows(x: Any) -> int:
    return int(x.shape[0]) if x.ndim else 1


def reduction(name: str) -> Condition:
    return Condition(f"reduction={name}", "reduction", lambda f, given: given.get("reduction") == name)


def dtype(name: str) -> Condition:
    return Condition(f"dtype={name}", "dtype", lambda f, given: f.dtype_name(_first(given)) == name)


def numel_over(n: int) -> Condition:
    return Condition(f"numel>{n}", "size", lambda f, given: f.size(_first(given)) > n)


def rows_over(n: int) -> Condition:
    return Condition(f"rows>{n}", "size", lambda f, given: _rows(_first(given)) > n)


def rows_are(n: int) -> Condition:
    return Condition(f"rows={n}", "size", lambda f, given: _first(given).ndim > 0 and _rows(_first(given)) == n)


def odd_rows() -> Condition:
    return Condition("odd-rows>1", "size", lambda f, given: _rows(_first(given)) > 1 and _rows(_first(given)) % 2 == 1)


def classes_over(n: int) -> Condition:
    return Condition(f"classes>{n}", "size", lambda f, given: _classes(_first(given)) > n)


def classes_are(n: int) -> Condition:
    return Condition(f"classes={n}", "size", lambda f, given: _first(given).ndim > 0 and _classes(_first(given)) == n)


def rank(n: int) -> Condition:
    return Condition(f"rank={n}", "rank", lambda f, given: _first(given).ndim == n)


def option(name: str, test: Callable[[Any], bool], text: str) -> Condition:
    """Hold where an option has a value; not where it is not a Python number."""

    def holds(f: Any, given: Given) -> bool:
        value = given.get(name)
        return value is not None and not f.is_array(value) and bool(test(value))

    return Condition(f"{name}{text}", "option", holds)


def given(name: str) -> Condition:
    return Condition(f"with-{name}", "optional tensor", lambda f, given: given.get(name) is not None)


def not_given(name: str) -> Condition:
    return Condition(f"without-{name}", "optional tensor", lambda f, given: given.get(name) is None)


def together(*parts: Condition) -> Condition:
    """Hold where all hold."""

    def holds(f: Any, given: Given) -> Any:
        found: Any = True
        for part in parts:
            one = part.holds(f, given)
            if one is False:
                return False
            found = one if found is True else found if one is True else found & one
        return found

    text = "+".join(part.text for part in parts)
    plain = [part.kind for part in parts if part.kind != "reduction"] or ["reduction"]
    kind = "two options" if set(plain) <= {"option", "optional tensor"} and len(plain) > 1 else plain[0]
    return Condition(text, kind, holds, any(part.masked for part in parts))


def _kind_of_memory(text: str, test: Callable[[Any], bool], name: str) -> Condition:
    def holds(f: Any, given: Given) -> bool:
        x = _named(given, name)
        return f.name == "torch" and f.is_array(x) and not f.compiling() and not f.transformations() and test(x)

    return Condition(f"{text}({name or 'first'})", "memory", holds)


def noncontiguous(name: str = "") -> Condition:
    return _kind_of_memory("noncontiguous", lambda x: not x.is_contiguous(), name)


def expanded(name: str = "") -> Condition:
    return _kind_of_memory(
        "expanded",
        lambda x: x.numel() > 0 and any(s == 0 and n > 1 for s, n in zip(x.stride(), x.shape, strict=True)),
        name,
    )


def with_offset(name: str = "") -> Condition:
    return _kind_of_memory("offset-view", lambda x: x.storage_offset() > 0, name)


def channels_last(name: str = "") -> Condition:
    def test(x: Any) -> bool:
        import torch

        return x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)

    return _kind_of_memory("channels-last", test, name)


def parameter(name: str = "") -> Condition:
    return _kind_of_memory("parameter", lambda x: type(x).__name__ == "Parameter", name)


def numpy_array(name: str = "") -> Condition:
    return Condition(
        f"numpy({name or 'first'})", "kind of array", lambda f, given: type(_named(given, name)).__name__ == "ndarray"
    )


def weak_type(name: str = "") -> Condition:
    return Condition(
        f"weak-type({name or 'first'})",
        "kind of array",
        lambda f, given: bool(getattr(_named(given, name), "weak_type", False)),
    )


def dtypes_differ(one: str, other: str) -> Condition:
    def holds(f: Any, given: Given) -> bool:
        pair = given.get(one), given.get(other)
        return all(map(f.is_floating, pair)) and f.dtype_name(pair[0]) != f.dtype_name(pair[1])

    return Condition(f"dtype({one})!=dtype({other})", "dtype", holds)


def dtype_of(name: str, dtype: str) -> Condition:
    def holds(f: Any, given: Given) -> bool:
        return f.is_array(given.get(name)) and f.dtype_name(given[name]) == dtype

    return Condition(f"dtype({name})={dtype}", "dtype", holds)


# Values.


def _mask(text: str, test: Callable[[Any, Any, Given], Any], name: str = "") -> Condition:
    def holds(f: Any, given: Given) -> Any:
        x = _named(given, name)
        return False if not f.is_array(x) or not f.size(x) else test(f, f.stop(x), given)

    return Condition(f"{text}({name or 'first'})", "values", holds, masked=True)


def some_beyond(bound: float, name: str = "") -> Condition:
    return _mask(f"some>{bound:g}", lambda f, x, _: (abs(x) > bound).any(), name)


def some_below(bound: float, name: str = "") -> Condition:
    return _mask(f"some<{bound:g}", lambda f, x, _: ((abs(x) < bound) & (x != 0)).any(), name)


def some_zero(name: str = "") -> Condition:
    return _mask("some=0", lambda f, x, _: (x == 0).any(), name)


def all_zero(name: str = "") -> Condition:
    return _mask("all=0", lambda f, x, _: (x == 0).all(), name)


def all_equal(value: float, name: str = "") -> Condition:
    return _mask(f"all={value:g}", lambda f, x, _: (x == value).all(), name)


def some_equal(value: float, name: str = "") -> Condition:
    return _mask(f"some={value:g}", lambda f, x, _: (x == value).any(), name)


def some_nan(name: str = "") -> Condition:
    return _mask("some-nan", lambda f, x, _: f.np.isnan(x).any(), name)


def some_infinite(name: str = "") -> Condition:
    return _mask("some-infinite", lambda f, x, _: f.np.isinf(x).any(), name)


def none_finite(name: str = "") -> Condition:
    return _mask("none-finite", lambda f, x, _: (~f.np.isfinite(x)).all(), name)


def tied(axis: int) -> Condition:
    """Two equal elements in every row."""
    return _mask("ties", lambda f, x, _: (f.minimum_gap(x, axis) == 0).any(axis).all() if x.ndim > axis else False)


def last_class(name: str = "target") -> Condition:
    return _mask("some=last-class", lambda f, x, given: (x == _classes(_first(given)) - 1).any(), name)


def one_class(name: str = "target") -> Condition:
    """All labels are the same."""
    return _mask("all-the-same", lambda f, x, _: (x == x.reshape(-1)[0]).all(), name)


def error_is(size: float) -> Condition:
    return _mask(f"some|error|={size:g}", lambda f, x, given: (abs(x - f.stop(given["target"])) == size).any())


def subnormal(name: str = "") -> Condition:
    def test(f: Any, x: Any, _: Given) -> Any:
        least = float(f.np.finfo(x.dtype).tiny)
        return ((abs(x) < least) & (x != 0)).any()

    return _mask("some-subnormal", test, name)
