"""The numbers of a case that a factor is recognised by: sizes, counts, weights, options, constants."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xloss.compare.diagnosis.question import floating, labels, numbers
from xloss.compare.run import Case

CONSTANTS = {
    "2": 2.0, "3": 3.0, "4": 4.0, "8": 8.0, "10": 10.0, "100": 100.0, "ln 2": math.log(2.0), "ln 10": math.log(10.0),
    "pi": math.pi, "2 pi": 2 * math.pi, "sqrt(2)": math.sqrt(2.0), "sqrt(2 pi)": math.sqrt(2 * math.pi),
}  # fmt: skip


@dataclass(frozen=True)
class Quantity:
    """A number of a case, in words.

    Attributes:
        text: "the number of elements".
        value: the number.
        kind: "total" (counts everything), "valid" (leaves out what is ignored or masked), "weights", "axis",
            "option", "constant"; ratios have both kinds, "valid/total".
    """

    text: str
    value: float
    kind: str

    def over(self, other: Quantity) -> Quantity:
        """Return this divided by another."""
        return Quantity(f"{self.text} / {other.text}", self.value / other.value, f"{self.kind}/{other.kind}")

    @property
    def inverse(self) -> Quantity:
        """Return 1 divided by this."""
        text = {"2": "1/2", "4": "1/4"}.get(self.text, f"1 / {self.text}")
        return Quantity(text, 1 / self.value, self.kind)


def quantities(case: Case) -> list[Quantity]:
    """Return the numbers of a case, the likelier first; each text occurs in every case of the same arguments."""
    found = [*_sizes(case), *_counts(case), *_weights(case), *_options(case)]
    found += [Quantity(text, value, "constant") for text, value in CONSTANTS.items()]
    seen: dict[str, Quantity] = {}
    for quantity in found:
        if np.isfinite(quantity.value) and quantity.value > 0:
            seen.setdefault(quantity.text, quantity)
    return list(seen.values())


def _sizes(case: Case) -> Iterator[Quantity]:
    arrays = list(case.arrays.items())
    main = max((a for _, a in arrays if a.dtype.kind == "f"), key=lambda a: (a.ndim, a.size), default=arrays[0][1])
    if not main.ndim:
        return
    yield Quantity("the number of elements", main.size, "total")
    yield Quantity("the number of rows (N)", main.shape[0], "total")
    for name in labels(case):
        yield Quantity(f"the number of labels in {name}", case.arrays[name].size, "total")
    if main.ndim > 1:
        yield Quantity("the number of classes (C, the size of axis 1)", main.shape[1], "axis")
        yield Quantity("the size of the last axis", main.shape[-1], "axis")
        yield Quantity("the number of elements in a row", main.size // max(main.shape[0], 1), "axis")
        yield Quantity("the number of positions (elements / C)", main.size // max(main.shape[1], 1), "total")
        yield Quantity("the number of positions (elements / last axis)", main.size // max(main.shape[-1], 1), "total")
        yield Quantity("the number of rows and classes (N*C)", main.shape[0] * main.shape[1], "total")
    for name, array in arrays:
        if array.ndim and array.size != main.size:
            yield Quantity(f"the number of elements of {name}", array.size, "total")
    rows = main.shape[0]
    yield Quantity("N - 1", rows - 1, "less one")
    yield Quantity("the number of elements - 1", main.size - 1, "less one")
    if main.ndim > 1:
        yield Quantity("C - 1", main.shape[1] - 1, "less one")
        yield Quantity("the square root of the last axis' size", math.sqrt(main.shape[-1]), "axis")
        if main.shape[1] > 1:
            yield Quantity("log C", math.log(main.shape[1]), "constant")
    yield Quantity("the number of pairs N*(N-1)", rows * (rows - 1), "total")
    yield Quantity("N*N", rows * rows, "total")


def ignored(case: Case, name: str) -> np.ndarray:
    """Return which labels are ignored: those equal to an ignore_index, and negative ones."""
    array = case.arrays[name]
    out = array < 0
    for option, number in case.options.items():
        if "ignore" in option or "pad" in option:
            out = out | (array == number)
    return np.asarray(out)


def masks(case: Case) -> list[str]:
    """Return the names of the arrays of true and false, or of 0 and 1, that hold both."""
    return [
        name
        for name, array in case.arrays.items()
        if array.ndim and array.size and (array.dtype.kind == "b" or name not in case.wrt)
        and np.count_nonzero(array) > 0 and set(np.unique(array).tolist()) <= {0, 1}
    ]  # fmt: skip


def _counts(case: Case) -> Iterator[Quantity]:
    for name in labels(case):
        valid = int((~ignored(case, name)).sum())
        yield Quantity(f"the number of labels in {name} that are not ignored", valid, "valid")
        if case.arrays[name].ndim > 1:
            full = int((~ignored(case, name)).any(axis=tuple(range(1, case.arrays[name].ndim))).sum())
            yield Quantity(f"the number of rows with a label in {name} that is not ignored", full, "valid")
    for name in masks(case):
        array = case.arrays[name]
        yield Quantity(f"the number of unmasked elements (the sum of {name})", int(np.count_nonzero(array)), "valid")
        yield Quantity(f"the number of masked elements (zeros of {name})", int((array == 0).sum()), "total")


def _weights(case: Case) -> Iterator[Quantity]:
    for name in floating(case):
        array = case.arrays[name]
        if name in case.wrt or array.ndim == 0 or (array < 0).any():
            continue
        for target in labels(case):
            label = case.arrays[target]
            if array.ndim == 1 and label.max(initial=0) < array.size:
                keep = ~ignored(case, target)
                taken = array[np.where(keep, label, 0)] * keep
                yield Quantity(f"the sum of the class weights of the labels ({name}[{target}])", taken.sum(), "weights")
        yield Quantity(f"the sum of {name}", float(array.sum()), "weights")


def _options(case: Case) -> Iterator[Quantity]:
    values = numbers(case)
    values |= {n: float(a) for n, a in case.arrays.items() if a.ndim == 0 and a.dtype.kind == "f"}
    for name, value in values.items():
        if value == 1 or value == 0:
            continue
        yield Quantity(name, abs(value), "option")
        yield Quantity(f"{name} squared", value * value, "option")
        yield Quantity(f"{name} / 2", abs(value) / 2, "option")
        yield Quantity(f"2 * {name}", abs(value) * 2, "option")
        if abs(value) != 1:
            yield Quantity(f"1 - {name}", abs(1 - value), "option")
            yield Quantity(f"1 + {name}", abs(1 + value), "option")


def candidates(case: Case) -> dict[str, Quantity]:
    """Return the factors that have a name, likelier first: quantities, their inverses, ratios of two."""
    plain = quantities(case)
    out: dict[str, Quantity] = {}
    for quantity in plain:
        out.setdefault(quantity.text, quantity)
        out.setdefault(quantity.inverse.text, quantity.inverse)
    counted = [q for q in plain if q.kind not in ("constant", "option")]
    options = [q for q in plain if q.kind in ("constant", "option")][:12]
    for first in counted:
        for second in counted + options:
            if first is not second:
                ratio = first.over(second)
                out.setdefault(ratio.text, ratio)
                if second in options:
                    upside_down = second.over(first)
                    out.setdefault(upside_down.text, upside_down)
    return out


def altered(case: Case) -> Case | None:
    """Return the case with a label, mask element and weights changed, so that counts differ; None: it has none."""
    changed: dict[str, np.ndarray] = {}
    for name in labels(case):
        out = ignored(case, name)
        if out.any() and (~out).sum() > 1:
            array = case.arrays[name].copy()
            array[tuple(np.argwhere(~out)[0])] = array[out].flat[0]
            changed[name] = array
    for name in masks(case):
        if np.count_nonzero(case.arrays[name]) > 1 and (case.arrays[name] == 0).any():
            array = case.arrays[name].copy()
            array[tuple(np.argwhere(array != 0)[-1])] = 0
            changed[name] = array
    for name in floating(case):
        array = case.arrays[name]
        if name not in case.wrt and name not in changed and array.ndim == 1 and (array > 0).all():
            changed[name] = array * np.linspace(1.0, 1.7, array.size)
    return case.with_arrays(**changed) if changed else None
