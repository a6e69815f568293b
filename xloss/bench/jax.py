"""What the benchmarks do in JAX; `torch.py` has the same in the same order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xloss.bench.workload import Inputs, Workload


def repeat(array: jax.Array, axis: int, length: int) -> jax.Array:
    """Repeat an array along an axis to a length (0: return it as it is)."""
    if not length:
        return array
    times = [1] * array.ndim
    times[axis] = -(-length // array.shape[axis])
    tiled = jnp.tile(array, times)
    return tiled if tiled.shape[axis] == length else jax.lax.slice_in_dim(tiled, 0, length, axis=axis)


expand_dims = jnp.expand_dims


def vmap_grad(function: Callable[..., Any], argnums: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Map the gradient by arguments `argnums` over `axes`."""
    return jax.vmap(jax.grad(function, argnums=argnums), in_axes=axes)


def build(
    function: Callable[..., Any],
    workload: Workload,
    inputs: Inputs,
    arrays: Mapping[str, Any],
    backend: str,  # noqa: ARG001 - JAX has one compiler
) -> tuple[Callable[[], Any], Any, tuple[Any, ...]]:
    """Return the call to measure, the compiled function, and its arguments (a constant would be folded into it)."""
    if workload.quantity == "value_and_grad":
        argnums = tuple(list(arrays).index(name) for name in inputs.wrt)
        unreduced = workload.reduction == "none"
        function = _value_and_grad_of_sum(function, argnums) if unreduced else jax.value_and_grad(function, argnums)
    program = jax.jit(function)
    values = tuple(jax.block_until_ready(list(arrays.values())))
    return lambda: program(*values), program, values


def _value_and_grad_of_sum(function: Callable[..., Any], argnums: tuple[int, ...]) -> Callable[..., Any]:
    """Return the unreduced value, and the gradient of its sum."""

    def total(*arrays: Any) -> Any:
        value = function(*arrays)
        return value.sum(), value

    def both(*arrays: Any) -> Any:
        (_, value), gradients = jax.value_and_grad(total, argnums, has_aux=True)(*arrays)
        return value, gradients

    return both


def waiter(device: Any) -> Any:  # noqa: ARG001 - results know where they are
    """Return a function of results that blocks until the device has computed them."""
    return jax.block_until_ready


def copier(elements: int, device: Any) -> Callable[[], Any]:
    """Return a call that copies an array of so many float32 numbers."""
    # A program that returns its argument copies it, for the caller keeps the argument.
    array = jax.device_put(np.ones(elements, dtype=np.float32), device)
    identity = jax.jit(lambda x: x)
    return lambda: identity(array)


def free_memory(device: Any) -> int | None:
    """Return the free bytes of a GPU; None where it has no statistics."""
    statistics = device.memory_stats() or {}
    return statistics["bytes_limit"] - statistics["bytes_in_use"] if "bytes_limit" in statistics else None


def values_and_gradients(
    values: Callable[..., Any],
    names: tuple[str, ...],
    wrt: tuple[str, ...],
    mode: str,  # noqa: ARG001 - always compiled
) -> Any:
    """Return a function of the arrays `names`: the values, under "", and the gradient of their sum by each of `wrt`."""

    def both(*arrays: Any) -> dict[str, Any]:
        given = dict(zip(names, arrays, strict=True))

        def by(*primals: Any) -> Any:
            return values(*{**given, **dict(zip(wrt, primals, strict=True))}.values())

        out, pull = jax.vjp(by, *(given[name] for name in wrt))
        return {"": out, **dict(zip(wrt, pull(jnp.ones_like(out)), strict=True))}

    return jax.jit(both)
