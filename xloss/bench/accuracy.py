"""How many units in the last place an implementation is off, against the exact result: tracked like a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from xloss.bench.workload import Work, _batch_axes, contestant, forgiving
from xloss.catalog import Loss, Unsupported, get
from xloss.parity.inputs import DTYPES, Draw, applicable

METRICS = ("value_worst", "value_p99", "gradient_worst", "gradient_p99")
# Where digits are lost: at typical inputs almost nothing is.
REGIMES = ("typical", "large", "tiny", "confident", "badly_wrong")
ROWS = 48
# What stands for a NaN or an infinity where a number is right. (asv's pages cannot hold an infinity.)
LOST = 1e18


def ulps(work: Work) -> dict[str, float]:
    """Worst and 99th percentile over all elements in `REGIMES`, in ulps of the work's dtype, by `METRICS`.

    Of unreduced values, and of the gradient of their sum by every differentiable argument. `Unsupported` where the
    implementation has no unreduced values.
    """
    from xloss.parity.mechanisms import load

    loss = get(work.loss)
    function = contestant(loss, work.framework, work.implementation)
    framework = load(work.framework)
    device = framework.device(work.device)
    off: dict[str, list[np.ndarray]] = {"value": [], "gradient": []}
    programs: dict[Any, Any] = {}
    for arrays, expected in _references(loss, work.dtype):
        with framework.scope(work.dtype):
            ready = {name: framework.put(array, device) for name, array in arrays.items()}
            with forgiving(work):
                answers = _answers(work, loss, function, ready, _wrt(loss, arrays), programs)
            for name, answer in answers.items():
                off["value" if name == "" else "gradient"].append(
                    _off(framework.get(answer), expected[name], work.dtype)
                )
    pooled = {kind: np.concatenate(parts) if parts else np.zeros(0) for kind, parts in off.items()}
    out = {}
    for kind, values in pooled.items():
        if not values.size:
            raise Unsupported(f"{loss.name}: there is nothing to measure in {', '.join(REGIMES)}")
        out[f"{kind}_worst"] = float(values.max())
        out[f"{kind}_p99"] = float(np.quantile(values, 0.99, method="higher"))
    return out


def _wrt(loss: Loss, arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    return tuple(name for name in loss.arguments.wrt if name in arrays and arrays[name].dtype.kind not in "iub")


def _references(loss: Loss, dtype: str) -> Iterator[tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """Inputs, and what is right for them: by argument, "" the values."""
    import flint

    from xloss.parity import truth
    from xloss.parity.inputs import DIGITS
    from xloss.parity.reference import expected

    variant = loss.variants[0]
    shape = variant.shapes[0]
    axes = _batch_axes(loss)
    axis = next(iter(axes.values()), None)
    # The derivatives of a loss whose samples are coupled, or of arguments that they share, cost an evaluation each.
    apart = loss.arguments.class_axes is not None and axis is not None and set(loss.arguments.wrt) <= set(axes)
    if apart and axis is not None and len(shape) > axis:
        shape = (*shape[:axis], ROWS, *shape[axis + 1 :])
    for regime in REGIMES:
        if regime not in applicable(loss, variant):
            continue
        arrays = loss.inputs(Draw(loss, variant, shape, regime, dtype))
        wrt = _wrt(loss, arrays)
        exact = truth.evaluate(loss.truth, arrays, variant.options, wrt, loss.arguments.class_axes, 1, *DIGITS[dtype])
        first = exact.first
        if loss.domain.differentiable_mask is not None:
            # Where a convention rules, the formula's derivative is not what is right.
            smooth = np.asarray(loss.domain.differentiable_mask(**arrays, **variant.options))
            first = [np.where(smooth, x, np.array(flint.arb("nan"), dtype=object)) for x in first]
        with flint.ctx.workprec(exact.precision):
            right = {"": exact.values, **{name: exact.scatter(name, first) for name in wrt}}
            out = {name: expected(balls, 0.0, 0.0) for name, balls in right.items()}
        yield arrays, out


def _answers(
    work: Work, loss: Loss, function: Any, arrays: Mapping[str, Any], wrt: tuple[str, ...], programs: dict[Any, Any]
) -> dict[str, Any]:
    """Values under "", gradients by argument."""
    names, options = tuple(arrays), loss.variants[0].options

    def values(*given: Any) -> Any:
        return function(**dict(zip(names, given, strict=True)), **options, reduction="none")

    if work.framework == "jax":
        import jax
        import jax.numpy as jnp

        def both(*given: Any) -> Any:
            out, pull = jax.vjp(
                lambda *xs: values(*_with(given, names, wrt, xs)), *(given[names.index(n)] for n in wrt)
            )
            return out, pull(jnp.ones_like(out))

        program = programs.setdefault(names, jax.jit(both))
        out, gradients = program(*arrays.values())
        return {"": out, **dict(zip(wrt, gradients, strict=True))}
    import torch

    if names not in programs:
        compiled = work.mode == "compile"
        programs[names] = torch.compile(values, fullgraph=True, dynamic=False) if compiled else values
    given = [x.detach().requires_grad_() if name in wrt else x for name, x in arrays.items()]
    leaves = [given[names.index(name)] for name in wrt]
    out = programs[names](*given)
    gradients = torch.autograd.grad(out, leaves, torch.ones_like(out), allow_unused=True)
    gradients = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(gradients, leaves, strict=True)]
    return {"": out, **dict(zip(wrt, gradients, strict=True))}


def _with(given: tuple[Any, ...], names: tuple[str, ...], wrt: tuple[str, ...], xs: tuple[Any, ...]) -> list[Any]:
    changed = dict(zip(wrt, xs, strict=True))
    return [changed.get(name, x) for name, x in zip(names, given, strict=True)]


def _off(got: np.ndarray, expected: Any, dtype: str) -> np.ndarray:
    """The error of each element that has an exact value, in ulps of the dtype, at most `LOST`."""
    import ml_dtypes

    from xloss.parity.verdict import ulp

    info = ml_dtypes.finfo(DTYPES[dtype])
    wide = got.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs((wide - expected.high) - expected.low)
        beyond = np.isinf(wide) & (np.abs(expected.high) > float(info.max)) & (np.sign(wide) == np.sign(expected.high))
        error = np.where((wide == expected.high) | beyond, 0.0, error)
        # What is flushed to 0 is not counted in ulps, of which it would be millions.
        tiny = 4 * float(info.smallest_normal)
        flushed = (np.abs(expected.high) < tiny) & (error <= tiny)
        off = np.where(flushed, 0.0, error / ulp(dtype, expected.high))
    off = np.minimum(np.nan_to_num(off, nan=LOST, posinf=LOST), LOST)
    return np.ravel(off[~np.isnan(expected.high)])
