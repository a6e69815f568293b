"""A work in JAX: how arrays grow, what is called. `torch_.py` has the same in the same order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from xloss.bench.workload import Drawn, Ready, Work


def grow(array: jax.Array, axis: int, length: int) -> jax.Array:
    """Repeat an array along an axis up to a length (0: leave it)."""
    if not length:
        return array
    times = [1] * array.ndim
    times[axis] = -(-length // array.shape[axis])
    tiled = jnp.tile(array, times)
    return tiled if tiled.shape[axis] == length else jax.lax.slice_in_dim(tiled, 0, length, axis=axis)


def make(work: Work, drawn: Drawn, function: Callable[..., Any], arrays: Mapping[str, Any], framework: Any,
         device: Any, backend: str) -> Ready:  # fmt: skip  # noqa: ARG001 - JAX has one compiler
    """The call that is measured; its arrays are arguments, for a constant would be folded into the program."""
    names = tuple(arrays)

    def loss(*values: Any) -> Any:
        return function(**dict(zip(names, values, strict=True)))

    def per_sample(*values: Any) -> Any:
        given = dict(zip(names, values, strict=True))
        shared = {name: value for name, value in given.items() if name not in drawn.axes}

        def one(*row: Any) -> Any:
            batch = {n: jnp.expand_dims(x, axis) for (n, axis), x in zip(drawn.axes.items(), row, strict=True)}
            return function(**shared, **batch)

        argnums = tuple(number for number, name in enumerate(drawn.axes) if name in drawn.wrt)
        mapped = jax.vmap(jax.grad(one, argnums=argnums), in_axes=tuple(drawn.axes.values()))
        return mapped(*(given[name] for name in drawn.axes))

    body: Any = per_sample if work.quantity == "per_sample" else loss
    if work.quantity == "value_and_grad":
        body = jax.value_and_grad(loss, argnums=tuple(names.index(name) for name in drawn.wrt))
    program = jax.jit(body)
    values = tuple(jax.block_until_ready(list(arrays.values())))

    def call() -> Any:
        return program(*values)

    return Ready(work, drawn, call, jax.block_until_ready, framework, device, program, values)
