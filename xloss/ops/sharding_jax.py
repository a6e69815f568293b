"""Operations on arrays that are sharded over `Explicit` axes of a mesh (`jax.sharding.AxisType`).

There JAX asks how the result of a gather or a reshape is sharded, and refuses to communicate without being told. An
operation that gathers runs with these axes `Auto`, as XLA partitions it, and says only how its result is sharded.
Elsewhere (no mesh, `Auto` axes, `shard_map`) nothing is changed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

__all__ = ["any_sharding", "gathered"]

Axes = tuple[int | None, ...]


def any_sharding(result_axes: Callable[..., Iterable[tuple[Any, Axes]]]) -> Callable[[Any], Any]:
    """Make a function of arrays run however these are sharded.

    `result_axes` takes the function's arguments and returns pairs: an array, and for each axis of the result the axis
    of that array with whose sharding it comes, None with none. The first array that is sharded there decides.
    """

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any) -> Any:
            leaves, tree = jax.tree.flatten(args)
            meshes = [leaf.aval.sharding.mesh for leaf in leaves if any(_spec(leaf))]
            if not meshes:
                return function(*args)
            arrays = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]

            def of_arrays(*arrays: Any) -> Any:
                given = iter(arrays)
                return function(*tree.unflatten(next(given) if isinstance(x, jax.Array) else x for x in leaves))

            sharding = NamedSharding(meshes[0], PartitionSpec(*_merged(result_axes(*args))))
            return _auto_axes(of_arrays, sharding)(*arrays)

        return call

    return decorate


@any_sharding(lambda x, dim: [(x, (*range(dim), None, *range(dim + 1, x.ndim)))])
def gathered(x: Any, dim: int) -> Any:  # noqa: ARG001
    """Return x with the whole of the axis `dim` on each device."""
    return x


def _auto_axes(function: Callable[..., Any], sharding: NamedSharding) -> Callable[..., Any]:
    if hasattr(jax.sharding, "auto_axes"):
        return jax.sharding.auto_axes(function, out_sharding=sharding)  # type: ignore[no-any-return]
    from jax.experimental.shard import auto_axes  # jax 0.6

    return auto_axes(function, out_shardings=sharding)  # type: ignore[no-any-return]


def _spec(array: Any) -> tuple[Any, ...]:
    """Return for each axis of an array the `Explicit` mesh axes that it is sharded over; () for anything else."""
    sharding = getattr(getattr(array, "aval", None), "sharding", None)
    return () if sharding is None else tuple(sharding.spec)


def _merged(pairs: Iterable[tuple[Any, Axes]]) -> list[Any]:
    """Return the first mesh axes given for each axis of the result; no mesh axis twice."""
    merged: list[Any] = []
    for array, axes in pairs:
        spec = _spec(array)
        merged += [None] * (len(axes) - len(merged))
        used = {name for names in merged if names for name in (names if isinstance(names, tuple) else (names,))}
        for place, axis in enumerate(axes):
            names = spec[axis] if axis is not None and axis < len(spec) else None
            own = names if isinstance(names, tuple) else (names,)
            if names is not None and merged[place] is None and not used & set(own):
                merged[place] = names
                used |= set(own)
    return merged
