"""One side is NaN or infinite where the other is not: which operation gives that."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.inputs import link_where_not_finite
from xloss.compare.diagnosis.question import Function, Question, finite, floating
from xloss.compare.run import Case, Result

NUDGE = 1e-3
LARGE = {"float64": 30.0, "float32": 8.0}  # from where exp(x) or its square loses its range in sums


def non_finite(question: Question) -> Diagnosis | None:
    """Find the cases where one side alone is not finite, and say of which operation."""
    for dtype in ("float64", "float32"):
        for bad, good in question.directions():
            cases = list(_one_sided(question, bad, good, dtype))
            if not cases:
                continue
            if dtype == "float64" and (found := link_where_not_finite(question, cases[:3], bad, good)):
                return found
            for case in cases:
                if found := _reason(question, case, bad, good, dtype):
                    return found
    return None


def _one_sided(question: Question, bad: Function, good: Function, dtype: str) -> Iterator[Case]:
    for case in question.evidence.cases:
        a, b = bad.result(case, dtype), good.result(case, dtype)
        if (a is not None and b is not None and not _ok(a) and _ok(b)) or (
            a is not None and b is not None and not finite(a) and not finite(b) and _gradient_alone(a, b)
        ):
            yield case


def _ok(result: Result) -> bool:
    """Tell whether a result is a number or a deserved infinity with finite gradients."""
    return not np.isnan(result.value).any() and all(np.isfinite(g).all() for g in result.grads.values()) and (
        bool(np.isfinite(result.value).all()))  # fmt: skip


def _gradient_alone(a: Result, b: Result) -> bool:
    """Tell whether both values are the same, and only a has NaN, in value or gradient."""
    b_nan = np.isnan(b.value).any() or any(np.isnan(g).any() for g in b.grads.values())
    a_nan = np.isnan(a.value).any() or any(np.isnan(g).any() for g in a.grads.values())
    return bool(a_nan and not b_nan)


def _reason(question: Question, case: Case, bad: Function, good: Function, dtype: str) -> Diagnosis | None:
    got = bad.result(case, dtype)
    if got is None:
        return None
    where = "value" if not np.isfinite(got.value).all() else "gradient"
    arrays = {name: case.arrays[name] for name in floating(case)}
    says = (
        f"the {where} of {bad.name} is {_what(got)} in the case '{case.name}' ({dtype}), that of {good.name} is not: "
    )

    def cured(**changed: np.ndarray) -> bool:
        other = bad.result(case.with_arrays(**changed), dtype)
        return other is not None and _ok(other)

    infinite = {n: a for n, a in arrays.items() if not np.isfinite(a).all()}
    if found := _zero_times_infinite(question, case, bad, infinite, dtype, says):
        return found
    if infinite and cured(
        **{n: np.where(np.isfinite(a), a, np.sign(np.nan_to_num(a)) * 5.0) for n, a in infinite.items()}
    ):
        return question.says(
            "inf_minus_inf",
            f"{says}an infinite {' or '.join(infinite)} gives inf - inf or 0 * inf there; with finite numbers "
            f"in its place the {where} is finite",
            bad.label,
        )
    zero = {n: a for n, a in arrays.items() if a.size and (a == 0).any()}
    for name, array in zero.items():
        rows = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
        dead = (rows == 0).all(axis=1)
        if not dead.any():
            continue
        one = rows.astype(np.float64).copy()
        one[dead, 0] = NUDGE
        if (one.shape[1] > 1 or _positive_part(bad, case, name, dtype)) and cured(**{name: one.reshape(array.shape)}):
            return _zero_norm(question, bad, f"{says}a row of {name} is all zero", where)
    if found := _all_moved(question, bad, {n: a for n, a in zero.items() if n in case.wrt}, cured, says, where):
        return found
    flat = list(arrays.items())
    for i, (one_name, x) in enumerate(flat):
        for two_name, y in flat[i + 1 :]:
            if x.shape == y.shape and x.ndim and (tie := x == y).any() and one_name in (*case.wrt, two_name):
                moved = x.astype(np.float64).copy()
                rows = moved.reshape(-1, moved.shape[-1])
                same = tie.reshape(rows.shape).all(axis=1)
                rows[same, 0] += NUDGE
                if _at_edge(x, y):
                    continue
                if same.any() and cured(**{one_name: moved}):
                    return _zero_norm(question, bad, f"{says}a row of {one_name} equals that of {two_name}", where)
                if cured(**{one_name: np.where(tie, x + NUDGE, x)}):
                    return _zero_norm(question, bad, f"{says}elements of {one_name} equal those of {two_name}", where)
    for name, array in arrays.items():
        edge = (array == 0) | (array == 1)
        if edge.any() and (array >= 0).all():
            inside = np.where(array == 0, NUDGE, np.where(array == 1, 1 - NUDGE, array))
            if cured(**{name: inside}):
                number = "0" if (array == 0).any() else "1"
                return question.says(
                    "zero_times_log_zero",
                    f"{says}{name} has elements that are exactly {number}, where 0 * log(0) is NaN (and its "
                    "gradient 0 * inf); "
                    "with them moved inside it is finite",
                    bad.label,
                    argument=name,
                )
    for name in zero:
        if cured(**{name: np.where(arrays[name] == 0, NUDGE, arrays[name])}):
            return _zero_norm(question, bad, f"{says}{name} has elements that are exactly 0", where)
    smaller = {n: a for n, a in arrays.items() if n in case.wrt and np.abs(a).max(initial=0) > LARGE[dtype]}
    if smaller and cured(**{n: a * (3.0 / np.abs(a[np.isfinite(a)]).max(initial=3.0)) for n, a in smaller.items()}):
        largest = max(float(np.abs(a).max()) for a in smaller.values())
        return question.says(
            "overflow_without_max_shift",
            f"{says}it overflows at inputs as large as {largest:.4g} (exp of a large number, without "
            "subtracting the maximum "
            "first); with the inputs scaled down it is finite",
            bad.label,
            largest=largest,
        )
    return None


def _zero_times_infinite(
    question: Question, case: Case, bad: Function, infinite: dict[str, np.ndarray], dtype: str, says: str
) -> Diagnosis | None:
    """An infinite logarithm stands under a weight of 0: with the weight not 0 the value is no NaN, but infinite."""
    for name, array in infinite.items():
        for other in (n for n in floating(case) if n != name and case.arrays[n].shape == array.shape):
            weight = case.arrays[other]
            under = ~np.isfinite(array) & (weight == 0)
            if not under.any() or not np.isfinite(weight).all():
                continue
            got = bad.result(case.with_arrays(**{other: np.where(under, NUDGE, weight)}), dtype)
            whole = bad.result(case.with_arrays(**{name: np.where(under, -5.0, array)}), dtype)
            if got is None or whole is None or np.isnan(got.value).any() or not _ok(whole):
                continue
            return question.says(
                "zero_times_log_zero",
                f"{says}{name} is infinite where {other} is 0, and 0 * inf is NaN there (0 * log 0): such an element "
                "should count 0; with a finite number in its place it does",
                bad.label,
                argument=other,
            )
    return None


def _all_moved(
    question: Question, bad: Function, zero: dict[str, np.ndarray], cured: Callable[..., bool], says: str, where: str
) -> Diagnosis | None:
    """Move the zero rows of several arguments off zero at once, each by another amount."""
    moved: dict[str, np.ndarray] = {}
    for i, (name, array) in enumerate(zero.items()):
        rows = array.reshape(-1, array.shape[-1]).astype(np.float64) if array.ndim else array.reshape(1, 1) * 1.0
        dead = (rows == 0).all(axis=1)
        if rows.shape[1] > 1 and dead.any():
            rows = rows.copy()
            rows[dead, 0] = NUDGE * (i + 1)
            moved[name] = rows.reshape(array.shape)
    if len(moved) > 1 and cured(**moved):
        return _zero_norm(question, bad, f"{says}rows of {' and '.join(moved)} are all zero", where)
    return None


def _what(result: Result) -> str:
    every = [result.value, *result.grads.values()]
    return "NaN" if any(np.isnan(a).any() for a in every) else "infinite"


def _zero_norm(question: Question, bad: Function, says: str, where: str) -> Diagnosis:
    return question.says(
        "nan_at_zero_norm",
        f"{says}, so that a norm or root is taken of zero, whose derivative is 0/0; moved off zero the {where} "
        "is finite",
        bad.label,
    )


def _positive_part(bad: Function, case: Case, name: str, dtype: str) -> bool:
    """Tell whether a negative number in place of the zeros is as good: a norm, not a logarithm."""
    array = case.arrays[name]
    got = bad.result(case.with_arrays(**{name: np.where(array == 0, -NUDGE, array)}), dtype)
    return got is not None and _ok(got)


def _at_edge(x: np.ndarray, y: np.ndarray) -> bool:
    """Tell whether all that is equal is 0 or 1, as of probabilities and their targets."""
    tie = x[x == y]
    return bool(np.isin(tie, (0.0, 1.0)).all() and ((x >= 0) & (x <= 1)).all())
