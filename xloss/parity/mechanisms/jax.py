"""The mechanisms in JAX. `torch_.py` has them in the same order."""

from __future__ import annotations

import contextlib
import functools
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xloss.parity.mechanisms.base import Directions, Outcome, Problem, Task, refusing_dtypes


class Jax:
    """JAX."""

    name = "jax"

    def version(self) -> str:
        return str(jax.__version__)

    def device(self, device: str) -> jax.Device:
        # Before the first device is asked for: three quarters of a GPU's memory would be taken at once.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        kind, _, number = device.partition(":")
        try:
            found = jax.devices("gpu" if kind == "cuda" else kind)
        except RuntimeError as error:
            raise RuntimeError(f"device: jax {jax.__version__} sees no {device} device ({error})") from error
        if int(number or 0) >= len(found):
            raise RuntimeError(f"device: jax {jax.__version__} sees {len(found)} {kind} devices, not {device}")
        return found[int(number or 0)]

    @contextlib.contextmanager
    def scope(self, dtype: str) -> Iterator[None]:
        with x64(dtype == "float64"), jax.numpy_dtype_promotion("strict"):
            yield

    def put(self, array: np.ndarray, device: Any, layout: str = "", axis: int = 0) -> jax.Array:  # noqa: ARG002 - no strides
        # Not committed to the default device: an operation alone is then compiled once for these and for NumPy's.
        put = jax.device_put(array, None if device == jax.devices()[0] else device)
        if put.dtype != array.dtype and array.dtype.kind not in "iu":
            raise TypeError(f"JAX made {put.dtype} of {array.dtype}: x64 is off")
        return put

    def get(self, array: jax.Array) -> np.ndarray:
        return np.asarray(array)

    def memory(self, array: Any) -> int:  # noqa: ARG002 - nothing can be written to
        return 0

    def is_watched(self, array: Any) -> bool:  # noqa: ARG002 - nothing can be hung on an array
        return False

    def run(self, tasks: list[Task], directions: Directions, programs: dict[Any, Any], key: Any) -> list[Outcome]:
        """Run tasks under `jit`, those together that are compiled alike (fast or not) and asked in the same regimes."""
        outcomes: list[Outcome] = [(None, 0.0)] * len(tasks)
        tasks = [replace(task, problem=_divided_by_array(task.problem)) for task in tasks]
        groups = dict.fromkeys((task.fast_compile, task.typical) for task in tasks if not task.separate_program)
        for fast_compile, typical in groups:
            together = [
                number
                for number, task in enumerate(tasks)
                if not task.separate_program and (task.fast_compile, task.typical) == (fast_compile, typical)
            ]
            start = time.perf_counter()
            some = [tasks[number] for number in together]
            program = (key, fast_compile, tuple(task.name for task in some))
            failures, results = self._together(some, directions, programs, program)
            share = (time.perf_counter() - start) / len(together)
            for number, failure in zip(together, failures, strict=True):
                outcomes[number] = (next(results) if failure is None else failure, share)
        for number, task in enumerate(tasks):
            if task.separate_program:
                outcomes[number] = _run_separately(task, directions)
        return outcomes

    def _together(self, tasks: list[Task], directions: Directions, programs: dict[Any, Any], key: Any) -> Any:
        """Return what each task raised, or None, and an iterator over the results of those that did not."""
        arrays = dict(tasks[0].problem.arrays)
        for attempt in ("all", "traceable"):
            if key not in programs:
                failures = [None if attempt == "all" else _failure(task, directions) for task in tasks]
                good = [task for task, failure in zip(tasks, failures, strict=True) if failure is None]
                programs[key] = failures, bundle(good)
            failures, program = programs[key]
            traced = [task.problem.denominator for task, no in zip(tasks, failures, strict=True) if no is None]
            try:
                given = program(arrays, traced, directions.cotangent, directions.tangents)
                return failures, iter(jax.block_until_ready(given))
            except Exception as error:  # of one of the tasks, or the second time of the compiler or the device
                programs.pop(key)
                last = error
        return [last] * len(tasks), iter(())

    def mechanisms(self) -> Mapping[str, Callable[..., Any]]:
        return MECHANISMS


def _divided_by_array(p: Problem) -> Problem:
    """Return the problem with its denominator as an array: a number takes the dtype, of 16 bits, of what it divides."""
    wide = any(x.dtype == jnp.float64 for x in p.arrays.values())
    return replace(p, denominator=np.asarray(p.denominator, np.float64 if wide else np.float32))


def x64(enabled: bool) -> Any:
    """Return a context in which 64-bit dtypes exist, or do not."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(enabled)
    from jax.experimental import disable_x64, enable_x64

    return enable_x64() if enabled else disable_x64()


def value(p: Problem) -> Any:
    return p()


def backward(p: Problem) -> Any:
    """Differentiate by `value_and_grad`, the nearest thing to `backward()`."""
    return p.by_name(jax.value_and_grad(p, argnums=p.argnums)(*p.primals)[1])


def grad(p: Problem) -> Any:
    return p.by_name(jax.grad(p, argnums=p.argnums)(*p.primals))


def vjp(p: Problem, cotangent: Any) -> Any:
    _, pull = jax.vjp(p, *p.primals)
    return p.by_name(pull(cotangent))


def jvp(p: Problem, tangents: tuple[Any, ...]) -> Any:
    return jax.jvp(p, p.primals, tangents)[1]


def per_sample_vmap(p: Problem) -> Any:
    def one(*row: Any) -> Any:
        return p.contribution(
            **{name: jnp.expand_dims(x, axis) for (name, axis), x in zip(p.batched.items(), row, strict=True)}
        )

    argnums = tuple(list(p.batched).index(name) for name in p.wrt)
    ways = {"in_axes": tuple(p.batched.values()), "out_axes": tuple(p.batched[name] for name in p.wrt)}
    batched = [p.arrays[name] for name in p.batched]
    return p.by_name(jax.vmap(jax.grad(one, argnums=argnums), **ways)(*batched))


def per_sample_loop(p: Problem) -> Any:
    """Differentiate one sample after the other, by `lax.map`."""

    def one(row: Any) -> Any:
        part = lambda *xs: p.contribution(**{**row, **p.by_name(xs)})  # noqa: E731
        return jax.grad(part, argnums=p.argnums)(*(row[name] for name in p.wrt))

    rows = jax.lax.map(
        one,
        {name: jnp.expand_dims(jnp.moveaxis(p.arrays[name], axis, 0), axis + 1) for name, axis in p.batched.items()},
    )
    return {
        name: jnp.moveaxis(x.squeeze(p.batched[name] + 1), 0, p.batched[name]) for name, x in p.by_name(rows).items()
    }


def accumulate(p: Problem) -> Any:
    cut = p.rows() // 3 + 1
    total = [jnp.zeros_like(x) for x in p.primals]
    for part in (slice(0, cut), slice(cut, None)):

        def loss(*xs: Any, part: slice = part) -> Any:
            return p.contribution(**p.slice_batch({**p.arrays, **p.by_name(xs)}, part))

        micro = jax.grad(loss, argnums=p.argnums)(*p.primals)
        total = [a + b for a, b in zip(total, micro, strict=True)]
    return p.by_name(total)


def detach(p: Problem, held: str) -> Any:
    def loss(*xs: Any) -> Any:
        return p(**{name: jax.lax.stop_gradient(x) if name == held else x for name, x in p.by_name(xs).items()})

    return p.by_name(jax.grad(loss, argnums=p.argnums)(*p.primals))


def hvp(p: Problem, directions: tuple[Any, ...], cotangent: Any = None) -> Any:
    """Forward over reverse, by all arguments at once; of the loss times a cotangent where it is not reduced."""
    scalar = p if cotangent is None else lambda *xs: (p(*xs) * cotangent).sum()
    grads = jax.grad(scalar, argnums=p.argnums)
    return p.by_name(jax.jvp(grads, p.primals, directions)[1])


def double_backward(p: Problem, directions: tuple[Any, ...]) -> Any:
    """Reverse over reverse, by all arguments at once."""
    grads = jax.grad(p, argnums=p.argnums)
    return p.by_name(jax.vjp(grads, *p.primals)[1](directions))


def third(p: Problem, tangents: tuple[Any, ...]) -> Any:
    """Differentiate three times forward along one direction."""

    def along(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *xs: jax.jvp(function, xs, tangents)[1]

    return along(along(along(p)))(*p.primals)


def eager(p: Problem) -> Any:
    """Value and gradients operation by operation, without `jit`."""
    value, grads = jax.value_and_grad(p, argnums=p.argnums)(*p.primals)
    return value, p.by_name(grads)


def value_eager(p: Problem) -> Any:
    """Value operation by operation, without any transformation."""
    return p(), {}


def value_numpy(p: Problem) -> Any:
    """Value of NumPy arrays, operation by operation."""
    return p(**{name: np.asarray(x) for name, x in p.arrays.items()}), {}


def numpy(p: Problem) -> Any:
    """Value and gradients of NumPy arguments; labels and weights are constants of the program."""
    given = replace(p, arrays={name: np.asarray(x) for name, x in p.arrays.items()})
    value, grads = fast_compile_jit(jax.value_and_grad(given, argnums=p.argnums))(*given.primals)
    return value, p.by_name(grads)


def x64_enabled(p: Problem) -> Any:
    """Value and gradients of the same arrays, labels in 64 bits, where these dtypes exist: floats keep their own."""

    def both(arrays: Any) -> Any:
        return eager(replace(p, arrays=arrays))

    with x64(True):
        wide = {
            name: x.astype(jnp.int64) if jnp.issubdtype(x.dtype, jnp.integer) else x for name, x in p.arrays.items()
        }
        return fast_compile_jit(both)(wide)


def donated(p: Problem) -> Any:
    """Value and gradients of arguments whose memory the program may use."""
    copies = [jnp.array(x, copy=True) for x in p.primals]
    numbers = tuple(range(len(copies)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
        program = jax.jit(jax.value_and_grad(p, argnums=numbers), donate_argnums=numbers)
        value, grads = program(*copies)
    return value, p.by_name(grads)


def checkpoint(p: Problem) -> Any:
    value, grads = jax.value_and_grad(jax.checkpoint(lambda *xs: p(*xs)), argnums=p.argnums)(*p.primals)
    return value, p.by_name(grads)


def nested_vmap(p: Problem) -> Any:
    """Values under `vmap`, and gradients under two, of the whole batch, over copies of all arguments."""

    def stacked(function: Callable[..., Any]) -> Any:
        twice = {name: jnp.broadcast_to(x, (2, 2, *x.shape)) for name, x in p.arrays.items()}
        return jax.vmap(jax.vmap(function))(twice)

    def grads(arrays: Any) -> Any:
        one = replace(p, arrays=arrays)
        return jax.grad(one, argnums=p.argnums)(*one.primals)

    value = jax.vmap(lambda arrays: replace(p, arrays=arrays)())(
        {name: jnp.broadcast_to(x, (2, *x.shape)) for name, x in p.arrays.items()}
    )
    return value[1], p.by_name([grad[0, 1] for grad in stacked(grads)])


def vmap_jvp(p: Problem, tangents: tuple[Any, ...]) -> Any:
    """Forward mode under `vmap`, along a tangent and its opposite: a Jacobian's columns at once."""
    along = lambda *ways: jvp(p, ways)  # noqa: E731
    return jax.vmap(along)(*_both_ways(tangents))[0]


def vmap_hvp(p: Problem, directions: tuple[Any, ...]) -> Any:
    """Forward over reverse under `vmap`: a Hessian's columns at once."""
    along = lambda *ways: tuple(hvp(p, ways).values())  # noqa: E731
    return p.by_name([columns[0] for columns in jax.vmap(along)(*_both_ways(directions))])


def _both_ways(directions: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(jnp.stack([x, -x]) for x in directions)


def by_position(p: Problem) -> Any:
    return p.by_position(), {}


def standard_promotion(p: Problem) -> Any:
    """Value and gradients under JAX's own rules of promotion, of which the strict ones are a part."""
    with jax.numpy_dtype_promotion("standard"):
        return eager(p)


def narrow_labels(p: Problem) -> Any:
    """Value and gradients with labels in 8 bits, which hold those of a sweep."""
    return _with_labels(p, jnp.int8)


def unsigned_labels(p: Problem) -> Any:
    """Value and gradients with labels in 8 bits without a sign, where none is negative."""
    return _with_labels(p, jnp.uint8)


def _with_labels(p: Problem, dtype: Any) -> Any:
    moved = {name: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.integer) else x for name, x in p.arrays.items()}
    return refusing_dtypes(lambda: eager(replace(p, arrays=moved)))


def weak_types(p: Problem) -> Any:
    """Value and gradients of numbers, all but the first of them Python's: these do not decide on the dtype."""
    numbers = {name for name, x in p.arrays.items() if jnp.issubdtype(x.dtype, jnp.floating) and name != p.wrt[0]}

    def both(arrays: Any) -> Any:
        return eager(replace(p, arrays=arrays))

    value, grads = fast_compile_jit(both)({name: float(x) if name in numbers else x for name, x in p.arrays.items()})
    return value, {name: grads[name].astype(x.dtype) for name, x in p.by_name(p.primals).items()}


def spoiled(p: Problem) -> Any:
    """Value and gradients with NaN and infinities where the loss does not look."""
    return eager(replace(p, arrays={**p.arrays, **p.spoiled}))


def widened(p: Problem) -> Any:
    """Value and gradients with an element, or a class, that adds nothing; NaN where a gradient by that is not 0."""
    value, grads = eager(replace(p, arrays={**p.arrays, **p.widened}))
    for name in set(grads) & set(p.widened):
        whole, inner = grads[name], grads[name][p.within(name)]
        beyond = (whole != 0).sum() - (inner != 0).sum()
        grads[name] = jnp.where(beyond > 0, jnp.nan, inner)
    return value, grads


def mixed(p: Problem) -> Any:
    """Value and gradients with all but the first argument in float32."""
    others = {name for name, x in p.arrays.items() if jnp.issubdtype(x.dtype, jnp.floating) and name != p.wrt[0]}
    wide = {name: p.arrays[name].astype(jnp.float32) for name in others}
    return refusing_dtypes(lambda: eager(replace(p, arrays={**p.arrays, **wide})))


def bundle(tasks: list[Task]) -> Any:
    """Compile all tasks as one function of arrays, denominators and directions; fast if the first task is."""

    def program(arrays: Any, denominators: Any, cotangent: Any, tangents: Any) -> Any:
        return [
            task.run(replace(task.problem, arrays=arrays, denominator=by), Directions(cotangent, tangents))
            for task, by in zip(tasks, denominators, strict=True)
        ]

    return fast_compile_jit(program) if tasks and tasks[0].fast_compile else jax.jit(program)


# On a CPU most of XLA's time goes into making each fused kernel and into LLVM's optimizations of it. Without them a
# program is there several times sooner; it computes the same operations, more slowly.
FAST_COMPILE = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


def fast_compile_jit(function: Callable[..., Any]) -> Any:
    """Jit with fewer optimizations on a CPU: a fraction of the compile time, for a program that runs once."""
    return jax.jit(function, compiler_options=_fast_compile_options() if jax.default_backend() == "cpu" else None)


@functools.cache
def _fast_compile_options() -> dict[str, Any]:
    """Return those of `FAST_COMPILE` that this version's compiler knows."""
    out = {}
    for name, setting in FAST_COMPILE.items():
        try:
            jax.jit(lambda x: -x, compiler_options={name: setting}).lower(np.float32(1)).compile()
        except Exception as error:  # of a type that differs by version
            if name not in str(error):
                raise
        else:
            out[name] = setting
    return out


def _failure(task: Task, directions: Directions) -> Exception | None:
    """Return what tracing a task raises, or None."""
    try:
        jax.eval_shape(
            lambda arrays: task.run(replace(task.problem, arrays=arrays), directions), dict(task.problem.arrays)
        )
    except Exception as error:  # whatever a contestant raises is a finding about it
        return error
    return None


def _run_separately(task: Task, directions: Directions) -> Outcome:
    start = time.perf_counter()
    try:
        result: Any = jax.block_until_ready(task.run(task.problem, directions))
    except Exception as error:  # whatever a contestant raises is a finding about it
        result = error
    return result, time.perf_counter() - start


MECHANISMS: Mapping[str, Callable[..., Any]] = {
    "value": value,
    "backward": backward,
    "grad": grad,
    "vjp": vjp,
    "jvp": jvp,
    "per_sample.vmap": per_sample_vmap,
    "per_sample.loop": per_sample_loop,
    "accumulate": accumulate,
    "detach": detach,
    "hvp": hvp,
    "double_backward": double_backward,
    "eager": eager,
    "third": third,
    "value.eager": value_eager,
    "value.numpy": value_numpy,
    "numpy": numpy,
    "x64": x64_enabled,
    "donated": donated,
    "checkpoint": checkpoint,
    "nested_vmap": nested_vmap,
    "vmap.jvp": vmap_jvp,
    "vmap.hvp": vmap_hvp,
    "by_position": by_position,
    "standard_promotion": standard_promotion,
    "narrow_labels": narrow_labels,
    "unsigned_labels": unsigned_labels,
    "weak_types": weak_types,
    "mixed": mixed,
    "spoiled": spoiled,
    "widened": widened,
}
