"""Judge the answers of both sides: by truth, or by each other in float64; rows and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from xloss.compare.comparison import Comparison
from xloss.compare.microbatches import judge_accumulation
from xloss.compare.reference import CatalogueTruth, Right, Truth, agree, plain, ulps_apart, with_scale
from xloss.compare.rows import COLUMNS
from xloss.compare.run import Case, Failure, Result, cast
from xloss.compare.units import Answer, Run, Unit, widened
from xloss.parity.expected import Expected
from xloss.parity.inputs import DIGITS, DTYPES
from xloss.parity.sweep import BAD, GUILTY
from xloss.parity.verdict import Verdict, judge

# A central difference of a float64 value with step 1e-6 is right to about 1e-9 of the values' size.
NUMERICAL = 1e-4
# At sensitive inputs one plain formula may well round a few hundred times worse than another.
ONE_IS_RIGHT = 1000.0
_NOT_ASKED: list[str | None] = [None, None]


class Judge:
    """Judges the answers of both sides, and puts rows and notes into a comparison."""

    def __init__(self, out: Comparison, answers: Mapping[Any, Answer], truth: Truth | None, strict: bool,
                 dtypes: Sequence[str], runner: Run, device: str):  # fmt: skip
        self.out, self.answers, self.truth, self.strict = out, answers, truth, strict
        self.dtypes, self.runner, self.device = dtypes, runner, device
        self.scales: dict[str, float] = {}
        self.spreads: dict[str, list[Result | Failure]] = {}
        self.parted = False
        self.guilty: dict[str, int] = {}  # by argument, whose gradient was seen not to be that of its own value

    def __call__(self, cases: Sequence[Case], microbatches: int) -> None:
        """Judge all answers."""
        self._choose_reduction(cases[0])
        for case in cases:
            for dtype in ("float64", *(d for d in self.dtypes if d != "float64")):
                pair = [self.answers.get((which, case.name, dtype)) for which in (0, 1)]
                if None not in pair:
                    self._unit(case, dtype, [p for p in pair if p is not None], microbatches)
        if self.truth is not None:
            self.out.right = self.truth.kind
        else:
            self.out.right = "" if self.parted else "what both give in float64, where they agree"

    def _choose_reduction(self, case: Case) -> None:
        """Find which reduction of a catalogue loss the functions compute, where they do not take one."""
        if not isinstance(self.truth, CatalogueTruth):
            return
        values = [
            got.value for which in (0, 1)
            if isinstance(got := self.answers[which, case.name, "float64"].get("value"), Result)
        ]  # fmt: skip
        for reduction in dict.fromkeys((self.truth.loss.main_reduction, *self.truth.loss.reductions)):
            self.truth.reduction = reduction
            right = self.truth(case).value.high
            if any(v.shape == right.shape and np.allclose(v, right, 1e-5, 1e-7, equal_nan=True) for v in values):
                return
        self.truth.reduction = "none" if values and values[0].ndim else self.truth.loss.main_reduction

    def _unit(self, case: Case, dtype: str, pair: list[Answer], microbatches: int) -> None:
        judged = dtype in self.dtypes
        for what in pair[0]:
            both = [p.get(what, Failure("not run")) for p in pair]
            if what in ("value", "per_sample") or what.startswith("reduction="):
                if judged or dtype == "float64":
                    self._check(case, dtype, what, both, pair, judged)
            elif what == "vmap" and judged:
                self._vmap(case, dtype, both, pair)
            elif what == "again" and judged:
                self._again(case, dtype, both)
            elif what.startswith("microbatches=") and dtype == "float64":
                self._micro(case, both, pair, microbatches)

    def _row(self, which: int, case: Case, dtype: str, check: str, argument: str, status: str, reason: str = "",
             verdict: Verdict | None = None, **numbers: float) -> None:  # fmt: skip
        side = self.out.sides[which]
        got = {k: getattr(verdict, k) for k in ("max_abs", "max_ulp", "budget")} if verdict else {}
        row = {**dict.fromkeys(COLUMNS, ""), **dict.fromkeys(("max_abs", "max_ulp", "budget"), float("nan")), **got,
               **numbers}  # fmt: skip
        row.update(case=case.name, dtype=dtype, check=check, argument=argument, side=self.out.names[which],
                   framework=side.framework, status=status, reason=reason)  # fmt: skip
        self.out.rows.append(row)
        if status in BAD and self.out.case is None:
            self.out.case = case

    def _check(self, case: Case, dtype: str, what: str, both: list[Result | Failure], pair: list[Answer],
               judged: bool) -> None:  # fmt: skip
        refused = {str(got).partition(":")[0] for got in both if isinstance(got, Failure)}
        if all(isinstance(got, Failure) for got in both) and len(refused) == 1 and case.name != "typical":
            self.out.notes.append(f"both refuse {case.name} in {dtype} ({what}): {both[0]}")
            return
        for which, got in enumerate(both):
            if isinstance(got, Failure) and judged:
                status = _status_of(got)
                self._row(which, case, dtype, what, "", status, str(got))
        right = self._right(case, dtype, what)
        for argument in ("", *(case.wrt if what != "per_sample" else self._carried(case))):
            self._array(case, dtype, what, argument, both, pair, right, judged)
        for which, got in enumerate(both):
            if isinstance(got, Result) and got.mutated and judged and what == "value":
                self._row(which, case, dtype, "arguments unchanged", got.mutated[0], "inaccurate",
                          f"it writes into its argument {got.mutated[0]}")  # fmt: skip

    def _carried(self, case: Case) -> tuple[str, ...]:
        return tuple(name for name in case.wrt if name in case.batch_arguments())

    def _right(self, case: Case, dtype: str, what: str) -> Right | None:
        """Return what truth says, None without truth."""
        if self.truth is None:
            return None
        at = widened(case, dtype)
        if what.startswith("reduction="):
            at = at.with_options(reduction=what.partition("=")[2])
        if what != "per_sample":
            return self.truth(at, dtype)
        rows = [self.truth(at.row(slice(i, i + 1)), dtype) for i in range(at.rows)]
        grads = {n: _stacked([r.grads[n] for r in rows], np.concatenate) for n in self._carried(case)}
        return Right(_stacked([r.value for r in rows], np.stack), grads)

    def _array(self, case: Case, dtype: str, what: str, argument: str, both: list[Result | Failure],
               pair: list[Answer], right: Right | None, judged: bool) -> None:  # fmt: skip
        got = [_pick(answer, argument) for answer in both]
        if right is not None:
            exact: Expected | None = right.grads[argument] if argument else right.value
        else:
            # The reference at the very inputs of this dtype: the cases are exact in float32, not in 16 bits.
            if dtype in ("float64", "float32"):
                base = [self.answers.get((w, case.name, "float64"), {}).get(what) for w in (0, 1)]
            else:
                base = [p.get("float64") if what == "value" else None for p in pair]
            wide = [_pick(answer, argument) for answer in base]
            if base == [None, None]:
                exact = None  # judged against each other below
            elif wide[0] is not None and wide[1] is not None:
                exact = plain(wide[0]) if agree(wide[0], wide[1]) else None
                if exact is None and dtype == "float64":
                    self._parted(case, what, argument, [wide[0], wide[1]])
                    return
            else:
                alone = wide[0] if wide[0] is not None else wide[1]
                exact = plain(alone) if alone is not None else None
        if exact is None:
            self._against_each_other(case, dtype, what, argument, got)
            return
        scale = self.scales.setdefault(f"{what} {argument}", float(np.abs(exact.high[np.isfinite(exact.high)]).max(
            initial=0.0)))  # fmt: skip
        sensitive = not _one_is_right(got, exact, scale, dtype, argument)
        for which, array in enumerate(got):
            if array is None or not judged:
                continue
            self._judge(which, case, dtype, what, argument, array, exact, scale, sensitive)

    def _judge(self, which: int, case: Case, dtype: str, what: str, argument: str, array: np.ndarray, exact: Expected,
               scale: float, sensitive: bool) -> None:  # fmt: skip
        if DTYPES[dtype].itemsize < array.dtype.itemsize:  # float32 for 16-bit inputs is no fault
            array = cast(array, dtype)
        wide = 2.0 ** max(DIGITS["float32"][0] - DIGITS[dtype][0], 0)
        kind = "first" if argument else "value"
        if self.truth is None and np.isnan(exact.high).any():
            exact = replace(exact, undefined="nan")

        def narrow(spread: np.ndarray | float) -> Verdict:
            own = wide * (np.fmax(exact.rel_condition, spread) + np.abs(exact.high))
            return judge(array, replace(exact, rel_condition=own), dtype, kind)

        verdict, note = narrow(0.0), ""
        if not verdict.ok:
            spread = self._spread(case, argument) if what == "value" and sensitive else None
            if spread is not None and spread.shape == exact.high.shape:
                verdict = narrow(np.nan_to_num(spread))
        if not verdict.ok and not self.strict and array.shape == exact.high.shape:
            spread = spread if spread is not None and spread.shape == exact.high.shape else None
            loose = judge(array, with_scale(exact, scale, spread, wide), dtype, kind)
            note, verdict = verdict.reason if loose.ok else "", loose
        if note:
            self.out.notes.append(
                f"{self.out.names[which]} loses digits in {dtype}, case {case.name}, "
                f"{'gradient by ' + argument if argument else 'value'} ({what}): {note}"
            )
        self._row(which, case, dtype, what, argument, "ok" if verdict.ok else "inaccurate", verdict.reason, verdict)

    def _spread(self, case: Case, argument: str) -> np.ndarray | None:
        """Return the sensitivity of the more stable of the two functions, measured when it is first asked for."""
        if case.name not in self.spreads:
            asked = [Unit(which, case, "float64", ("spread",), self.device) for which in (0, 1)]
            self.spreads[case.name] = [got["spread"] for _, got in self.runner(asked)]
        arrays = [a for got in self.spreads[case.name] if (a := _pick(got, argument)) is not None]
        if not arrays or len({a.shape for a in arrays}) > 1:
            return None
        return np.asarray(np.fmin.reduce(arrays))

    def _parted(self, case: Case, what: str, argument: str, wide: list[np.ndarray]) -> None:
        """Make rows where the two differ in float64: two different functions, or a gradient that is not its own."""
        self.parted = True
        a, b = self.out.names
        where = _first_difference(wide[0], wide[1])
        said = f"{a} {_at(wide[0], where)}, {b} {_at(wide[1], where)}" + (f" at {where}" if where else "")
        if wide[0].shape != wide[1].shape:
            said = f"shapes {wide[0].shape} and {wide[1].shape}"
        consistent = self._consistent(case, what, argument, wide) if argument else _NOT_ASKED
        for which in (0, 1):
            apart = float(np.nanmax(np.abs(wide[0] - wide[1]), initial=0)) if wide[0].shape == wide[1].shape else np.inf
            ulps = ulps_apart(wide[0], wide[1], "float64") if wide[0].shape == wide[1].shape else np.inf
            if argument in self.guilty and consistent[which] is None:
                reason = f"{said}; as in an earlier case, {self.out.names[self.guilty[argument]]} is at fault"
                if which == self.guilty[argument]:
                    self._row(which, case, "float64", what, argument, "inaccurate", reason, max_abs=apart, max_ulp=ulps)
            elif consistent[which] is not None and consistent.count("") == 1:
                self.guilty[argument] = consistent.index("") ^ 1
                reason = f"{said}; {consistent[which]}" if consistent[which] else ""
                self._row(which, case, "float64", what, argument, "inaccurate" if reason else "ok", reason,
                          max_abs=apart if reason else 0.0, max_ulp=ulps if reason else 0.0)  # fmt: skip
            else:
                self._row(which, case, "float64", what, argument, "differs", said, max_abs=apart, max_ulp=ulps)

    def _consistent(self, case: Case, what: str, argument: str, wide: list[np.ndarray]) -> list[str | None]:
        """Return "" for each side whose gradient is the numerical derivative of its own value, else what it is."""
        if what != "value" or case.arrays[argument].size > 400:
            return [None, None]
        out: list[str | None] = [None, None]
        for unit, got in self.runner([Unit(w, case, "float64", ("numerical",), self.device) for w in (0, 1)]):
            own = got.get("numerical")
            numerical = _pick(own, argument) if isinstance(own, Result) else None
            if numerical is None or numerical.shape != wide[unit.which].shape:
                continue
            size = max(float(np.nanmax(np.abs(numerical), initial=0)), 1e-30)
            with np.errstate(invalid="ignore"):
                off = ~(np.abs(wide[unit.which] - numerical) <= NUMERICAL * size)
            if not off.any():
                out[unit.which] = ""
            else:
                where = tuple(int(i) for i in np.argwhere(off)[0])
                out[unit.which] = (
                    f"the gradient of {self.out.names[unit.which]} is not the derivative of its own value, which is "
                    f"{numerical[where]:.6g} there by central differences"
                )
        return out

    def _against_each_other(self, case: Case, dtype: str, what: str, argument: str,
                            got: list[np.ndarray | None]) -> None:  # fmt: skip
        """Compare two results that have no reference of their own, in their dtype."""
        if dtype not in self.dtypes or dtype == "float64" or got[0] is None or got[1] is None:
            return
        a, b = got[0], got[1]
        if a.shape != b.shape:
            return  # said in float64
        scale = self.scales.get(f"{what} {argument}", 0.0)
        unit = 2.0 ** -DIGITS[dtype][0]
        near = np.abs(a.astype(np.float64) - b) <= 64 * unit * (np.abs(b.astype(np.float64)) + scale)
        same = bool((near | (a == b) | (np.isnan(a) & np.isnan(b))).all())
        if same:
            for which in (0, 1):
                self._row(which, case, dtype, what, argument, "ok")

    def _vmap(self, case: Case, dtype: str, both: list[Result | Failure], pair: list[Answer]) -> None:
        """Judge `vmap(grad)` by the same side's gradients one by one."""
        for which, got in enumerate(both):
            loop = pair[which].get("per_sample")
            if not isinstance(loop, Result):
                continue
            if isinstance(got, Failure):
                self._row(which, case, dtype, "vmap", "", "unsupported", str(got))
                continue
            for name in self._carried(case):
                one, many = loop.grads[name], got.grads[name].reshape(loop.grads[name].shape)
                size = float(np.nanmax(np.abs(one), initial=0.0))
                exact = plain(one, np.full(one.shape, 8 * size))
                verdict = judge(many, exact, dtype, "first")
                reason = verdict.reason and f"vmap(grad) differs from one call a sample: {verdict.reason}"
                self._row(which, case, dtype, "vmap", name, "ok" if verdict.ok else "inaccurate", reason, verdict)

    def _again(self, case: Case, dtype: str, both: list[Result | Failure]) -> None:
        """See whether a second call with the same inputs gives the same."""
        for which, got in enumerate(both):
            if isinstance(got, Failure):
                continue
            second = got.grads["again"]
            same = got.value.shape == second.shape and np.array_equal(got.value, second, equal_nan=True)
            reason = "" if same else f"two calls with the same inputs give {_short(got.value)} and {_short(second)}"
            self._row(which, case, dtype, "called twice", "", "ok" if same else "inaccurate", reason)

    def _micro(self, case: Case, both: list[Result | Failure], pair: list[Answer], number: int) -> None:
        """See whether the gradients of micro-batches, each divided by their number, add up to the batch's."""
        for which, got in enumerate(both):
            whole = pair[which]["value"]
            if isinstance(got, Result) and isinstance(whole, Result):
                for name, ok, reason in judge_accumulation(case, whole, got, number):
                    self._row(which, case, "float64", f"microbatches={number}", name,
                              "ok" if ok else "inaccurate", reason)  # fmt: skip


def _one_is_right(got: Sequence[np.ndarray | None], exact: Expected, scale: float, dtype: str, argument: str) -> bool:
    """Tell whether sensitive inputs excuse nothing: one side is right there, the other a thousand times too far off."""
    wide = 2.0 ** max(DIGITS["float32"][0] - DIGITS[dtype][0], 0)
    budgets = [
        judge(cast(array, dtype), with_scale(exact, scale, None, wide), dtype, "first" if argument else "value").budget
        for array in got
        if array is not None and array.shape == exact.high.shape
    ]
    return len(budgets) == 2 and min(budgets) <= 1 and max(budgets) > ONE_IS_RIGHT


def _status_of(failed: Failure) -> str:
    if failed.unsupported:
        return "unsupported"
    for status in GUILTY:
        if failed.error.startswith(f"{status}:"):
            return status
    return "error"


def _stacked(parts: list[Expected], stack: Any) -> Expected:
    return Expected(*(stack([getattr(p, f) for p in parts]) for f in ("high", "low", "rel_condition", "abs_condition")))


def _pick(got: Result | Failure | None, argument: str) -> np.ndarray | None:
    if not isinstance(got, Result):
        return None
    return got.grads.get(argument) if argument else got.value


def _first_difference(a: np.ndarray, b: np.ndarray) -> tuple[int, ...]:
    if a.shape != b.shape:
        return ()
    size = float(np.nanmax(np.abs(b[np.isfinite(b)]), initial=0.0))
    with np.errstate(invalid="ignore"):
        off = ~((np.abs(a - b) <= 1e-9 * size) | (a == b) | (np.isnan(a) & np.isnan(b)))
    return tuple(int(i) for i in np.argwhere(off)[0]) if off.any() else ()


def _at(array: np.ndarray, where: tuple[int, ...]) -> str:
    if len(where) != array.ndim:
        return f"has shape {array.shape}"
    return f"{float(array[where]):.9g}"


def _short(array: np.ndarray) -> str:
    return f"{float(array):.9g}" if array.ndim == 0 else np.array2string(array.ravel()[:3], precision=6)
