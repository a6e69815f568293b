"""Differences of rounding: computed in fewer digits, digits lost, an eps in another place."""

from __future__ import annotations

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.question import Function, Question, direction, finite, floating, same, show
from xloss.compare.run import Case, Result, cast, cotangent

FORMATS = ("bfloat16", "float16", "tf32", "float32")
LARGE = 100.0  # beyond it, terms that cancel leave few digits in the difference
STEPS = {"bfloat16": 2.0**-9, "float16": 2.0**-11, "tf32": 2.0**-11, "float32": 2.0**-24}


def rounded(array: np.ndarray, fmt: str) -> np.ndarray:
    """Round to a format and back to float64."""
    array = np.asarray(array)
    if fmt == "tf32":
        bits = array.astype(np.float32).view(np.uint32)
        return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)
    return np.asarray(cast(array.astype(np.float64), fmt)).astype(np.float64)


def apart(a: Result, b: Result) -> float:
    """Return the largest difference of value or a gradient, relative to the largest element of each."""
    most = 0.0
    for x, y in [(a.value, b.value), *((g, b.grads[n]) for n, g in a.grads.items())]:
        if x.shape != y.shape:
            return np.inf
        x, y = x.astype(np.float64), y.astype(np.float64)
        scale = max(float(np.abs(x).max(initial=0)), float(np.abs(y).max(initial=0)))
        if scale > 1e-30:
            most = max(most, float(np.abs(x - y).max(initial=0)) / scale)
    return most


def low_precision(question: Question) -> Diagnosis | None:
    """Float64 in, and a result that has fewer digits: float32 or 16-bit numbers inside one side."""
    pairs = question.results(question.telling)
    most = min((apart(a, b) for a, b in pairs), default=np.inf)
    if not most < 0.05:
        return None
    for bad, good in question.directions():
        fmt = _format_of(question, bad, good, "float64")
        if fmt is None or not _at_ordinary_inputs(question, bad, good):
            continue
        return _low(question, bad, fmt, most, "float64")
    return None


def _at_ordinary_inputs(question: Question, bad: Function, good: Function) -> bool:
    """Tell whether the difference is there, too, where large inputs are scaled down: else digits are cancelled."""
    case = question.telling[0]
    large = {n: a * (2.0 / np.abs(a).max()) for n in case.wrt if np.abs(a := case.arrays[n]).max(initial=0) > LARGE}
    if not large:
        return True
    small = case.with_arrays(**large)
    one, two = bad.result(small), good.result(small)
    return one is None or two is None or not same(one, two, 1e-12)


def _low(question: Question, bad: Function, fmt: tuple[str, str], most: float, dtype: str) -> Diagnosis:
    name, how = fmt
    if name == "float32":
        return question.says(
            "float32_inside_float64",
            f"{bad.name} given float64 is right to {most:.1e} only: {how}; it computes in float32",
            bad.label,
            difference=most,
        )
    matmul = how.startswith("rounding")
    return question.says(
        "low_matmul_precision" if matmul else "low_precision_accumulation",
        f"{bad.name} in {dtype} is right to {most:.1e} only: {how}; "
        + ("its products take their inputs in few digits" if matmul else "it sums or computes in a 16-bit format"),
        bad.label,
        difference=most,
        format=name,
    )


def _format_of(question: Question, bad: Function, good: Function, dtype: str) -> tuple[str, str] | None:
    """Return the format in which a side computes, and how that shows; None where it does not compute in a lower one."""
    cases = question.telling[:3] or question.cases[:3]
    formats = FORMATS if dtype == "float64" else FORMATS[:-1]
    values = [(bad.value(c, dtype), good.value(c, dtype)) for c in cases]
    if any(a is None or b is None for a, b in values):
        return None
    for fmt in formats:
        fits = [np.array_equal(a.astype(np.float64), rounded(a, fmt)) and np.any(a) for a, _ in values if a is not None]
        other = [np.array_equal(b.astype(np.float64), rounded(b, fmt)) for _, b in values if b is not None]
        if fits and all(fits) and not any(other):
            return fmt, f"its value is a {fmt} number in every case"
        names = [n for n in floating(cases[0]) if n in cases[0].wrt]
        for chosen in [names, *([n] for n in names if len(names) > 1)]:
            if chosen and all(_invariant(bad, c, chosen, fmt, dtype) and not _invariant(good, c, chosen, fmt, dtype)
                              for c in cases):  # fmt: skip
                return fmt, f"rounding {' and '.join(chosen)} to {fmt} first changes nothing"
    if dtype != "float64" or not any(case is question.evidence.cases[0] for case in question.telling):
        return None  # noise at large numbers alone is lost digits, not a lower precision
    for step, least, fmt in ((1e-4, 1e-10, "float32"), (2e-2, 1e-5, "a 16-bit format")):
        noise = [(_noise(bad, c, step), _noise(good, c, step)) for c in cases[:2]]
        if all(a is not None and b is not None and a > least and a > 100 * b for a, b in noise):
            a = noise[0][0]
            return fmt, f"its value moves in steps of about {a:.0e} of itself when the inputs are moved a little"
    return None


def _invariant(which: Function, case: Case, names: list[str], fmt: str, dtype: str) -> bool:
    """Tell whether rounding those arguments changes nothing at all in the value."""
    moved = case.with_arrays(**{n: rounded(case.in_dtype(dtype).arrays[n], fmt) for n in names})
    if all(np.array_equal(moved.arrays[n], case.in_dtype(dtype).arrays[n].astype(np.float64)) for n in names):
        return False
    a, b = which.value(case, dtype), which.value(moved, dtype)
    if a is None or b is None or not np.array_equal(a, b):
        return False
    # A coarse result does not change either, but then nor does it where the inputs are moved by as much otherwise.
    much = {n: case.arrays[n] * (1 + STEPS[fmt] * direction(case.arrays[n].shape)) for n in names}
    c = which.value(case.with_arrays(**much), dtype)
    return c is not None and not np.array_equal(a, c)


def _noise(which: Function, case: Case, step: float) -> float | None:
    """Return what a cubic leaves unexplained of the value along a line, relative to the value."""
    along = np.linspace(-1, 1, 13)
    values = []
    for t in along:
        moved = {n: case.arrays[n] * (1 + step * t * direction(case.arrays[n].shape)) for n in case.wrt}
        got = which.value(case.with_arrays(**moved))
        if got is None or not np.isfinite(got).all():
            return None
        values.append(float((got * cotangent(got.shape, np.dtype(np.float64))).sum()))
    y = np.array(values)
    left = y - np.polyval(np.polyfit(along, y, 3), along)
    return float(np.sqrt((left**2).mean()) / max(float(np.abs(y).max()), 1e-300))


def lost_digits(question: Question) -> Diagnosis | None:
    """Both agree in float64; in float32 one is far less right: cancellation, or a low precision."""
    if any(apart(a, b) > 1e-3 and not same(a, b) for a, b in question.results()):
        return None
    worst: tuple[float, float, Case, Function, Function] | None = None
    for number, case in enumerate(question.evidence.cases):
        errors = [_error32(f, case) for f in question.pair]
        if any(e is None for e in errors):
            continue
        for i, (bad, good) in enumerate(question.directions()):
            mine, its = float(errors[i] or 0), float(errors[1 - i] or 0)
            if mine > 2e-5 and mine > 30 * max(its, 1e-7):
                if number < 2 and (fmt := _format_of(question, bad, good, "float32")):
                    return _low(question, bad, fmt, mine, "float32")
                if worst is None or mine > worst[0]:
                    worst = (mine, its, case, bad, good)
    if worst is None:
        return _sixteen_bit(question)
    mine, its, case, bad, good = worst
    typical = [_error32(bad, c) for c in question.evidence.cases[:2]]
    rounding = _only_rounding(bad, good, case)
    if all(e is not None and e > 1e-4 for e in typical) and not rounding:
        return question.says(
            "low_precision_accumulation",
            f"both agree in float64; in float32 {bad.name} is right to {mine:.1e} only, in every case, and "
            f"{good.name} to {its:.1e}: {bad.name} computes or sums in fewer digits than float32 has",
            bad.label,
            difference=mine,
        )
    small = max((e for e in typical if e is not None), default=0.0)
    if case.rows > 16 * question.evidence.cases[0].rows and mine > 10 * small and not rounding:
        return question.says(
            "low_precision_accumulation",
            f"both agree in float64; in float32 {bad.name} is right to {mine:.1e} only with {case.rows} rows "
            f"({small:.1e} with {question.evidence.cases[0].rows}), "
            f"{good.name} to {its:.1e}: {bad.name} adds up in too few digits",
            bad.label,
            difference=mine,
        )
    return question.says(
        "lost_digits",
        f"both agree in float64; in float32 {bad.name} is right to {mine:.1e} only in the case '{case.name}', "
        f"{good.name} to "
        f"{its:.1e}: {bad.name} loses digits (a difference of nearly equal numbers, or a rounding to 0 or 1)",
        bad.label,
        difference=mine,
    )


def _only_rounding(bad: Function, good: Function, case: Case) -> bool:
    """Tell whether the error in float32 is no larger than the rounding of numbers as large as the inputs."""
    largest = max((float(np.abs(case.arrays[n]).max(initial=0)) for n in floating(case)), default=0.0)
    a, b = bad.result(case, "float32"), good.result(case.in_dtype("float32").in_dtype("float64"))
    if a is None or b is None or a.value.shape != b.value.shape:
        return False
    return float(np.abs(a.value - b.value).max(initial=0)) <= 16 * 2.0**-24 * max(1.0, largest)


def _sixteen_bit(question: Question) -> Diagnosis | None:
    """Where the comparison failed in 16 bits alone: one side's sum is far less right than the other's."""
    seen = {str(row.get("dtype")) for row in question.evidence.found}
    for dtype, unit in (("bfloat16", 2.0**-8), ("float16", 2.0**-11)):
        for case in question.evidence.cases if dtype in seen else []:
            errors = [_error32(f, case, dtype) for f in question.pair]
            for i, (bad, good) in enumerate(question.directions()):
                mine, its = errors[i], errors[1 - i]
                if mine is not None and its is not None and mine > 4 * unit and mine > 6 * max(its, unit):
                    return question.says(
                        "low_precision_accumulation",
                        f"both agree in float64 and float32; in {dtype} {bad.name} is right to {mine:.1e} only in "
                        f"the case '{case.name}' ({case.rows} rows), {good.name} to {its:.1e}: {bad.name} adds up in "
                        f"{dtype} itself",
                        bad.label,
                        difference=mine,
                    )
    return None


def _error32(which: Function, case: Case, dtype: str = "float32") -> float | None:
    """Return the relative error of a side's result in a dtype, by its own float64 result on the rounded inputs."""
    single = which.result(case, dtype)
    exact = which.result(case.in_dtype(dtype).in_dtype("float64"))
    if single is None or exact is None or not finite(single) or not finite(exact):
        return None
    return apart(single, exact)


def eps_placement(question: Question) -> Diagnosis | None:
    """The values differ by a small, smooth amount that depends on the inputs: an eps in another place."""
    pairs = question.results(question.telling)
    if any(a.value.shape != b.value.shape for a, b in pairs) or not pairs:
        return None
    gaps = [apart(a, b) for a, b in pairs]
    typical = float(np.median(gaps))
    if not 1e-14 < typical < 2e-2:
        return None
    a, b = question.pair
    eps = 10.0 ** round(float(np.log10(typical)))
    where = ""
    for name, scale in [(n, s) for n in question.cases[0].wrt for s in (0.1, 10.0, 0.3, 3.0)]:
        moved = []
        for case in question.telling[:2]:
            got = question.results([case.with_arrays(**{name: case.arrays[name] * scale})])
            if got and finite(got[0][0]) and finite(got[0][1]):
                moved.append(apart(*got[0]))
        before = max(gaps[:2])
        if moved and (max(moved) > 2.5 * before or max(moved) < before / 2.5):
            way = "larger" if max(moved) > before else "smaller"
            where = f", and {way} ({show(max(moved))}) where {name} is {show(scale)} times as large"
            break
    if not where and not typical < 1e-3:
        return None
    return question.says(
        "eps_placement",
        f"{b.name} and {a.name} differ by about {show(typical)} of the value, smoothly, by another amount in "
        f"each case{where}: "
        f"as if an eps of about {eps:.0e} were added in one and not in the other, or in another place (inside "
        "or outside a "
        "root, logarithm or denominator)",
        eps=eps,
    )
