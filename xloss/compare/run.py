"""Run one of the two functions on NumPy inputs: value, gradients, per-sample gradients; what it raises is an answer."""

from __future__ import annotations

import contextlib
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xloss.compare.sides import Side
from xloss.parity.inputs import DTYPES
from xloss.parity.mechanisms import load

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One set of inputs.

    Attributes:
        name: "typical", "large", ...
        arrays: NumPy arrays by argument name, in the order in which both functions take them.
        options: keyword arguments for both; one that a function does not take is left out for it.
        keywords: the arrays that are passed by name, not by position.
        wrt: the floating arrays to differentiate by.
        batched: whether the first axis of every array with one is the batch.
    """

    name: str
    arrays: Arrays
    options: Mapping[str, Any] = field(default_factory=dict)
    keywords: tuple[str, ...] = ()
    wrt: tuple[str, ...] = ()
    batched: bool = True

    def in_dtype(self, dtype: str) -> Case:
        """Return the case with its floating arrays rounded to that dtype."""
        return replace(self, arrays={name: cast(array, dtype) for name, array in self.arrays.items()})

    def with_arrays(self, **arrays: np.ndarray) -> Case:
        """Return the case with some arrays replaced."""
        return replace(self, arrays={**self.arrays, **arrays})

    def with_options(self, **options: Any) -> Case:
        """Return the case with some options replaced."""
        return replace(self, options={**self.options, **options})

    @property
    def rows(self) -> int:
        """The size of the batch; 1 where there is none."""
        first = next(iter(self.arrays.values()))
        return first.shape[0] if self.batched and first.ndim else 1

    def batch_arguments(self) -> tuple[str, ...]:
        """Return the names of the arrays that carry the batch on their first axis."""
        if not self.batched:
            return ()
        rows = self.rows
        return tuple(name for name, array in self.arrays.items() if array.ndim and array.shape[0] == rows)

    def row(self, part: slice) -> Case:
        """Return the case with a part of the batch."""
        carried = self.batch_arguments()
        return replace(self, arrays={n: a[part] if n in carried else a for n, a in self.arrays.items()})


@dataclass(frozen=True)
class Result:
    """What a function gave: its value, and the gradients by argument of the sum of (value times cotangent)."""

    value: np.ndarray
    grads: Mapping[str, np.ndarray]
    mutated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """What a function raised: the type and message in one line, and the line of the user's code that raised it."""

    error: str
    where: str = ""
    unsupported: bool = False

    def __str__(self) -> str:
        return f"{self.error} ({self.where})" if self.where else self.error


def cast(array: np.ndarray, dtype: str) -> np.ndarray:
    """Round a floating array to a dtype by name; leave integers and booleans."""
    if array.dtype.kind in "iub":
        return array
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(array).astype(DTYPES[dtype])


def cotangent(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return the weights of a value that is not a number: 1, 1.25, 0.75, 1, ... in turn, exact in every dtype."""
    size = int(np.prod(shape))
    return np.resize(np.array([1.0, 1.25, 0.75]), size).reshape(shape).astype(dtype) if size else np.zeros(shape, dtype)


def run(side: Side, case: Case, dtype: str = "float64", *, device: str = "cpu", grads: bool = True) -> Result | Failure:
    """Evaluate a function, with the floating arrays rounded to `dtype`; return its value and gradients, or a failure.

    A gradient by an argument that the value does not depend on is zeros.
    """
    case = case.in_dtype(dtype)
    try:
        with _quiet(), _scope(side.framework, dtype):
            runner = _run_torch if side.framework == "torch" else _run_jax
            return runner(side, case, device, grads)
    except Exception as error:  # whatever a user's function raises is an answer about it
        return failure(error)


def per_sample(side: Side, case: Case, dtype: str = "float64", *, device: str = "cpu") -> Result | Failure:
    """Return value and gradient of each sample alone, stacked: one call for each, with a batch of one."""
    parts = [run(side, case.row(slice(i, i + 1)), dtype, device=device) for i in range(case.rows)]
    for part in parts:
        if isinstance(part, Failure):
            return part
    done = [part for part in parts if isinstance(part, Result)]
    carried = [name for name in case.wrt if name in case.batch_arguments()]
    return Result(
        np.stack([part.value for part in done]),
        {name: np.concatenate([part.grads[name] for part in done]) for name in carried},
    )


def vmapped(side: Side, case: Case, dtype: str = "float64", *, device: str = "cpu") -> Result | Failure:
    """Return the gradients of each sample by `vmap(grad)`, to be equal to those of `per_sample`."""
    case = case.in_dtype(dtype)
    try:
        with _quiet(), _scope(side.framework, dtype):
            return _vmap(side, case, device)
    except Exception as error:
        return replace(failure(error), unsupported=True)


def options_for(side: Side, case: Case) -> dict[str, Any]:
    """Return the options of a case that a function takes."""
    return {name: option for name, option in case.options.items() if side.takes(name)}


def _call(side: Side, case: Case, tensors: Mapping[str, Any]) -> Any:
    positional = [tensors[name] for name in case.arrays if name not in case.keywords]
    named = {name: tensors[name] for name in case.keywords if name in tensors}
    return side.call(*positional, **named, **options_for(side, case))


def _run_torch(side: Side, case: Case, device: str, grads: bool) -> Result:
    import torch

    framework = load("torch")
    place = framework.device(device)
    tensors = {name: framework.put(array, place) for name, array in case.arrays.items()}
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    leaves = {name: tensors[name].requires_grad_() for name in case.wrt} if grads else {}
    # What is handed over is not the leaf itself: a function that writes into its argument is shown to, not stopped.
    handed = {name: leaf.clone() for name, leaf in leaves.items()}
    value = _call(side, case, {**tensors, **handed})
    value = value if isinstance(value, torch.Tensor) else torch.as_tensor(value)
    after = {**tensors, **handed}
    mutated = tuple(name for name, old in before.items() if not _same(after[name].detach(), old))
    out: dict[str, np.ndarray] = {}
    if leaves:
        found: Any = [None] * len(leaves)
        if value.requires_grad:
            weights = framework.put(cotangent(tuple(value.shape), np.dtype(np.float64)), place).to(value.dtype)
            # Not by `grad_outputs`, for which PyTorch imports sympy: seconds.
            total = value if value.ndim == 0 else (value * weights).sum()
            found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
        for (name, leaf), grad in zip(leaves.items(), found, strict=True):
            out[name] = framework.get(torch.zeros_like(leaf) if grad is None else grad)
    return Result(framework.get(value.detach()), out, mutated)


def _same(a: Any, b: Any) -> bool:
    return bool(a.shape == b.shape and ((a == b) | ((a != a) & (b != b))).all())


def _run_jax(side: Side, case: Case, device: str, grads: bool) -> Result:
    import jax

    framework = load("jax")
    place = framework.device(device)
    arrays = {name: framework.put(array, place) for name, array in case.arrays.items()}
    if not grads or not case.wrt:
        return Result(np.asarray(_call(side, case, arrays)), {})

    def both(arrays: Any) -> Any:
        call = lambda *xs: jax.numpy.asarray(_call(side, case, {**arrays, **dict(zip(case.wrt, xs, strict=True))}))  # noqa: E731
        value, pull = jax.vjp(call, *(arrays[name] for name in case.wrt))
        return value, pull(jax.numpy.asarray(cotangent(value.shape, np.dtype(np.float64))).astype(value.dtype))

    # One program is there sooner than each operation's own. What a tracer cannot do (a branch on values) runs without.
    key = (side.call, tuple(case.arrays), case.keywords, case.wrt, repr(sorted(options_for(side, case).items())))
    try:
        value, found = _program(key, both)(arrays)
    except Exception:
        value, found = both(arrays)
    return Result(np.asarray(value), {name: np.asarray(g) for name, g in zip(case.wrt, found, strict=True)})


def twice(side: Side, case: Case, dtype: str = "float64", *, device: str = "cpu") -> list[Result | Failure]:
    """Return the values of two calls with the same inputs.

    A JAX function that traces to the same program twice is run once: what a program gives, it gives again.
    """
    if side.framework == "jax" and _traces_alike(side, case.in_dtype(dtype), dtype):
        return [run(side, case, dtype, device=device)] * 2
    return [run(side, case, dtype, device=device, grads=False) for _ in range(2)]


def _traces_alike(side: Side, case: Case, dtype: str) -> bool:
    import jax

    try:
        with _quiet(), _scope("jax", dtype):
            traced = [jax.make_jaxpr(lambda arrays: _call(side, case, arrays))(dict(case.arrays)) for _ in range(2)]
    except Exception:  # it cannot be traced: call it twice
        return False
    consts = [[np.asarray(c).tobytes() for c in one.consts] for one in traced]
    return str(traced[0]) == str(traced[1]) and consts[0] == consts[1]


_programs: dict[Any, Any] = {}
_MOST_PROGRAMS = 64


def _program(key: Any, function: Any) -> Any:
    """Return the compiled function of that key, made of `function` the first time."""
    from xloss.parity.mechanisms.jax import fast_compile_jit

    try:
        hash(key)
    except TypeError:  # a callable that cannot be hashed
        return function
    if key not in _programs:
        if len(_programs) >= _MOST_PROGRAMS:
            _programs.clear()
        _programs[key] = fast_compile_jit(function)
    return _programs[key]


def _vmap(side: Side, case: Case, device: str) -> Result:
    framework = load(side.framework)
    place = framework.device(device)
    carried = case.batch_arguments()
    wrt = tuple(name for name in case.wrt if name in carried)
    arrays = {name: framework.put(array, place) for name, array in case.arrays.items()}

    def one(*row: Any) -> Any:
        value = _call(side, case, {**arrays, **{n: x[None] for n, x in zip(carried, row, strict=True)}})
        return (value * 1).sum()

    argnums = tuple(carried.index(name) for name in wrt)
    if side.framework == "torch":
        import torch

        both: Any = torch.func.vmap(torch.func.grad_and_value(one, argnums=argnums), randomness="same")
        grads, values = both(*(arrays[name] for name in carried))
    else:
        import jax

        values, grads = jax.vmap(jax.value_and_grad(one, argnums=argnums))(*(arrays[name] for name in carried))
    return Result(framework.get(values), {name: framework.get(g) for name, g in zip(wrt, grads, strict=True)})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a user's deprecated call is not what is asked here
        yield


@contextlib.contextmanager
def _scope(framework: str, dtype: str) -> Iterator[None]:
    """Enter a context in which arrays of that dtype keep it."""
    if framework == "jax":
        from xloss.parity.mechanisms.jax import x64

        with x64(dtype == "float64"):
            yield
    else:
        import torch

        with torch.enable_grad():
            yield


def failure(error: BaseException) -> Failure:
    """Return what was raised in one line, with the last line of the user's own code in the traceback."""
    from xloss.catalog import Unsupported

    where = ""
    for frame in traceback.extract_tb(error.__traceback__):
        library = any(part in frame.filename for part in ("site-packages", "/lib/python", "<frozen", "/xloss/compare/"))
        if not library:
            where = f"{frame.filename}:{frame.lineno}: {frame.line}"
    first = next((line for line in f"{error}".splitlines() if line.strip()), "")
    return Failure(f"{type(error).__name__}: {first}"[:300], where, isinstance(error, Unsupported))
