"""What the planted faults have in common: the record, and inputs that bring a fault out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xloss.compare.run import Case


@dataclass(frozen=True)
class Fault:
    """One planted fault.

    Attributes:
        name: what was planted.
        cause: what is to be named.
        good, bad: the losses.
        cases: the inputs.
        says: words that the sentence must hold.
        alone: whether the side is to be named without knowing what is right.
        only: the framework in which it can be planted; "" for both.
    """

    name: str
    cause: str
    good: Callable[..., Any]
    bad: Callable[..., Any]
    cases: list[Case]
    says: str = ""
    alone: bool = False
    only: str = ""


def times(loss: Callable[..., Any], factor: Callable[..., Any]) -> Callable[..., Any]:
    """The loss times a number of its own arguments."""

    def scaled(o, *args, **options):
        return loss(o, *args, **options) * factor(o, *args, **options)

    scaled.__signature__ = inspect.signature(loss)  # type: ignore[attr-defined]
    scaled.__name__ = f"{loss.__name__}_times"
    return scaled


def large(cases: list[Case], name: str, scale: float = 1000.0) -> list[Case]:
    big = cases[0]
    return [*cases, replace(big.with_arrays(**{name: big.arrays[name] * scale}), name="large")]


def with_case(cases: list[Case], name: str, **arrays: np.ndarray) -> list[Case]:
    return [*cases, replace(cases[0].with_arrays(**arrays), name=name)]


def zero_row(cases: list[Case], name: str) -> list[Case]:
    array = cases[0].arrays[name].copy()
    array[1] = 0
    return with_case(cases, "zero", **{name: array})


def with_labels(cases: list[Case], *values: int) -> list[Case]:
    t = cases[0].arrays["t"].copy()
    t[: len(values)] = values
    return with_case(cases, "odd labels", t=t)


def saturated(cases: list[Case]) -> list[Case]:
    p = cases[0].arrays["p"].copy()
    t = cases[0].arrays["t"].copy()
    p[0, :2], t[0, :2] = (0.0, 1.0), (0.0, 1.0)
    return with_case(cases, "saturated", p=p, t=t)


def zero_target(cases: list[Case]) -> list[Case]:
    t = cases[0].arrays["t"].copy()
    t[0, :2] = 0.0
    return with_case(cases, "zero target", t=t)


def zeros(cases: list[Case]) -> list[Case]:
    return with_case(cases, "zeros", **{n: np.zeros_like(a) for n, a in cases[0].arrays.items()})


def ties(cases: list[Case]) -> list[Case]:
    y = cases[0].arrays["y"].copy()
    y[0] = cases[0].arrays["x"][0]
    return with_case(cases, "ties", y=y)


def on_margin(cases: list[Case]) -> list[Case]:
    x = cases[0].arrays["x"].copy()
    x[0] = cases[0].arrays["t"][0]
    return with_case(cases, "on margin", x=x)


def infinite(cases: list[Case]) -> list[Case]:
    x = cases[0].arrays["x"].copy()
    x[0] = -np.inf
    return with_case(cases, "infinite", x=x)


def renamed(cases: list[Case]) -> list[Case]:
    return [replace(x, arrays={"c": x.arrays["x"], "r": x.arrays["y"]}, wrt=("c", "r")) for x in cases]


def near(cases: list[Case]) -> list[Case]:
    """Two large arguments close to each other."""
    x = cases[0].arrays["x"] + 300.0
    return with_case(cases, "near", x=x, y=x + 0.05)


def l1_negative(o, x, y):
    e = x - y
    return o.mean(o.where(e > 0, e, -e))
