"""Evaluate one cell of one loss: prepare the question, run it in each framework, judge the answers, make rows."""

from __future__ import annotations

import contextlib
import functools
import io
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xloss.catalog import FRAMEWORKS, Loss, Unsupported, Variant
from xloss.parity import immaterial, policy, state, truth_file
from xloss.parity.cells import NUMBERS, OURS, Cell
from xloss.parity.diagnosis import explain
from xloss.parity.expected import Expected, Facts
from xloss.parity.inputs import LAYOUT_OF, SHARED, Draw
from xloss.parity.mechanisms import Framework, Problem, load
from xloss.parity.mechanisms.base import Directions, Outcome, Task, out_of_memory
from xloss.parity.probes import COMPILED, Probe, probes
from xloss.parity.verdict import judge

if TYPE_CHECKING:  # ball arithmetic is imported where truth is computed: it may be read from a file
    from xloss.parity.reference import Reference

Row = dict[str, Any]


@dataclass
class Question:
    """All that a cell asks, in NumPy: nothing in it depends on a framework."""

    loss: Loss
    cell: Cell
    variant: Variant
    arrays: Mapping[str, np.ndarray]
    changed: Mapping[str, Mapping[str, np.ndarray]]
    reference: Reference | None
    facts: Facts
    wrt: tuple[str, ...]
    batched: Mapping[str, int]
    directions: Directions
    probes: list[Probe]
    _expected: dict[str, dict[str, Expected]] = field(default_factory=dict)

    @property
    def broadcasts(self) -> bool:
        """Tell whether the arguments are of several shapes, of which a loss may warn."""
        arguments = self.loss.arguments
        shapes = {self.arrays[name].shape for name in arguments.wrt if name in self.arrays}
        return arguments.class_axes is not None and len(shapes) > 1

    def expected(self, probe: Probe) -> dict[str, Expected]:
        """Return what is right for a probe, by argument; computed once for probes that share it."""
        if probe.key not in self._expected:
            if self.reference is None:
                raise Unsupported(f"the file of exact results has none for {probe.key}")
            self._expected[probe.key] = probe.expect(self.reference, self.directions)
        return self._expected[probe.key]


def evaluate(loss: Loss, cell: Cell, frameworks: tuple[str, ...] = FRAMEWORKS, peers: bool = True,
             programs: dict[Any, Any] | None = None, before: state.Snapshot | None = None,
             mechanisms: Collection[str] | None = None) -> list[Row]:  # fmt: skip
    """Judge all implementations of a loss in one cell; return a row (the columns of a sweep) for every check.

    Args:
        loss: any record, of the catalogue or not; `cell.loss` is its name in the rows.
        cell: where it is asked.
        frameworks: which of "torch" and "jax".
        peers: whether the peers of the record are judged as well.
        programs: handed from cell to cell of one loss, variant and dtype, keeps compiled programs for the next regime.
        before: the state of the process that is to be left as it was; None takes it as it is now.
        mechanisms: which are asked; None asks all that apply.
    """
    before = state.Snapshot() if before is None else before
    question = prepare(loss, cell)
    if mechanisms is not None:
        question.probes = [probe for probe in question.probes if probe.mechanism in mechanisms]
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
            key = (name, implementation, _signature(question))
            wrt = question.wrt if implementation == OURS else loss.arguments.differentiable(question.arrays)
            found, misdeeds = _run(question, framework, function, wrt, running, programs, key, before)
            rows += [_misdeed(cell, framework, implementation, *one) for one in misdeeds]
            outcomes = iter(found)
            for probe in asked:
                outcome = None if probe.reason else next(outcomes)
                rows += _rows(question, framework, implementation, probe, outcome)
    return rows


def prepare(loss: Loss, cell: Cell) -> Question:
    """Draw the inputs of a cell, compute its exact results, and collect its probes."""
    variant = loss.variant(cell.variant)
    reference: Reference | None = None
    arrays = inputs_of(loss, cell)
    wrt = loss.arguments.floating(arrays)
    directed = functools.partial(draw_directions, cell, arrays, wrt)
    if (kept := truth_file.find(loss, cell, arrays, directed)) is not None:
        facts = kept.facts
    else:
        arrays, reference = exact(loss, cell)
        facts = facts_of(arrays, reference)
    batched = batch_arguments(loss, variant, arrays)
    changed = {
        "spoiled": immaterial.spoiled(loss, variant, arrays),
        "widened": immaterial.widened(loss, variant, arrays),
    }
    labels = [array for array in arrays.values() if array.dtype.kind == "i"]
    negative = any((array < 0).any() for array in labels)
    telling = {
        **{name: bool(arguments) for name, arguments in changed.items()},
        **dict.fromkeys(("narrow_labels", "int32_labels"), bool(labels)),
        "unsigned_labels": bool(labels) and not negative,
    }
    asked = [one for one in probes(loss, cell, wrt, batched, facts.batch) if telling.get(one.mechanism, True)]
    directions = directed(facts.shape)
    expected = {} if kept is None else dict(kept.expected)
    return Question(loss, cell, variant, arrays, changed, reference, facts, wrt, batched, directions, asked, expected)


def inputs_of(loss: Loss, cell: Cell) -> dict[str, np.ndarray]:
    """Return the inputs of a cell."""
    variant = loss.variant(cell.variant)
    draw = Draw(loss, variant, cell.shape, cell.regime, cell.dtype, cell.seed)
    arrays = loss.inputs(draw)
    if cell.regime in SHARED:
        arrays = draw.sharing(arrays, batch_arguments(loss, variant, arrays))
    return arrays


def exact(loss: Loss, cell: Cell, order: int = 2) -> tuple[dict[str, np.ndarray], Reference]:
    """Return the inputs of a cell, and its exact results with derivatives up to `order`."""
    variant, arrays = loss.variant(cell.variant), inputs_of(loss, cell)
    reference = reference_of(loss, variant, arrays, cell.dtype, order, loss.arguments.floating(arrays))
    if cell.regime == "subnormal" and loss.domain.kinks:
        # Which side of a kink a subnormal number is on, XLA does not say: it takes it for 0.
        reference.mask = np.zeros(reference.exact.values.shape, dtype=bool)
    return arrays, reference


def reference_of(loss: Loss, variant: Variant, arrays: Mapping[str, np.ndarray], dtype: str, order: int,
                 wrt: tuple[str, ...] | None = None) -> Reference:  # fmt: skip
    """Return the exact results at these inputs, with derivatives up to `order`, by `wrt` or what training asks for."""
    from xloss.parity import truth, truth_cache
    from xloss.parity.reference import Reference

    wrt = loss.arguments.differentiable(arrays) if wrt is None else wrt
    exact = truth_cache.evaluate(loss, variant, arrays, dtype, wrt, order)
    mask = loss.domain.differentiable_mask
    differentiable = None if mask is None else np.asarray(mask(**arrays, **variant.options))
    third = functools.partial(truth.third, loss.truth, arrays, variant.options)
    return Reference(exact, differentiable, batch_size(loss, arrays), third)


def contestants(loss: Loss, framework: str, peers: bool) -> list[tuple[str, Any]]:
    """Return who is measured in a framework, with the function: xloss's own implementation, and its peers."""
    others = [(peer.name, peer.call) for peer in loss.peers if peers and peer.framework == framework]
    return [(OURS, loss.implementation(framework)), *others]


def batch_arguments(loss: Loss, variant: Variant, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Return the arguments that have the batch in this cell, and along which axis."""
    first = next(iter(arrays.values()))
    if not first.ndim or variant.unbatched or variant.broadcast or not variant.per_sample:
        return {}
    axes = loss.arguments.class_axes
    own = axes(next(iter(arrays)), first.ndim) if axes is not None else None
    if own == 0 and first.ndim == 1:  # the classes of a single sample
        return {}
    batch = batch_size(loss, arrays)
    explicit = isinstance(loss.arguments.batched, Mapping)

    where = loss.arguments.batch_axes
    if first.ndim == 1:  # weights of elements are those of samples
        same = (name for name in loss.arguments.weights if name in arrays and arrays[name].shape == first.shape)
        where = {**where, **dict.fromkeys(same, 0)}

    def carries(name: str, axis: int) -> bool:
        array = arrays.get(name)
        if array is None or array.ndim <= axis or array.shape[axis] != batch:
            return False
        # One of another rank is broadcast, unless it is a label for each row; or the loss says where its batch is.
        is_label = name in ("input", "target") and array.ndim == first.ndim - 1
        return explicit or array.ndim == first.ndim or is_label

    return {name: axis for name, axis in where.items() if carries(name, axis)}


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
    layout = LAYOUT_OF.get(question.cell.regime, "contiguous")

    def put(arrays: Mapping[str, np.ndarray], layout: str = "contiguous") -> dict[str, Any]:
        return {
            name: framework.put(
                array,
                device,
                layout if layout == "strided" or name in question.batched else "contiguous",
                question.batched.get(name, 0),
            )
            for name, array in arrays.items()
        }

    problem = Problem(
        question.loss.implementation(framework.name),
        put(question.arrays, layout),
        question.variant.options,
        "none",
        question.wrt,
        question.batched,
        question.facts.denominator,
        question.facts.scaled,
        put(question.changed["spoiled"]),
        put(question.changed["widened"]),
    )
    directions = question.directions
    return problem, Directions(put({"": directions.cotangent})[""], put(directions.tangents))


def _run(
    question: Question,
    framework: Framework,
    function: Any,
    wrt: tuple[str, ...],
    running: list[Probe],
    programs: dict[Any, Any],
    key: Any,
    before: state.Snapshot,
) -> tuple[list[Outcome], list[tuple[str, str, str]]]:
    """Run the probes of one implementation; return their outcomes, and what it changed that is not its own.

    What a library changes when it is first imported, or first compiles, is not the loss's doing: where modules were
    imported meanwhile, all is run again, and what the second run does not change any more is no finding.
    """
    misdeeds: list[tuple[str, str, str]] = []
    for last in (False, True):
        said = io.StringIO()
        with framework.scope(question.cell.dtype), _listening(question, said) as warned:
            problem, directions = _on_device(question, framework)
            tasks = [
                _task(question, framework, probe, replace(problem, function=function, wrt=wrt)) for probe in running
            ]
            arrays = {name: framework.get(array).tobytes() for name, array in problem.arrays.items()}
            outcomes = framework.run(tasks, directions, programs, key)
            misdeeds = _asked_again(question, framework, running, tasks, outcomes, directions, programs, key)
            asking = [name for name, array in problem.arrays.items() if framework.is_watched(array)]
            written = [name for name, array in problem.arrays.items() if framework.get(array).tobytes() != arrays[name]]
            misdeeds += _shared(framework, running, outcomes, problem)
        changed = before.restore()
        if not before.imported() or last or not (changed or warned or said.getvalue()):
            break
        for compiled in [one for one in programs if one[0] == key]:
            del programs[compiled]
    misdeeds += [_leak(name, change) for name, change in changed]
    if written:
        misdeeds.append((f"mutated its argument {', '.join(written)}", "mutated", written[0]))
    if asking:
        misdeeds.append((f"asks for the gradient of its argument {', '.join(asking)}", "watched", asking[0]))
    if said.getvalue():
        misdeeds.append((f"printed {said.getvalue()[:200]!r}", "printed", ""))
    misdeeds += [(f"warned: {text}"[:300], f"warned {number}", "") for number, text in enumerate(warned)]
    return outcomes, misdeeds


@contextlib.contextmanager
def _listening(question: Question, said: io.StringIO) -> Iterator[list[str]]:
    """Hear what is printed, and collect what the code of a loss warns of where nothing is broadcast."""
    warned: list[str] = []
    out = sys.stdout
    sys.stdout = said
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield warned
    finally:
        if sys.stdout is said:  # where it is not, that is found out as any other change
            sys.stdout = out
    if not question.broadcasts:
        warned += dict.fromkeys(str(one.message) for one in caught if _is_of_a_loss(one))


def _is_of_a_loss(warning: warnings.WarningMessage) -> bool:
    """Tell whether code of a loss gave the warning, and not a library's (of what it deprecates, of how it compiles)."""
    if not issubclass(warning.category, UserWarning | RuntimeWarning):
        return False
    return not any(
        part in ("torch", "jax", "jaxlib", "numpy", "multiprocessing") for part in Path(warning.filename).parts
    )


def _asked_again(question: Question, framework: Framework, running: list[Probe], tasks: list[Task],
                 outcomes: list[Outcome], directions: Directions, programs: dict[Any, Any],
                 key: Any) -> list[tuple[str, str, str]]:  # fmt: skip
    """Ask for values and gradients once more, which must be the same bits: nothing is kept from call to call."""
    if question.cell.regime != "typical":
        return []
    fast = framework.name == "jax"  # which runs the same program
    numbers = [
        number for number, probe in enumerate(running)
        if (not probe.separate_program if fast else probe.mechanism in ("value", "backward"))
    ]  # fmt: skip
    again = framework.run([tasks[number] for number in numbers], directions, programs, key)
    for number, (second, _) in zip(numbers, again, strict=True):
        first, probe = outcomes[number][0], running[number]
        if isinstance(first, Exception) or isinstance(second, Exception):
            if type(first) is not type(second):
                return [(f"raised {second!r} the second time"[:300], f"again/{probe.mechanism}/{probe.reduction}", "")]
            continue
        for argument in first:
            if framework.get(first[argument]).tobytes() != framework.get(second[argument]).tobytes():
                said = f"gave other bits the second time, by {probe.mechanism}"
                return [(said, f"again/{probe.mechanism}/{probe.reduction}", argument)]
    return []


def _shared(
    framework: Framework, running: list[Probe], outcomes: list[Outcome], problem: Problem
) -> list[tuple[str, str, str]]:
    """Find values that lie in the memory of an argument: what is written to one would change the other."""
    own = {framework.memory(array): name for name, array in problem.arrays.items()}
    own.pop(0, None)
    for probe, (result, _) in zip(running, outcomes, strict=True):
        if probe.mechanism == "value" and not isinstance(result, Exception):
            name = own.get(framework.memory(result[""]))
            if name is not None and result[""].numel():
                return [(f"returned memory of its argument {name}", f"memory/{probe.reduction}", name)]
    return []


def _leak(name: str, change: str, when: str = "") -> tuple[str, str, str]:
    """Return reason, check and argument of state that was left changed."""
    return f"left changed{when}: {name} ({change})"[:300], f"state: {name}", ""


def _misdeed(cell: Cell, framework: Framework, implementation: str, reason: str, check: str, argument: str) -> Row:
    """Return the row of an implementation that has written to its arguments, or to what all share."""
    common = {**cell.columns, "reduction": "", "mechanism": "", "implementation": implementation,
              "framework": framework.name, "version": framework.version()}  # fmt: skip
    numbers = dict.fromkeys((*NUMBERS, "seconds"), float("nan"))
    case_id = f"{cell.case_id}#{implementation}/{framework.name}/{check.replace('/', ' ')}//{argument}"
    return {**common, **numbers, "argument": argument, "status": "error", "reason": reason, "case_id": case_id}


def _signature(question: Question) -> tuple[Any, ...]:
    """Return what a compiled program depends on beside its mechanisms: shapes and dtypes."""
    return tuple((name, array.shape, array.dtype.name) for name, array in question.arrays.items())


def _task(question: Question, framework: Framework, probe: Probe, problem: Problem) -> Task:
    problem = problem.with_reduction(probe.reduction)
    if probe.reduction != "mean":
        rows = problem.rows() if probe.reduction == "batchmean" and problem.batched else 1
        problem = replace(problem, denominator=float(rows))
    fast = policy.compiles_fast(question.loss, question.cell, probe.mechanism, probe.reduction)
    run: Any = lambda p, d: probe.run(framework, p, d)  # noqa: E731
    compiled = probe.mechanism in COMPILED
    name = f"{probe.mechanism}/{probe.reduction}"
    dynamic = probe.mechanism == "compiled.dynamic"
    return Task(run, problem, probe.separate_program, fast, compiled, dynamic, name, probe.typical)


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
            argument: _verdict(
                question,
                framework.get(result[argument]),
                right,
                probe.kind_of(argument),
                "float32" if probe.wide and argument != question.wrt[0] else cell.dtype,
            )
            for argument, right in expected.items()
            if implementation == OURS or argument in result  # peers are asked for what training asks for
        }
    check = f"{implementation}/{framework.name}/{probe.mechanism}/{probe.reduction}"
    return [
        {**common, "argument": argument, **answer, "seconds": seconds / len(answers),
         "case_id": f"{cell.case_id}#{check}/{argument}"}
        for argument, answer in answers.items()
    ]  # fmt: skip


def _verdict(question: Question, got: np.ndarray, expected: Expected, kind: str, dtype: str) -> Row:
    """Judge one array: its distance to the exact result, the status, and a reason where it is too far."""
    verdict = judge(got, expected, dtype, kind)
    reason = verdict.reason
    if not verdict.ok and (cause := explain(got, expected, question.facts.sizes)):
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


def facts_of(arrays: Mapping[str, np.ndarray], reference: Reference) -> Facts:
    """Return what running and judging need to know of the exact results."""
    exact, by = reference.exact, reference.denominator("mean")
    sizes = {"the number of elements": float(exact.values.size), "the batch": float(reference.batch)}
    if exact.weights is not None:
        weights = np.asarray(exact.weights)
        sizes["the sum of the weights that count"] = float(exact.denominator)
        sizes["the number of elements that count"] = float(sum(weight != 0 for weight in np.ravel(weights)))
    first = next(iter(arrays.values()))
    if first.ndim > 1:
        sizes["the size of the second axis"] = float(first.shape[1])
    denominator = float(by) if by != 0 else float("nan")
    return Facts(reference.batch, exact.values.shape, denominator, exact.factors is not None, sizes)
