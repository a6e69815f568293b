"""The mechanisms in JAX. `torch_.py` has them in the same order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xloss.frameworks.base import Problem


class Jax:
    """JAX."""

    name = "jax"

    def version(self) -> str:
        return jax.__version__

    def device(self, device: str) -> jax.Device:
        platform = "gpu" if device == "cuda" else device
        try:
            return jax.devices(platform)[0]
        except RuntimeError as error:
            raise RuntimeError(f"device: jax {jax.__version__} sees no {device} device ({error})") from error

    @contextlib.contextmanager
    def scope(self, dtype: str) -> Iterator[None]:
        with x64(dtype == "float64"), jax.numpy_dtype_promotion("strict"):
            yield

    def put(self, array: np.ndarray, device: Any, contiguous: bool = True) -> jax.Array:  # noqa: ARG002 - no strides here
        put = jax.device_put(array, device)
        if put.dtype != array.dtype and array.dtype.kind not in "iu":
            raise TypeError(f"JAX made {put.dtype} of {array.dtype}: x64 is off")
        return put

    def get(self, array: jax.Array) -> np.ndarray:
        return np.asarray(array)

    def compile_program(self, p: Problem) -> Any:
        return compile_program(p)

    def mechanisms(self) -> Mapping[str, Callable[..., Any]]:
        return MECHANISMS


def x64(enabled: bool) -> Any:
    """A scope in which 64-bit dtypes exist, or do not."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(enabled)
    from jax.experimental import disable_x64, enable_x64

    return enable_x64() if enabled else disable_x64()


def value(p: Problem) -> Any:
    return p()


def backward(p: Problem, cotangent: Any = None) -> Any:
    """The nearest thing to `backward()`: `value_and_grad`, or with a cotangent, `vjp` traced by `jit`."""
    if cotangent is None:
        return p.by_name(jax.value_and_grad(p, argnums=tuple(range(len(p.wrt))))(*p.primals)[1])
    return p.by_name(jax.jit(lambda *xs: jax.vjp(p, *xs)[1](cotangent))(*p.primals))


def grad(p: Problem) -> Any:
    return p.by_name(jax.grad(p, argnums=tuple(range(len(p.wrt))))(*p.primals))


def vjp(p: Problem, cotangent: Any) -> Any:
    _, pull = jax.vjp(p, *p.primals)
    return p.by_name(pull(cotangent))


def jvp(p: Problem, tangents: tuple[Any, ...]) -> Any:
    return jax.jvp(p, p.primals, tangents)[1]


def per_sample_vmap(p: Problem) -> Any:
    batched = [p.arrays[name] for name in p.batched]

    def one(*row: Any) -> Any:
        return p.of("sum")(**{name: x[None] for name, x in zip(p.batched, row, strict=True)}) / p.denominator

    argnums = tuple(p.batched.index(name) for name in p.wrt)
    return p.by_name(jax.vmap(jax.grad(one, argnums=argnums))(*batched))


def per_sample_loop(p: Problem) -> Any:
    rows = []
    for i in range(p.rows()):
        row = {name: p.arrays[name][i : i + 1] for name in p.batched}
        part = lambda *xs, row=row: p.of("sum")(**{**row, **p.by_name(xs)}) / p.denominator  # noqa: E731
        rows.append(jax.grad(part, argnums=tuple(range(len(p.wrt))))(*(row[name] for name in p.wrt)))
    return p.by_name([jnp.concatenate(column) for column in zip(*rows, strict=True)])


def accumulate(p: Problem) -> Any:
    cut = p.rows() // 3 + 1
    total = [jnp.zeros_like(x) for x in p.primals]
    for part in (slice(0, cut), slice(cut, None)):

        def loss(*xs: Any, part: slice = part) -> Any:
            micro = {name: {**p.arrays, **p.by_name(xs)}[name][part] for name in p.batched}
            return p.of("sum")(**micro) / p.denominator

        micro = jax.grad(loss, argnums=tuple(range(len(p.wrt))))(*p.primals)
        total = [a + b for a, b in zip(total, micro, strict=True)]
    return p.by_name(total)


def detach(p: Problem, held: str) -> Any:
    def loss(*xs: Any) -> Any:
        return p(**{name: jax.lax.stop_gradient(x) if name == held else x for name, x in p.by_name(xs).items()})

    return p.by_name(jax.grad(loss, argnums=tuple(range(len(p.wrt))))(*p.primals))


def hvp(p: Problem, direction: Any) -> Any:
    """Forward over reverse, by the first argument."""
    return jax.jvp(jax.grad(p), (p.primals[0],), (direction,))[1]


def double_backward(p: Problem, direction: Any) -> Any:
    """Reverse over reverse, by the first argument."""
    return jax.vjp(jax.grad(p), p.primals[0])[1](direction)[0]


def compiled(p: Problem, program: Any) -> Any:
    """Value and gradients in one program under `jit`; `program` is from `compile_program`."""
    return program(dict(p.arrays))


def compile_program(p: Problem) -> Any:
    """Value and gradients as a compiled function of the arrays."""
    function, options, reduction, wrt = p.function, dict(p.options), p.reduction, p.wrt

    def program(arrays: Any) -> Any:
        rest = {name: array for name, array in arrays.items() if name not in wrt}
        loss = lambda leaves: function(**rest, **leaves, **options, reduction=reduction)  # noqa: E731
        return jax.value_and_grad(loss)({name: arrays[name] for name in wrt})

    return jax.jit(program)


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
    "compiled": compiled,
}
