"""Evaluate one cell of one loss: prepare the question, run it in each framework, judge the answers, make rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xloss.catalog import FRAMEWORKS, Loss, Unsupported, Variant
from xloss.parity import policy, state, truth_cache
from xloss.parity.cells import NUMBERS, OURS, Cell
from xloss.parity.diagnosis import explain
from xloss.parity.inputs import Draw
from xloss.parity.mechanisms import Framework, Problem, load
from xloss.parity.mechanisms.base import Directions, Outcome, Task, out_of_memory
from xloss.parity.probes import Probe, probes
from xloss.parity.reference import Expected, Reference
from xloss.parity.verdict import judge

Row = dict[str, Any]


@dataclass
class Question:
    """All that a cell asks, in NumPy: nothing in it depends on a framework."""

    loss: Loss
    cell: Cell
    variant: Variant
    arrays: Mapping[str, np.ndarray]
    reference: Reference
    wrt: tuple[str, ...]
    batched: Mapping[str, int]
    directions: Directions
    probes: list[Probe]
    _expected: dict[str, dict[str, Expected]] = field(default_factory=dict)

    def expected(self, probe: Probe) -> dict[str, Expected]:
        """Return what is right for a probe, by argument; computed once for probes that share it."""
        if probe.key not in self._expected:
            self._expected[probe.key] = probe.expect(self.reference, self.directions)
        return self._expected[probe.key]


def evaluate(loss: Loss, cell: Cell, frameworks: tuple[str, ...] = FRAMEWORKS, peers: bool = True,
             programs: dict[Any, Any] | None = None, before: state.Snapshot | None = None) -> list[Row]:  # fmt: skip
    """Judge all implementations of a loss in one cell; return a row (the columns of a sweep) for every check.

    Args:
        loss: any record, of the catalogue or not; `cell.loss` is its name in the rows.
        cell: where it is asked.
        frameworks: which of "torch" and "jax".
        peers: whether the peers of the record are judged as well.
        programs: handed from cell to cell of one loss, variant and dtype, keeps compiled programs for the next regime.
        before: the state of the process that is to be left as it was; None takes it as it is now.
    """
    before = state.Snapshot() if before is None else before
    question = prepare(loss, cell)
    programs = {} if programs is None else programs
    rows: list[Row] = [
        _misdeed(cell, load(frameworks[0]), OURS, *_leak(name, change, " by truth or inputs"))
        for name, change in before.restore()
    ]
    for name in frameworks:
        if cell.torch_only and name == "jax" and len(frameworks) > 1:
            continue
        framework = load(name)
        before.imported()
        for implementation, function in contestants(loss, name, peers and policy.peers_are_asked(loss, cell, name)):
            asked = [p for p in question.probes if name in p.frameworks and (p.peers or implementation == OURS)]
            running = [probe for probe in asked if not probe.reason]
            key = (name, implementation, _signature(question, running))
            found, misdeeds = _run(question, framework, function, running, programs, key, before)
            rows += [_misdeed(cell, framework, implementation, *one) for one in misdeeds]
            outcomes = iter(found)
            for probe in asked:
                outcome = None if probe.reason else next(outcomes)
                rows += _rows(question, framework, implementation, probe, outcome)
    return rows


def prepare(loss: Loss, cell: Cell) -> Question:
    """Draw the inputs of a cell, compute its exact results, and collect its probes."""
    variant = loss.variant(cell.variant)
    arrays, reference = exact(loss, cell)
    wrt = loss.arguments.differentiable(arrays)
    batched = batch_arguments(loss, variant, arrays)
    asked = list(probes(loss, cell, wrt, batched, reference.batch))
    directions = draw_directions(cell, arrays, wrt, reference.exact.values.shape)
    return Question(loss, cell, variant, arrays, reference, wrt, batched, directions, asked)


def exact(loss: Loss, cell: Cell, order: int = 2) -> tuple[dict[str, np.ndarray], Reference]:
    """Return the inputs of a cell, and its exact results with derivatives up to `order`."""
    variant = loss.variant(cell.variant)
    arrays = loss.inputs(Draw(loss, variant, cell.shape, cell.regime, cell.dtype, cell.seed))
    reference = reference_of(loss, variant, arrays, cell.dtype, order)
    if cell.regime == "subnormal" and loss.domain.kinks:
        # Which side of a kink a subnormal number is on, XLA does not say: it takes it for 0.
        reference.mask = np.zeros(reference.exact.values.shape, dtype=bool)
    return arrays, reference


def reference_of(loss: Loss, variant: Variant, arrays: Mapping[str, np.ndarray], dtype: str, order: int) -> Reference:
    """Return the exact results at these inputs, with derivatives up to `order`."""
    wrt = loss.arguments.differentiable(arrays)
    exact = truth_cache.evaluate(loss, variant, arrays, dtype, wrt, order)
    mask = loss.domain.differentiable_mask
    differentiable = None if mask is None else np.asarray(mask(**arrays, **variant.options))
    return Reference(exact, differentiable, batch_size(loss, arrays))


def contestants(loss: Loss, framework: str, peers: bool) -> list[tuple[str, Any]]:
    """Return who is measured in a framework, with the function: xloss's own implementation, and its peers."""
    others = [(peer.name, peer.call) for peer in loss.peers if peers and peer.framework == framework]
    return [(OURS, loss.implementation(framework)), *others]


def batch_arguments(loss: Loss, variant: Variant, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Return the arguments that have the batch in this cell, and along which axis."""
    first = next(iter(arrays.values()))
    if not first.ndim or variant.unbatched or variant.broadcast or not variant.per_sample:
        return {}
    batch = batch_size(loss, arrays)
    explicit = isinstance(loss.arguments.batched, Mapping)

    def carries(name: str, axis: int) -> bool:
        array = arrays.get(name)
        if array is None or array.ndim <= axis or array.shape[axis] != batch:
            return False
        # One of another rank is broadcast, unless it is a label for each row; or the loss says where its batch is.
        is_label = name in ("input", "target") and array.ndim == first.ndim - 1
        return explicit or array.ndim == first.ndim or is_label

    return {name: axis for name, axis in loss.arguments.batch_axes.items() if carries(name, axis)}


def batch_size(loss: Loss, arrays: Mapping[str, np.ndarray]) -> int:
    """Return the size of the batch, as the first argument has it; 1 where it has no such axis."""
    name, first = next(iter(arrays.items()))
    axis = loss.arguments.batch_axes.get(name, 0)
    return first.shape[axis] if first.ndim > axis else 1


def draw_directions(
    cell: Cell, arrays: Mapping[str, np.ndarray], wrt: tuple[str, ...], shape: tuple[int, ...]
) -> Directions:
    """Draw the cotangent of the unreduced loss and the tangents of its arguments: sixteenths, exact in every dtype."""
    rng = np.random.default_rng([cell.seed, 7])

    def draw(of: tuple[int, ...]) -> np.ndarray:
        return np.asarray(rng.integers(-24, 25, of) / 16).astype(arrays[wrt[0]].dtype)

    return Directions(draw(shape), {name: draw(arrays[name].shape) for name in wrt})


def _on_device(question: Question, framework: Framework) -> tuple[Problem, Directions]:
    """Put inputs and directions on the device; the function is filled in for each implementation."""
    device = framework.device(question.cell.device)
    contiguous = question.cell.regime != "noncontiguous"

    def put(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {name: framework.put(array, device, contiguous) for name, array in arrays.items()}

    by = question.reference.denominator("mean")
    problem = Problem(
        question.loss.implementation(framework.name),
        put(question.arrays),
        question.variant.options,
        "none",
        question.wrt,
        question.batched,
        float(by) if by != 0 else float("nan"),
        question.reference.exact.factors is not None,
    )
    directions = question.directions
    return problem, Directions(put({"": directions.cotangent})[""], put(directions.tangents))


def _run(
    question: Question,
    framework: Framework,
    function: Any,
    running: list[Probe],
    programs: dict[Any, Any],
    key: Any,
    before: state.Snapshot,
) -> tuple[list[Outcome], list[tuple[str, str, str]]]:
    """Run the probes of one implementation; return their outcomes, and what it changed that is not its own.

    What a library changes when it is first imported, or first compiles, is not the loss's doing: where modules were
    imported meanwhile, all is run again, and what the second run does not change any more is no finding.
    """
    for last in (False, True):
        with framework.scope(question.cell.dtype):
            problem, directions = _on_device(question, framework)
            tasks = [_task(question, framework, probe, replace(problem, function=function)) for probe in running]
            arrays = {name: framework.get(array).tobytes() for name, array in problem.arrays.items()}
            outcomes = framework.run(tasks, directions, programs, key)
            written = [name for name, array in problem.arrays.items() if framework.get(array).tobytes() != arrays[name]]
        changed = before.restore()
        if not before.imported() or last or not changed:
            break
        programs.pop(key, None)
    misdeeds = [_leak(name, change) for name, change in changed]
    if written:
        misdeeds.append((f"mutated its argument {', '.join(written)}", "mutated", written[0]))
    return outcomes, misdeeds


def _leak(name: str, change: str, when: str = "") -> tuple[str, str, str]:
    """Return reason, check and argument of state that was left changed."""
    return f"left changed{when}: {name} ({change})"[:300], f"state: {name}", ""


def _misdeed(cell: Cell, framework: Framework, implementation: str, reason: str, check: str, argument: str) -> Row:
    """Return the row of an implementation that has written to its arguments, or to what all share."""
    common = {**cell.columns, "reduction": "", "mechanism": "", "implementation": implementation,
              "framework": framework.name, "version": framework.version()}  # fmt: skip
    numbers = dict.fromkeys((*NUMBERS, "seconds"), float("nan"))
    return {**common, **numbers, "argument": argument, "status": "error", "reason": reason,
            "case_id": f"{cell.case_id}#{implementation}/{framework.name}/{check}"}  # fmt: skip


def _signature(question: Question, running: list[Probe]) -> tuple[Any, ...]:
    """Return what a compiled program of these probes depends on: shapes, dtypes, mechanisms."""
    arrays = tuple((name, array.shape, array.dtype.name) for name, array in question.arrays.items())
    return arrays, tuple((p.mechanism, p.reduction) for p in running if not p.separate_program)


def _task(question: Question, framework: Framework, probe: Probe, problem: Problem) -> Task:
    problem = problem.with_reduction(probe.reduction)
    if probe.reduction != "mean":
        rows = problem.rows() if probe.reduction == "batchmean" and problem.batched else 1
        problem = replace(problem, denominator=float(rows))
    fast = policy.compiles_fast(question.loss, question.cell, probe.mechanism, probe.reduction)
    return Task(lambda p, d: probe.run(framework, p, d), problem, probe.separate_program, fast)


def _rows(question: Question, framework: Framework, implementation: str, probe: Probe,
          outcome: Outcome | None) -> list[Row]:  # fmt: skip
    """Judge what one probe of one implementation gave: one row for the value and for each argument."""
    cell = question.cell
    result, seconds = outcome or ({}, 0.0)
    common = {
        **cell.columns,
        "reduction": probe.reduction,
        "mechanism": probe.mechanism,
        "implementation": implementation,
        "framework": framework.name,
        "version": framework.version(),
    }
    if outcome is None or isinstance(result, Exception):
        status, reason = ("unsupported", probe.reason) if outcome is None else failure(result)
        answers = {"": {**dict.fromkeys(NUMBERS, float("nan")), "status": status, "reason": reason}}
    else:
        expected = question.expected(probe)
        answers = {
            argument: _verdict(question, framework.get(result[argument]), right, probe.kind_of(argument))
            for argument, right in expected.items()
        }
    check = f"{implementation}/{framework.name}/{probe.mechanism}/{probe.reduction}"
    return [
        {**common, "argument": argument, **answer, "seconds": seconds / len(answers),
         "case_id": f"{cell.case_id}#{check}/{argument}"}
        for argument, answer in answers.items()
    ]  # fmt: skip


def _verdict(question: Question, got: np.ndarray, expected: Expected, kind: str) -> Row:
    """Judge one array: its distance to the exact result, the status, and a reason where it is too far."""
    verdict = judge(got, expected, question.cell.dtype, kind)
    reason = verdict.reason
    if not verdict.ok and (cause := explain(got, expected, reduction_sizes(question))):
        reason = f"{reason}; {cause}"
    numbers = {name: getattr(verdict, name) for name in NUMBERS}
    return {**numbers, "status": "ok" if verdict.ok else "inaccurate", "reason": reason}


def failure(error: Any) -> tuple[str, str]:
    """Return the status and the reason of an exception that an implementation raised."""
    if isinstance(error, Unsupported):
        return "unsupported", str(error)
    if isinstance(error, NotImplementedError):  # what PyTorch raises where a kernel lacks a dtype
        return "unsupported", f"{error}".split("\n")[0][:300]
    return "oom" if out_of_memory(error) else "error", f"{type(error).__name__}: {error}".split("\n")[0][:300]


def reduction_sizes(question: Question) -> dict[str, float]:
    """Return the numbers that a reduction of this cell may have taken for one another, by what they count."""
    exact = question.reference.exact
    out = {"the number of elements": float(exact.values.size), "the batch": float(question.reference.batch)}
    if exact.weights is not None:
        weights = np.asarray(exact.weights)
        out["the sum of the weights that count"] = float(exact.denominator)
        out["the number of elements that count"] = float(sum(weight != 0 for weight in np.ravel(weights)))
    first = next(iter(question.arrays.values()))
    if first.ndim > 1:
        out["the size of the second axis"] = float(first.shape[1])
    return out
