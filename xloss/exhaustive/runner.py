"""Go over all inputs of a problem, in chunks that are resumed, with every implementation; write the table."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xloss.catalog import Contestant, Loss, Unsupported
from xloss.exhaustive import balls, problems, tally
from xloss.exhaustive.problems import Problem
from xloss.exhaustive.tally import LIMITS, QUANTITIES, Block, Found, Tally
from xloss.files import write_text
from xloss.parity.inputs import DTYPES

FILE = "exhaustive.json"
#: Inputs that are computed at once: some arrays of them fit into a core's cache.
BLOCK = 2**16
CHUNK = 2**22


@dataclass(frozen=True)
class Settings:
    """How to go over the inputs: every `stride`-th, `chunk` of them between two writes of what was found."""

    stride: int = 1
    chunk: int = CHUNK
    implementations: tuple[str, ...] = ()
    resume: bool = True
    #: Stop after so many chunks of this run, as an interruption would; for tests.
    stop_after: int | None = None


def contestants(loss: Loss) -> list[Contestant]:
    """Return who is asked: xloss in both frameworks, and the peers of the record."""
    modes = {"torch": "eager", "jax": "jit"}
    others = [Contestant(peer.framework, modes[peer.framework], peer.name) for peer in loss.peers]
    return [*(Contestant(framework, mode, "xloss") for framework, mode in modes.items()), *others]


def chosen(loss: Loss, names: Sequence[str]) -> list[Contestant]:
    """Return the contestants of these names ("xloss", "torch/eager/xloss"), all where there is none."""
    return [who for who in contestants(loss) if not names or who.implementation in names or str(who) in names]


class Program:
    """One implementation, ready: value and derivative of a block of inputs.

    A JAX peer that has no unreduced values is asked for the `reduction` of one element at a time.
    """

    def __init__(self, problem: Problem, who: Contestant, reduction: str = "none"):
        from xloss.bench.runner import implementation, specifics
        from xloss.parity.mechanisms import load

        function = implementation(problem.loss, who)
        if reduction != "none":
            function = _one_at_a_time(function)
        names = (*(axis.argument for axis in problem.axes), *problem.fixed)

        def values(*given: Any) -> Any:
            return function(**dict(zip(names, given, strict=True)), **problem.options, reduction=reduction)

        self.wrt, self.dtype = problem.wrt, problem.dtype
        self.framework = load(who.framework)
        self.device = self.framework.device("cpu")
        specific = specifics(who.framework)
        self.run = specific.values_and_gradients(values, names, (problem.wrt,), who.mode)
        with self.framework.scope(problem.dtype):
            self.fixed = [
                self.framework.put(np.full(BLOCK, value).astype(DTYPES[problem.dtype]), self.device)
                for value in problem.fixed.values()
            ]

    def __call__(self, inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return value and gradient at these inputs; always computed in a whole block, which ends in repetitions."""
        count = len(inputs[0])
        whole = [np.concatenate([x, np.repeat(x[-1:], BLOCK - count)]) if count < BLOCK else x for x in inputs]
        with self.framework.scope(self.dtype):
            out = self.run(*(self.framework.put(x, self.device) for x in whole), *self.fixed)
            value, gradient = (self.framework.get(out[name])[:count] for name in ("", self.wrt))
        for name, array in {"value": value, "gradient": gradient}.items():
            if array.dtype != DTYPES[self.dtype] or array.shape != (count,):
                raise Unsupported(f"the {name} is {array.dtype} of shape {array.shape}")
        return {"value": value, "gradient": gradient}


def _one_at_a_time(function: Callable[..., Any]) -> Callable[..., Any]:
    """Map a JAX loss that is reduced over its elements: the mean, or the sum, of one is its value."""

    def mapped(reduction: str, **given: Any) -> Any:
        import jax

        arrays = {name: x for name, x in given.items() if isinstance(x, jax.Array)}
        options = {name: x for name, x in given.items() if name not in arrays}

        def one(some: Any) -> Any:
            return function(**some, **options, reduction=reduction)

        # The axis of one comes first: XLA does not vectorize over an axis that is not the last.
        return jax.vmap(one, in_axes=1)({name: x[None] for name, x in arrays.items()})

    return mapped


def places(start: int, stop: int, stride: int, size: int) -> np.ndarray:
    """Return which inputs are asked: of each `stride` inputs in turn one, at a varying place."""
    number = np.arange(start, stop, dtype=np.int64)
    if stride == 1:
        return number
    return np.minimum(number * stride + (number * 2654435761 >> 9) % stride, size - 1)


def run(problem: Problem, out: Path, settings: Settings, progress: Callable[[int, int], None]) -> dict[str, Any] | None:
    """Ask all, resume where an earlier run stopped, and return the row of the table; None where it was stopped.

    What was found so far lies in ``data/`` under `out`, rewritten after each chunk.
    """
    asked = -(-problem.size // settings.stride)
    path = out / "data" / f"{slug(problem.name)}.json"
    state = _begin(problem, path, settings)
    programs = {str(who): who for who in chosen(problem.loss, settings.implementations)}
    ready = _prepare(problem, programs, state["refused"])
    tallies = {
        who: {quantity: Tally.from_data(data) for quantity, data in state["tallies"].get(who, {}).items()}
        or {quantity: Tally() for quantity in QUANTITIES}
        for who in ready
    }
    chunks = -(-asked // settings.chunk)
    progress(state["done"], chunks)
    stop = chunks if settings.stop_after is None else min(chunks, state["done"] + settings.stop_after)
    for chunk in range(state["done"], stop):
        begun = time.monotonic()
        last = min((chunk + 1) * settings.chunk, asked)
        for start in range(chunk * settings.chunk, last, BLOCK):
            block = Block(problem, places(start, min(start + BLOCK, last), settings.stride, problem.size))
            for who, program in ready.items():
                results = program(block.inputs)
                for quantity in QUANTITIES:
                    block.add(tallies[who][quantity], quantity, results[quantity], programs[who].framework == "jax")
        state["seconds"] += time.monotonic() - begun
        state["done"] = chunk + 1
        state["tallies"] = {
            who: {name: one.as_data() for name, one in by_name.items()} for who, by_name in tallies.items()
        }
        write_text(path, json.dumps(state))
        progress(chunk + 1, chunks)
    if stop < chunks:
        return None
    return _row(problem, settings, state, programs, tallies)


def _begin(problem: Problem, path: Path, settings: Settings) -> dict[str, Any]:
    """Return what an earlier run of the same question found, or the state of a run that has found nothing."""
    from xloss import environment

    here = environment.describe()
    key = {
        "problem": problem.name, "stride": settings.stride, "chunk": settings.chunk, "code": code(problem),
        "implementations": [str(who) for who in chosen(problem.loss, settings.implementations)],
        "versions": here["versions"], "cpu": here["cpu"], "python": here["python"],
    }  # fmt: skip
    if settings.resume and path.is_file():
        try:
            state: dict[str, Any] = json.loads(path.read_text("utf-8"))
            if state["key"] == key:
                return state
        except (ValueError, LookupError, TypeError):
            pass
    return {"key": key, "done": 0, "seconds": 0.0, "refused": {}, "tallies": {}}


def _prepare(problem: Problem, programs: Mapping[str, Contestant], refused: dict[str, str]) -> dict[str, Program]:
    """Make each implementation ready; what cannot be asked is put among the `refused`, with the reason."""
    ready = {}
    for name, who in programs.items():
        if name in refused:
            continue
        for reduction in ("none", "sum", "mean") if who.framework == "jax" else ("none",):
            try:
                program = Program(problem, who, reduction)
                program(Block(problem, np.arange(min(BLOCK, problem.size), dtype=np.int64)).inputs)
            except Exception as error:  # whatever a peer raises is why it has no column
                if who.implementation == "xloss":
                    raise
                refused[name] = f"{type(error).__name__}: {error}".split("\n")[0][:200]
                if not isinstance(error, Unsupported):
                    break
            else:
                refused.pop(name, None)
                ready[name] = program
                break
    return ready


def _row(problem: Problem, settings: Settings, state: Mapping[str, Any], programs: Mapping[str, Contestant],
         tallies: Mapping[str, Mapping[str, Tally]]) -> dict[str, Any]:  # fmt: skip
    """Settle by balls, and return the row of the table."""
    from xloss import environment

    here = environment.describe()
    results = {}
    for who, by_quantity in tallies.items():
        flushes = programs[who].framework == "jax"
        results[who] = {
            "stride": settings.stride,
            **{
                quantity: _summary(problem, balls.settled(problem, one, quantity, flushes))
                for quantity, one in by_quantity.items()
            },
        }
    return {
        "problem": problem.name,
        "loss": problem.loss.name,
        "dtype": problem.dtype,
        "axes": [axis.argument for axis in problem.axes],
        "fixed": dict(problem.fixed),
        "wrt": problem.wrt,
        "inputs": problem.size,
        "seconds": round(state["seconds"], 1),
        "date": here["created"][:10],
        "code": state["key"]["code"],
        "cpu": here["cpu"],
        "kernels": kernels(),
        "python": here["python"],
        "versions": {name: version for name, version in here["versions"].items() if version},
        "results": results,
        "refused": dict(state["refused"]),
    }


def _summary(problem: Problem, one: Tally) -> dict[str, Any]:
    out: dict[str, Any] = {
        "asked": one.asked,
        "over": {str(limit): n for limit, n in zip(LIMITS, one.over, strict=True)},
        "lost": one.lost,
        "undecided": one.undecided,
    }
    for name, found in (
        ("lost_at", one.first_lost),
        ("worst", one.worst[0] if one.worst else None),
        ("conditioned", one.conditioned[0] if one.conditioned else None),
    ):
        out[name] = None if found is None else _shown(problem, found)
    return out


def _shown(problem: Problem, found: Found) -> dict[str, Any]:
    at = [balls.inputs_of(problem, found.bits)[axis.argument][0] for axis in problem.axes]
    ulps = {} if np.isinf(found.ulps) else {"ulps": float(f"{found.ulps:.6g}"), "by balls": found.settled}
    return {**ulps, "at": [float(x).hex() for x in at], "got": found.got.hex(), "right": found.right.hex()}


def kernels() -> str:
    """Return which vector instructions PyTorch uses, on which its results depend; nothing where it does not tell."""
    try:
        import torch

        return str(torch.backends.cpu.get_cpu_capability())
    except (ImportError, AttributeError):
        return ""


def code(problem: Problem) -> str:
    """Return a digest of what the result depends on here: the loss, what losses may call, and this ruler."""
    from xloss import ops

    own = [Path(inspect.getfile(problem.loss.truth)), *(Path(str(m.__file__)) for m in (problems, tally))]
    shared = sorted(Path(next(iter(ops.__path__))).glob("*.py"))
    digest = hashlib.sha256()
    for path in [*own, *shared]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def slug(name: str) -> str:
    """Return a name for a file."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def record(row: Mapping[str, Any], path: Path) -> None:
    """Put a row in the table: in the place of an earlier one of its problem, or joined with it.

    Where code, versions and machine are the same, each implementation has the result of the last run, but that a
    strided one does not replace a complete one; `seconds` are then those of the complete runs.
    """
    rows = {one["problem"]: one for one in read(path)}
    before = rows.get(row["problem"])
    if before and all(before[name] == row[name] for name in ("code", "versions", "cpu", "kernels", "python")):
        complete = {who: one for who, one in before["results"].items() if one["stride"] == 1}
        strided = {who: one for who, one in row["results"].items() if one["stride"] != 1}
        results = {**before["results"], **row["results"], **{who: complete[who] for who in complete if who in strided}}
        refused = {who: why for who, why in {**before["refused"], **row["refused"]}.items() if who not in results}
        new = set(row["results"]) - set(strided)
        kept = 0 if set(complete) <= new else before["seconds"]
        seconds = round(kept + row["seconds"], 1) if new else before["seconds"] if complete else row["seconds"]
        row = {**row, "results": results, "refused": refused, "seconds": seconds}
    rows[row["problem"]] = dict(row)
    order = [*problems.PROBLEMS, *rows]
    lines = (json.dumps(rows[name]) for name in sorted(rows, key=order.index))
    write_text(path, "[\n" + ",\n".join(lines) + "\n]\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of the table, none where there is no file."""
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.is_file() else []
    return rows


def select(names: Iterable[str]) -> list[Problem]:
    """Return the problems of these names, or of these losses, all where none is given; `ValueError` names another."""
    import difflib

    found = []
    for name in names:
        those = [problem for problem in problems.PROBLEMS.values() if name in (problem.name, problem.loss_name)]
        if not those:
            known = [*problems.PROBLEMS, *(problem.loss_name for problem in problems.PROBLEMS.values())]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"--problem: no problem {name!r}{hint}")
        found += those
    return list(dict.fromkeys(found)) if found else list(problems.PROBLEMS.values())
