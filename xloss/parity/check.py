"""The answer to one cell: every implementation, every probe, one row each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from xloss import truth
from xloss.catalog import Loss, Peer, Unsupported, Variant, get
from xloss.frameworks import Framework, Problem, load
from xloss.inputs import Draw
from xloss.parity.cells import Cell
from xloss.parity.diagnosis import explain
from xloss.parity.mechanisms import Draws, Probe, probes
from xloss.parity.reference import Reference
from xloss.parity.verdict import judge

FRAMEWORKS = ("torch", "jax")
OURS = "xloss"
# Binary digits and least exponent of each dtype: what truth must be far more precise than.
DIGITS = {"float64": (53, -1074), "float32": (24, -149), "bfloat16": (8, -133), "float16": (11, -24)}


def check(cell: Cell, frameworks: tuple[str, ...] = FRAMEWORKS, with_peers: bool = True,
          programs: dict[Any, Any] | None = None) -> list[dict[str, Any]]:  # fmt: skip
    """Check one cell; a row (a mapping with the columns of the sweep) for every check.

    `programs`, handed from cell to cell of one loss and variant, keeps compiled programs for the next regime.
    """
    loss = get(cell.loss)
    variant = loss.variant(cell.variant)
    arrays, reference = exact(cell, loss, variant)
    shape = reference.exact.values.shape
    wrt = differentiable(loss, arrays)
    batched = batch_arguments(loss, variant, arrays)
    batch = cell_batch(arrays)
    draws = draw_directions(cell, arrays, wrt, shape)
    plan = list(probes(cell, loss, variant.reductions or loss.reductions, wrt, batched, batch, draws,
                       {} if programs is None else programs))  # fmt: skip
    memory: dict[str, dict[str, Any]] = {}
    rows = []
    for name in frameworks:
        framework = load(name)
        device = framework.device(cell.device)
        contestants = [(OURS, loss.implementation(name))]
        if with_peers:
            contestants += [(peer.name, peer.call) for peer in loss.peers if peer.framework == name]
        with framework.scope(cell.dtype):
            contiguous = cell.regime != "noncontiguous"
            ready = {key: framework.put(array, device, contiguous) for key, array in arrays.items()}
            for implementation, function in contestants:
                problem = Problem(function, ready, variant.options, "none", wrt, batched, _denominator(reference))
                for probe in plan:
                    if name in probe.frameworks and (implementation == OURS or probe.peers):
                        rows += _answer(cell, framework, implementation, problem, probe, reference, memory, arrays)
    return rows


def exact(cell: Cell, loss: Loss, variant: Variant) -> tuple[dict[str, np.ndarray], Reference]:
    """The inputs of a cell, and its exact results."""
    arrays = loss.inputs(Draw(loss, variant, cell.shape, cell.regime, cell.dtype, cell.seed))
    wrt = differentiable(loss, arrays)
    result = truth.evaluate(loss.truth, arrays, variant.options, wrt, loss.row_axis, 2, *DIGITS[cell.dtype])
    smooth = None if loss.smooth is None else np.asarray(loss.smooth(**arrays, **variant.options))
    if cell.regime == "subnormal" and loss.kinks:
        # Which side of a kink a subnormal number is on, XLA does not say: it takes it for 0.
        smooth = np.zeros(result.values.shape, dtype=bool)
    return arrays, Reference(result, smooth, cell_batch(arrays))


def differentiable(loss: Loss, arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The arguments to differentiate by: those of the loss's that are there, and floating."""
    return tuple(name for name in loss.wrt if name in arrays and arrays[name].dtype.kind not in "iub")


def batch_arguments(loss: Loss, variant: Variant, arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The arguments that have the batch along their first axis in this cell."""
    first = next(iter(arrays.values()))
    if not first.ndim or "unbatched" in variant.flags:
        return ()
    return tuple(
        name
        for name in loss.batched
        if name in arrays and arrays[name].ndim and arrays[name].shape[0] == first.shape[0]
        and (name in ("input", "target") or arrays[name].ndim == first.ndim)
        and not (name == "target" and arrays[name].ndim < first.ndim - 1)
        and "broadcast" not in variant.flags
    )  # fmt: skip


def cell_batch(arrays: Mapping[str, np.ndarray]) -> int:
    """The size of the first axis of the first argument; 1 without any."""
    first = next(iter(arrays.values()))
    return first.shape[0] if first.ndim else 1


def draw_directions(cell: Cell, arrays: Mapping[str, np.ndarray], wrt: tuple[str, ...], shape: tuple[int, ...]) -> Draws:
    """Cotangent and tangents: sixteenths, exact in every dtype."""
    rng = np.random.default_rng([cell.seed, 7])
    some = lambda of: np.asarray(rng.integers(-24, 25, of) / 16).astype(arrays[wrt[0]].dtype)  # noqa: E731
    return Draws(some(shape), {name: some(arrays[name].shape) for name in wrt})


def _denominator(reference: Reference) -> float:
    by = reference.denominator("mean")
    return float(by) if by != 0 else float("nan")


def _answer(cell: Cell, framework: Framework, implementation: str, problem: Problem, probe: Probe, reference: Reference,
            memory: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:  # fmt: skip
    """Run one probe of one implementation, and judge what it gives."""
    common = {
        "loss": cell.loss,
        "variant": cell.variant,
        "reduction": probe.reduction,
        "mechanism": probe.mechanism,
        "dtype": cell.dtype,
        "device": cell.device,
        "regime": cell.regime,
        "shape": "x".join(map(str, cell.shape)) or "scalar",
        "implementation": implementation,
        "framework": framework.name,
        "version": framework.version(),
        "seconds": 0.0,
    }

    def failure(status: str, reason: str) -> list[dict[str, Any]]:
        nan = float("nan")
        numbers = dict.fromkeys(("max_abs", "max_rel", "max_ulp", "p99_ulp", "budget"), nan)
        return [{**common, "argument": "", **numbers, "status": status, "reason": reason, "case_id": _case(cell, common)}]

    if probe.reason:
        return failure("unsupported", probe.reason)
    start = time.perf_counter()
    asked = problem.of(probe.reduction)
    if probe.mechanism.startswith(("per_sample", "accumulate")) and probe.reduction == "sum":
        asked = Problem(**{**vars(asked), "denominator": 1.0})
    try:
        results = {name: framework.get(out) for name, out in probe.run(framework, asked).items()}
    except Unsupported as why:
        return failure("unsupported", str(why))
    except Exception as error:  # whatever a contestant raises is a finding about it, and becomes a row
        status = "oom" if "out of memory" in str(error).lower() else "error"
        return failure(status, f"{type(error).__name__}: {error}".split("\n")[0][:300])
    common["seconds"] = time.perf_counter() - start
    key = f"{probe.mechanism.split('.')[0] if probe.mechanism.startswith('per') else probe.mechanism}/{probe.reduction}"
    if key not in memory:
        memory[key] = probe.expect(reference)
    rows = []
    for argument, expected in memory[key].items():
        kind = "value" if argument == "" and probe.mechanism == "compiled" else probe.kind
        verdict = judge(results[argument], expected, cell.dtype, kind)
        reason = verdict.reason
        if not verdict.ok:
            cause = explain(results[argument], expected, sizes(reference, arrays))
            reason = f"{reason}; {cause}" if cause else reason
        row = {**common, "argument": argument}
        rows.append(
            {
                **row,
                "max_abs": verdict.max_abs,
                "max_rel": verdict.max_rel,
                "max_ulp": verdict.max_ulp,
                "p99_ulp": verdict.p99_ulp,
                "budget": verdict.budget,
                "status": "ok" if verdict.ok else "inaccurate",
                "reason": reason,
                "case_id": _case(cell, row),
            }
        )
        row["seconds"] = 0.0
    return rows


def _case(cell: Cell, row: Mapping[str, Any]) -> str:
    check = "/".join(str(row.get(key, "")) for key in ("implementation", "framework", "mechanism", "reduction", "argument"))
    return f"{cell.case_id}#{check}"


def sizes(reference: Reference, arrays: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The numbers that a reduction of this cell may have taken for one another."""
    values = reference.exact.values
    out = {"the number of elements": float(values.size), "the batch": float(reference.batch)}
    if reference.exact.weights is not None:
        weights = np.asarray(reference.exact.weights)
        out["the sum of the weights that count"] = float(reference.exact.denominator)
        out["the number of elements that count"] = float(sum(weight != 0 for weight in np.ravel(weights)))
    first = next(iter(arrays.values()))
    if first.ndim > 1:
        out["the size of the second axis"] = float(first.shape[1])
    return out


__all__ = ["Peer", "check", "exact"]
