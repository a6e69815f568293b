"""The answer to one cell: every implementation, every probe, one row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from xloss.catalog import Loss, Unsupported, Variant, get
from xloss.parity import truth
from xloss.parity.cells import MAIN_DTYPE, Cell
from xloss.parity.diagnosis import explain
from xloss.parity.inputs import Draw
from xloss.parity.mechanisms import Framework, Problem, load
from xloss.parity.mechanisms.base import Directions, Task
from xloss.parity.probes import Draws, Probe, probes
from xloss.parity.reference import Reference
from xloss.parity.verdict import judge

FRAMEWORKS = ("torch", "jax")
OURS = "xloss"
# Binary digits and least exponent of each dtype: what truth must be far more precise than.
DIGITS = {"float64": (53, -1074), "float32": (24, -149), "bfloat16": (8, -133), "float16": (11, -24)}


def check(cell: Cell, frameworks: tuple[str, ...] = FRAMEWORKS, with_peers: bool = True,
          programs: dict[Any, Any] | None = None) -> list[dict[str, Any]]:  # fmt: skip
    """Check one cell; a row (a mapping with the columns of the sweep) for every check.

    `programs`, handed from cell to cell of one loss, variant and dtype, keeps compiled programs for the next regime.
    """
    loss = get(cell.loss)
    variant = loss.variant(cell.variant)
    arrays, reference = exact(cell, loss, variant)
    shape = reference.exact.values.shape
    wrt = differentiable(loss, arrays)
    batched = batch_arguments(loss, variant, arrays)
    batch = cell_batch(loss, arrays)
    draws = draw_directions(cell, arrays, wrt, shape)
    plan = list(probes(cell, loss, loss.reductions, wrt, batched, batch))
    memory: dict[str, dict[str, Any]] = {}
    programs = {} if programs is None else programs
    by = reference.denominator("mean")
    rows = []
    for name in frameworks:
        if cell.light and name == "jax" and len(frameworks) > 1:
            continue
        framework = load(name)
        device = framework.device(cell.device)
        with framework.scope(cell.dtype):
            put = lambda array: framework.put(array, device, cell.regime != "noncontiguous")  # noqa: B023, E731
            ready = {key: put(array) for key, array in arrays.items()}
            directions = Directions(put(draws.cotangent), {key: put(array) for key, array in draws.tangents.items()})
            problem = Problem(
                loss.implementation(name),
                ready,
                variant.options,
                "none",
                wrt,
                batched,
                float(by) if by != 0 else float("nan"),
                reference.exact.factors is not None,
            )
            for implementation, function in contestants(loss, name, with_peers and _peers_too(cell, name, variant)):
                asked = [
                    probe for probe in plan if name in probe.frameworks and (probe.peers or implementation == OURS)
                ]
                running = [probe for probe in asked if not probe.reason]
                tasks = [_task(framework, probe, replace(problem, function=function), cell) for probe in running]
                key = (
                    name,
                    implementation,
                    arrays_key(arrays),
                    tuple((p.mechanism, p.reduction) for p in running if not p.alone),
                )
                outcomes = framework.run(tasks, directions, programs, key)
                answers = dict(zip(map(id, running), outcomes, strict=True))
                for probe in asked:
                    if probe.key not in memory and not probe.reason:
                        memory[probe.key] = probe.expect(reference, draws)
                    rows += _rows(
                        cell, framework, implementation, probe, answers.get(id(probe)), memory, reference, arrays
                    )
    return rows


def contestants(loss: Loss, framework: str, with_peers: bool) -> list[tuple[str, Any]]:
    """Who is measured in a framework: xloss's own implementation, and its peers."""
    peers = [(peer.name, peer.call) for peer in loss.peers if peer.framework == framework]
    return [(OURS, loss.implementation(framework)), *(peers if with_peers else [])]


def _peers_too(cell: Cell, framework: str, variant: Variant) -> bool:
    """JAX compiles anew for every dtype and shape, so that a sweep that is not full asks its peers where it tells most."""
    telling = cell.dtype == MAIN_DTYPE and cell.shape == variant.shapes[0] and cell.regime not in ("empty", "one")
    return cell.full or framework == "torch" or telling


def arrays_key(arrays: Mapping[str, np.ndarray]) -> tuple[Any, ...]:
    """What a compiled program depends on."""
    return tuple((name, array.shape, array.dtype.name) for name, array in arrays.items())


def _task(framework: Framework, probe: Probe, problem: Problem, cell: Cell) -> Task:
    problem = problem.of(probe.reduction)
    if probe.reduction != "mean":
        problem = replace(
            problem, denominator=float(problem.rows()) if probe.reduction == "batchmean" and problem.batched else 1.0
        )
    return Task(
        lambda p, d: probe.run(framework, p, d),
        problem,
        probe.alone,
        fast_compile(cell, probe),
    )


def fast_compile(cell: Cell, probe: Probe) -> bool:
    """Tell whether the compiler may leave out optimizations: in all but the values and the gradient of a first variant.

    Those are what a user's own `jit` makes of them. What transformations, options, dtypes and shapes do shows without.
    """
    first = get(cell.loss).variants[0]
    main = cell.shape == first.shapes[0] and cell.dtype == MAIN_DTYPE and cell.regime not in ("empty", "one")
    telling = (probe.mechanism, probe.reduction) in (("value", "none"), ("backward", "mean"))
    return not (cell.variant == first.name and telling and (main or cell.full))


def exact(cell: Cell, loss: Loss, variant: Variant, order: int = 2) -> tuple[dict[str, np.ndarray], Reference]:
    """The inputs of a cell, and its exact results with derivatives up to `order`."""
    arrays = loss.inputs(Draw(loss, variant, cell.shape, cell.regime, cell.dtype, cell.seed))
    wrt = differentiable(loss, arrays)
    result = truth.evaluate(
        loss.truth, arrays, variant.options, wrt, loss.arguments.class_axes, order, *DIGITS[cell.dtype]
    )
    smooth = (
        None
        if loss.domain.differentiable_mask is None
        else np.asarray(loss.domain.differentiable_mask(**arrays, **variant.options))
    )
    if cell.regime == "subnormal" and loss.domain.kinks:
        # Which side of a kink a subnormal number is on, XLA does not say: it takes it for 0.
        smooth = np.zeros(result.values.shape, dtype=bool)
    return arrays, Reference(result, smooth, cell_batch(loss, arrays))


def differentiable(loss: Loss, arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The arguments to differentiate by: those of the loss's that are there, and floating."""
    return tuple(name for name in loss.arguments.wrt if name in arrays and arrays[name].dtype.kind not in "iub")


def batch_arguments(loss: Loss, variant: Variant, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The arguments that have the batch in this cell, and along which axis."""
    first = next(iter(arrays.values()))
    if not first.ndim or variant.unbatched or variant.broadcast or not variant.per_sample:
        return {}
    batch = cell_batch(loss, arrays)
    return {
        name: axis
        for name, axis in loss.arguments.batch_axes.items()
        if name in arrays and arrays[name].ndim > axis and arrays[name].shape[axis] == batch
        # One of another rank is broadcast, unless it is a label for each row; or the loss says where its batch is.
        and (
            isinstance(loss.arguments.batched, Mapping)
            or arrays[name].ndim == first.ndim
            or (name in ("input", "target") and arrays[name].ndim == first.ndim - 1)
        )
    }  # fmt: skip


def cell_batch(loss: Loss, arrays: Mapping[str, np.ndarray]) -> int:
    """The size of the batch, as the first argument has it; 1 where it has no such axis."""
    name, first = next(iter(arrays.items()))
    axis = loss.arguments.batch_axes.get(name, 0)
    return first.shape[axis] if first.ndim > axis else 1


def draw_directions(
    cell: Cell, arrays: Mapping[str, np.ndarray], wrt: tuple[str, ...], shape: tuple[int, ...]
) -> Draws:
    """Cotangent and tangents: sixteenths, exact in every dtype."""
    rng = np.random.default_rng([cell.seed, 7])
    some = lambda of: np.asarray(rng.integers(-24, 25, of) / 16).astype(arrays[wrt[0]].dtype)  # noqa: E731
    return Draws(some(shape), {name: some(arrays[name].shape) for name in wrt})


def _rows(cell: Cell, framework: Framework, implementation: str, probe: Probe, outcome: Any, memory: dict[str, Any],
          reference: Reference, arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:  # fmt: skip
    """Judge what one probe of one implementation gave: one row for the value and for each argument."""
    result, seconds = outcome or (None, 0.0)
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
    }
    if outcome is None or isinstance(result, Exception):
        status, reason = _failure(probe, result)
        numbers = dict.fromkeys(("max_abs", "max_rel", "max_ulp", "p99_ulp", "budget"), float("nan"))
        row = {**common, "argument": "", **numbers, "status": status, "reason": reason, "seconds": seconds}
        return [{**row, "case_id": _case(cell, row)}]
    rows = []
    for argument, expected in memory[probe.key].items():
        kind = "value" if argument == "" and probe.kind == "first" and probe.alone else probe.kind
        assert result is not None
        got = framework.get(result[argument])
        verdict = judge(got, expected, cell.dtype, kind)
        reason = verdict.reason
        if not verdict.ok:
            cause = explain(got, expected, sizes(reference, arrays))
            reason = f"{reason}; {cause}" if cause else reason
        row = {
            **common,
            "argument": argument,
            "max_abs": verdict.max_abs,
            "max_rel": verdict.max_rel,
            "max_ulp": verdict.max_ulp,
            "p99_ulp": verdict.p99_ulp,
            "budget": verdict.budget,
            "status": "ok" if verdict.ok else "inaccurate",
            "reason": reason,
            "seconds": seconds / len(memory[probe.key]),
        }
        rows.append({**row, "case_id": _case(cell, row)})
    return rows


def _failure(probe: Probe, error: Exception | None) -> tuple[str, str]:
    """Status and reason of a probe that was not run, or raised."""
    if error is None:
        return "unsupported", probe.reason
    if isinstance(error, Unsupported):
        return "unsupported", str(error)
    if isinstance(error, NotImplementedError):  # what PyTorch raises where a kernel lacks a dtype
        return "unsupported", f"{error}".split("\n")[0][:300]
    status = "oom" if "out of memory" in str(error).lower() or "RESOURCE_EXHAUSTED" in str(error) else "error"
    return status, f"{type(error).__name__}: {error}".split("\n")[0][:300]


def _case(cell: Cell, row: Mapping[str, Any]) -> str:
    check = "/".join(
        str(row.get(key, "")) for key in ("implementation", "framework", "mechanism", "reduction", "argument")
    )
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
