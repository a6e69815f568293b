"""How many units in the last place an implementation is off, against the exact result: tracked like a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xloss.bench.runner import implementation, peer_errors_as_unsupported, specifics
from xloss.bench.workload import Workload
from xloss.catalog import Loss, Unsupported, Variant
from xloss.parity.inputs import Draw, applicable

if TYPE_CHECKING:
    from xloss.parity.expected import Expected

METRICS = ("value_worst", "value_p99", "gradient_worst", "gradient_p99")
# Where digits are lost: at typical inputs almost none are.
REGIMES = ("typical", "large", "tiny", "confident", "badly_wrong")
# The batch, where a row costs little.
ROWS = 48
# The error in ulps that stands for a NaN or an infinity where a finite number is right: asv's pages cannot hold an
# infinity, and no error of a finite float32 is larger.
LOST = 1e18


def ulps(loss: Loss, workload: Workload) -> dict[str, float]:
    """Return the worst and the 99th percentile over all elements in `REGIMES`, in ulps of the dtype, by `METRICS`.

    Of unreduced values, and of the gradient of their sum by every differentiable argument. `Unsupported` where the
    implementation has no unreduced values.
    """
    from xloss.parity.mechanisms import load
    from xloss.parity.verdict import errors_in_ulps

    contestant, variant = workload.contestant, workload.variant_of(loss)
    function = implementation(loss, contestant)
    framework = load(contestant.framework)
    device = framework.device(workload.device)
    errors: dict[str, list[np.ndarray]] = {"value": [], "gradient": []}
    programs: dict[Any, Any] = {}
    for arrays in draw(loss, variant, workload.dtype):
        exact = _exact(loss, variant, workload.dtype, arrays)
        names, wrt = tuple(arrays), loss.arguments.differentiable(arrays)

        def values(*given: Any, names: tuple[str, ...] = names) -> Any:
            return function(**dict(zip(names, given, strict=True)), **variant.options, reduction="none")

        if (names, wrt) not in programs:
            specific = specifics(contestant.framework)
            programs[names, wrt] = specific.values_and_gradients(values, names, wrt, contestant.mode)
        with framework.scope(workload.dtype):
            ready = [framework.put(array, device) for array in arrays.values()]
            with peer_errors_as_unsupported(workload):
                results = programs[names, wrt](*ready)
            for name, result in results.items():
                off = errors_in_ulps(framework.get(result), exact[name], workload.dtype)
                errors["gradient" if name else "value"].append(np.minimum(off[~np.isnan(off)], LOST))
    out = {}
    for kind, parts in errors.items():
        pooled = np.concatenate(parts) if parts else np.zeros(0)
        if not pooled.size:
            raise Unsupported(f"{loss.name}: there is nothing to measure in {', '.join(REGIMES)}")
        out[f"{kind}_worst"] = float(pooled.max())
        out[f"{kind}_p99"] = float(np.quantile(pooled, 0.99, method="higher"))
    return out


def draw(loss: Loss, variant: Variant, dtype: str) -> Iterator[dict[str, np.ndarray]]:
    """Draw the inputs of each of `REGIMES` that applies to the variant."""
    shape, axes = variant.shapes[0], loss.arguments.batch_axes
    axis = next(iter(axes.values()), len(shape))
    # The derivatives of a loss whose samples are coupled, or of arguments that they share, cost an evaluation each.
    cheap = loss.arguments.class_axes is not None and set(loss.arguments.wrt) <= set(axes)
    if cheap and axis < len(shape):
        shape = (*shape[:axis], ROWS, *shape[axis + 1 :])
    for regime in REGIMES:
        if regime in applicable(loss, variant):
            yield loss.inputs(Draw(loss, variant, shape, regime, dtype))


def _exact(loss: Loss, variant: Variant, dtype: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Expected]:
    """Compute the exact values, under "", and the exact gradient of their sum by argument."""
    import flint

    from xloss.parity.evaluate import reference_of
    from xloss.parity.reference import expected

    reference = reference_of(loss, variant, arrays, dtype, order=1)
    exact = reference.exact
    first = [reference.where_differentiable(derivative) for derivative in exact.first]
    with flint.ctx.workprec(exact.precision):
        gradients = {name: exact.scatter(name, first) for name in loss.arguments.differentiable(arrays)}
        return {name: expected(balls, 0.0, 0.0) for name, balls in {"": exact.values, **gradients}.items()}
