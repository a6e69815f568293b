"""The same losses of the samples, put together otherwise: a mean of means, a broadcast, a clipped value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xloss.compare.diagnosis.evidence import Diagnosis
from xloss.compare.diagnosis.inputs import mapped, of_changed
from xloss.compare.diagnosis.question import Function, Model, Question, equal, floating, show
from xloss.compare.run import Case


def mean_of_means(question: Question) -> Diagnosis | None:
    """B = the mean over rows (or micro-batches) of A of each alone."""
    case = question.cases[0]
    if not case.batched or case.rows < 2:
        return None
    for base, deviating in question.directions():
        for parts in (0, 2, 4):  # 0: each row alone
            if parts and any(c.rows % parts or c.rows == parts for c in question.telling):
                continue
            for drop in (True, False):
                model = _mean_over(base, parts, drop)
                if question.explains(model, deviating, question.telling[:3]):
                    if not parts and (outer := _broadcast(question)):
                        return outer  # one row alone has no other to be paired with
                    what = f"{parts} micro-batches" if parts else "rows"
                    return question.says(
                        "mean_of_means",
                        f"{deviating.name} = the mean over the {what} of {base.name} of each alone: "
                        f"{deviating.name} takes the "
                        f"mean of {'each' if parts else 'each row'} first, then the mean of these; {base.name} "
                        "one mean over all",
                        parts=parts,
                    )
    return None


def _mean_over(base: Function, parts: int, drop: bool) -> Model:
    def model(case: Case) -> np.ndarray | None:
        size = case.rows // parts if parts else 1
        values = [base.value(case.row(slice(i, i + size))) for i in range(0, case.rows, size)]
        if any(v is None or v.ndim for v in values):
            return None
        array = np.array([float(v) for v in values if v is not None])
        good = array[np.isfinite(array)]
        if not good.size:
            return None
        return np.asarray(good.mean() if drop else np.where(np.isfinite(array), array, 0.0).mean())

    return model


def wrong_shape(question: Question) -> Diagnosis | None:
    """The value has another shape: an outer product by broadcasting, a kept dimension, no reduction."""
    pairs = question.results()
    a, b = pairs[0]
    if a.value.shape == b.value.shape:
        return _broadcast(question)
    first, second = question.pair
    shapes = f"the value of {first.name} has the shape {a.value.shape}, that of {second.name} {b.value.shape}"
    if a.value.size == b.value.size and all(equal(x.value.ravel(), y.value.ravel()) for x, y in pairs):
        return question.says(
            "wrong_shape", f"{shapes}, with the same elements: a dimension of size 1 is kept or dropped"
        )
    for base, deviating in question.directions():
        for words, function in REDUCED.items():
            if question.explains(_reduced(base, function), deviating, question.cases[:3]):
                return question.says(
                    "wrong_shape",
                    f"{shapes}: {deviating.name} is {words} of {base.name}, which is not reduced as far",
                    reduction=words,
                )
        small, large = base.value(question.cases[0]), deviating.value(question.cases[0])
        if small is None or large is None or large.ndim != small.ndim + 1 or large.ndim < 2:
            continue
        if large.shape[0] != large.shape[1]:
            continue
        if equal(np.moveaxis(np.diagonal(large), -1, 0), small):
            return question.says(
                "wrong_shape",
                f"{shapes}: the diagonal of {deviating.name} is {base.name}; shapes like (N, 1) and (N,) were "
                "broadcast to (N, N)",
                deviating.label,
            )
    return question.says("wrong_shape", shapes)


REDUCED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "the mean": lambda v: np.asarray(v.mean()),
    "the sum": lambda v: np.asarray(v.sum()),
    "the mean over the last axis": lambda v: v.mean(axis=-1),
    "the sum over the last axis": lambda v: v.sum(axis=-1),
    "the mean over all but the first axis": lambda v: v.reshape(v.shape[0], -1).mean(axis=1),
    "the sum over all but the first axis": lambda v: v.reshape(v.shape[0], -1).sum(axis=1),
    "the mean over axis 0": lambda v: v.mean(axis=0),
}


def _reduced(base: Function, function: Callable[[np.ndarray], np.ndarray]) -> Model:
    def model(case: Case) -> np.ndarray | None:
        value = base.value(case)
        return None if value is None or not value.ndim else np.asarray(function(value))

    return model


def _broadcast(question: Question) -> Diagnosis | None:
    """A mean over every pair of rows: (N, 1) against (N,) broadcast to (N, N), then reduced."""
    case = question.cases[0]
    names = case.batch_arguments()
    if len(names) < 2 or case.rows < 2:
        return None
    for moved in names:

        def pairs(c: Case, moved: str = moved) -> Case:
            out = {n: np.repeat(c.arrays[n], c.rows, axis=0) for n in c.batch_arguments()}
            out[moved] = np.concatenate([c.arrays[moved]] * c.rows)
            return c.with_arrays(**out)

        for base, deviating in question.directions():
            for words, scale in (("mean", 0), ("sum", 1)):
                model = _scaled(of_changed(base, pairs), scale)
                if question.explains(model, deviating, question.telling[:2]):
                    return question.says(
                        "wrong_shape",
                        f"{deviating.name} is the {words} over all N*N pairs of a row with the {moved} of "
                        "every row: shapes like "
                        f"(N, 1) and (N,) were broadcast to (N, N); {base.name} pairs each row with its own",
                        deviating.label,
                        argument=moved,
                    )
    return None


def _scaled(model: Model, scale: int) -> Model:
    def scaled(case: Case) -> np.ndarray | None:
        value = model(case)
        return None if value is None else np.asarray(value / case.rows) if scale else value

    return scaled


def clipped_value(question: Question) -> Diagnosis | None:
    """B = min(A, c) or max(A, c), of the value or of each row's."""
    for base, deviating in question.directions():
        whole = [
            (a.value, b.value) for a, b in ((base.result(c), deviating.result(c)) for c in question.cases) if a and b
        ]
        if (limit := _clip_limit(whole)) is not None:
            return _clipped(question, base, deviating, limit, "the value")
    case = question.cases[0]
    if not case.batched or case.rows < 2:
        return None
    rows = [case.row(slice(i, i + 1)) for c in question.telling[:2] for case in [c] for i in range(min(c.rows, 16))]
    for base, deviating in question.directions():
        values = [(base.value(r), deviating.value(r)) for r in rows]
        each = [(a, b) for a, b in values if a is not None and b is not None]
        if (limit := _clip_limit(each)) is not None:
            return _clipped(question, base, deviating, limit, "the value of each row")
    return None


def _clip_limit(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, str] | None:
    """Return the limit and "at most" or "at least" where the second of each pair is the first clipped, at "
    "least twice."""
    a = np.concatenate([x.ravel() for x, _ in pairs]) if pairs else np.zeros(0)
    b = np.concatenate([y.ravel() for _, y in pairs]) if pairs else np.zeros(0)
    if a.shape != b.shape or not a.size or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    moved = np.abs(a - b) > 1e-6 * np.maximum(np.abs(a), 1e-3)
    if moved.sum() < 2 or moved.all():
        return None
    limit = float(b[moved][0])
    if np.ptp(b[moved]) > 1e-6 * max(abs(limit), 1e-3):
        return None
    if (a[moved] > limit).all() and (a[~moved] <= limit * (1 + 1e-6) + 1e-12).all():
        return limit, "at most"
    if (a[moved] < limit).all() and (a[~moved] >= limit * (1 - 1e-6) - 1e-12).all():
        return limit, "at least"
    return None


def _clipped(
    question: Question, base: Function, deviating: Function, limit: tuple[float, str], what: str
) -> Diagnosis:  # fmt: skip
    number, way = limit
    meaning = f" = -log({show(float(np.exp(-number)))})" if 1 < number < 750 and way == "at most" else ""
    return question.says(
        "clipped_value",
        f"{deviating.name} is {base.name} with {what} clipped to {way} {show(number)}{meaning}: where it is "
        "clipped its "
        "gradient is zero",
        deviating.label,
        limit=number,
    )


def clipped_probabilities(question: Question) -> Diagnosis | None:
    """B(p) = A(p clipped to [eps, 1 - eps])."""
    case = question.cases[0]
    limits = [10.0**-k for k in range(1, 17)] + [float(np.finfo(t).eps) for t in (np.float32, np.float64, np.float16)]
    for name in case.wrt:
        if not all((c.arrays[name] >= 0).all() for c in question.telling):
            continue
        for eps in limits:
            for top in (1 - eps, 1.0, np.inf):
                for base, deviating in question.directions():

                    def change(c: Case, name: str = name, eps: float = eps, top: float = top) -> Case:
                        return c.with_arrays(**{name: np.clip(c.arrays[name], eps, top)})

                    if question.explains(of_changed(base, change), deviating):
                        ends = f"[{eps:.3g}, {'1 - ' + f'{eps:.3g}' if top < 1 else top:}]"
                        return question.says(
                            "clipped_value",
                            f"{deviating.name}({name}) = {base.name}({name} clipped to {ends}), value and gradients",
                            deviating.label,
                            limit=eps,
                        )
    return None


def biased_variance(question: Question) -> Diagnosis | None:
    """B(x) = A(x spread about its mean by sqrt(n/(n-1))): a variance divided by n - 1 in place of n."""
    for name in floating(question.cases[0]):
        array = question.cases[0].arrays[name]
        for axis in dict.fromkeys([0, array.ndim - 1, None]) if array.ndim else []:
            for base, deviating in question.directions():

                def spread(x: np.ndarray, axis: int | None = axis) -> np.ndarray:
                    n = x.size if axis is None else x.shape[axis]
                    mean = x.mean(axis=axis, keepdims=True)
                    return np.asarray(mean + (x - mean) * np.sqrt(n / (n - 1))) if n > 1 else x

                if question.explains(of_changed(base, mapped(name, spread)), deviating):
                    return question.says(
                        "biased_variance",
                        f"{deviating.name} is {base.name} with the variance of {name} times n/(n - 1): "
                        f"{deviating.name} divides by n - 1 (unbiased), {base.name} by n",
                        argument=name,
                    )
    return None
