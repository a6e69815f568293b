"""Ask losses of `xloss.jax` on arrays that are sharded over eight devices, and compare with one device.

A program of its own, for JAX makes several devices of one CPU only when it starts. Its arguments are names of losses,
or `--planted`; it prints a JSON object: how many results it compared, and what differed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from packaging.version import Version

# Eight devices, programs compiled quickly; the last flag is one that newer versions of XLA refuse.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0" + (
    " --xla_cpu_use_fusion_emitters=false" if Version(importlib.metadata.version("jaxlib")) < Version("0.11") else ""
)

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from xloss import catalog
from xloss.catalog import Loss, Variant
from xloss.ops.reductions import sum_and_denominator
from xloss.parity.inputs import Draw

OLD = not hasattr(jax, "shard_map")  # jax 0.6
shard_map = importlib.import_module("jax.experimental.shard_map").shard_map if OLD else jax.shard_map

DEVICES = 8
Specs = Mapping[str, PartitionSpec]


class Case:
    """A loss, one of its variants, and a batch of as many samples as there are devices, with eight classes."""

    def __init__(self, loss: Loss, variant: Variant, shape: tuple[int, ...]):
        self.loss, self.variant = loss, variant
        axis = next(iter(loss.arguments.batch_axes.values()))
        shape = (*shape[:axis], DEVICES, *shape[axis + 1 :])
        arrays = loss.inputs(Draw(loss, variant, shape, "typical", "float32"))
        self.arrays = {name: jnp.asarray(array) for name, array in arrays.items()}
        self.wrt = loss.arguments.differentiable(arrays)
        self.independent = loss.arguments.class_axes is not None

    def batch_axis(self, name: str) -> int | None:
        """The axis of the samples; None for what all samples share."""
        axis, shape = self.loss.arguments.batch_axes.get(name), self.arrays[name].shape
        shared = axis is None or len(shape) <= axis or shape[axis] != DEVICES
        return None if shared or (self.variant.broadcast and name == "target") else axis

    def over_samples(self) -> Specs:
        return {name: spec({self.batch_axis(name): "samples"}) for name in self.arrays}

    def over_classes(self) -> Specs | None:
        """The first argument sharded over its classes, or its last axis, also; None where eight do not divide these."""
        first = next(iter(self.arrays))
        shape, axes = self.arrays[first].shape, self.loss.arguments.class_axes
        axis = axes(first, len(shape)) if axes else None
        axis = len(shape) - 1 if axis is None else axis if isinstance(axis, int) else axis[-1]
        if axis == self.batch_axis(first) or shape[axis] % 2:
            return None
        return {**self.over_samples(), first: spec({self.batch_axis(first): "samples", axis: "classes"})}

    def call(self, reduction: str, arrays: Mapping[str, Any]) -> Any:
        return self.loss.implementation("jax")(**arrays, **self.variant.options, reduction=reduction)

    def run(
        self, arrays: Mapping[str, Any], reductions: tuple[str, ...], call: Callable[..., Any] | None = None
    ) -> Any:
        """Values and gradients for each reduction."""
        out = []
        for reduction in reductions:

            def value(leaves: dict[str, Any], reduction: str = reduction) -> Any:
                return (call or self.call)(reduction, {**arrays, **leaves})

            result, pull = jax.vjp(value, {name: arrays[name] for name in self.wrt})
            one = jnp.ones_like(result)
            # Chosen by the result, it varies over the mesh as that does, which `shard_map` of jax 0.6 asks for.
            out.append((result, pull(jnp.where(jnp.isnan(result), one, one))[0]))
        return out


def spec(names: Mapping[int | None, str]) -> PartitionSpec:
    """Make a spec of the mesh axis for each array axis."""
    axes = [axis for axis in names if axis is not None]
    return PartitionSpec(*(names.get(axis) for axis in range(max(axes, default=-1) + 1)))


def mesh(kind: Any, shape: tuple[int, int] = (DEVICES, 1)) -> Any:
    return jax.make_mesh(shape, ("samples", "classes"), axis_types=(kind, kind))


def placed(case: Case, specs: Specs, over: Any) -> dict[str, Any]:
    return {name: jax.device_put(array, NamedSharding(over, specs[name])) for name, array in case.arrays.items()}


def on_mesh(case: Case, over: Any, specs: Specs) -> tuple[Any, Any]:
    """Under `jit`, of all reductions."""
    reductions = case.loss.reductions
    return jax.jit(lambda arrays: case.run(arrays, reductions))(placed(case, specs, over)), reductions


def in_shard_map(case: Case) -> tuple[Any, Any]:
    """Differentiated from outside and inside, and the mean of the whole batch by `sum_and_denominator`."""
    specs, over = case.over_samples(), mesh(AxisType.Auto)
    outside = shard_map(
        lambda arrays: case.call("none", arrays), mesh=over, in_specs=(specs,), out_specs=PartitionSpec("samples")
    )
    inside = shard_map(
        lambda arrays: case.run(arrays, ("none",)),
        mesh=over,
        in_specs=(specs,),
        out_specs=[(PartitionSpec("samples"), {name: specs[name] for name in case.wrt})],
    )

    def total(reduction: str, arrays: Any) -> Any:
        def mean(arrays: Any) -> Any:
            parts = sum_and_denominator(case.loss.jax, **arrays, **case.variant.options)
            parts = [jax.lax.psum(part, "samples") for part in parts]
            return parts[0] / parts[1]

        return shard_map(mean, mesh=over, in_specs=(specs,), out_specs=PartitionSpec())(arrays)

    has_mean = case.loss.wrap_call is None and case.loss.name != "ctc_loss"  # whose mean is of other values

    def program(arrays: Any) -> Any:
        out = [case.run(arrays, ("none",), lambda _, arrays: outside(arrays)), inside(arrays)]
        return [*out, case.run(arrays, ("mean",), total)] if has_mean else out

    got = jax.jit(program)(case.arrays)
    return [results[0] for results in got], ("none", "none", "mean")[: len(got)]


def in_pmap(case: Case) -> tuple[Any, Any]:
    """One sample a device."""
    axes = {name: case.batch_axis(name) for name in case.arrays}
    split = {
        name: array if axes[name] is None else jnp.expand_dims(jnp.moveaxis(array, axes[name], 0), axes[name] + 1)
        for name, array in case.arrays.items()
    }

    def one(arrays: Any) -> Any:
        value, grads = case.run(arrays, ("none",))[0]
        return value, {
            name: jax.lax.psum(grad, "samples") if axes[name] is None else grad for name, grad in grads.items()
        }

    places = {name: None if axis is None else 0 for name, axis in axes.items()}
    value, grads = jax.pmap(one, "samples", in_axes=(places,))(split)
    whole = {
        name: grad[0] if axes[name] is None else jnp.moveaxis(grad.squeeze(axes[name] + 1), 0, axes[name])
        for name, grad in grads.items()
    }
    return [(value.squeeze(1), whole)], ("none",)


def ways(case: Case, first: bool) -> Iterator[tuple[str, Callable[[], tuple[Any, Any]]]]:
    """The ways to distribute a case; those by which XLA or `pmap` see to everything for the first variant alone."""
    yield "Explicit axes", lambda: on_mesh(case, mesh(AxisType.Explicit), case.over_samples())
    by_class = case.over_classes()
    if by_class is not None:
        yield "Explicit axes, classes", lambda: on_mesh(case, mesh(AxisType.Explicit, (4, 2)), by_class)
    # `shard_map` of jax 0.6 fails on the reduction of smoothed rows in chunks, with and without its own check.
    if case.independent and not (OLD and case.loss.name == "linear_cross_entropy"):
        yield "shard_map", lambda: in_shard_map(case)
    if first:
        yield "Auto axes", lambda: on_mesh(case, mesh(AxisType.Auto), case.over_samples())
        if case.independent:
            yield "pmap", lambda: in_pmap(case)


def cases(loss: Loss) -> Iterator[Case]:
    """Each variant with a batch, whose samples may be taken apart; by its first shape with an axis."""
    for variant in loss.variants:
        if not variant.unbatched and variant.per_sample:
            yield Case(loss, variant, next(shape for shape in variant.shapes if shape))


def check(loss: Loss) -> tuple[int, list[str]]:
    """Return how many results were compared, and what failed."""
    count, failures = 0, []
    for number, case in enumerate(cases(loss)):
        want = dict(
            zip(loss.reductions, jax.jit(lambda arrays: case.run(arrays, loss.reductions))(case.arrays), strict=True)  # noqa: B023
        )
        for way, run in ways(case, number == 0):
            at = f"{loss.name}, {case.variant.name}, {way}"
            try:
                got, reductions = run()
                for result, reduction in zip(got, reductions, strict=True):
                    for ours, theirs in zip(jax.tree.leaves(result), jax.tree.leaves(want[reduction]), strict=True):
                        np.testing.assert_allclose(ours, theirs, 1e-5, 1e-6, err_msg=reduction)
                        count += 1
            except Exception as error:  # reported, each by itself
                failures.append(f"{at}: {type(error).__name__}: {error}"[:600])
    return count, failures


def planted() -> tuple[int, list[str]]:
    """Two faulty losses: one divides by the rows it sees, one gathers as JAX refuses to on `Explicit` axes."""

    def reduced(loss: Any, reduction: Any) -> Any:
        parts = loss.sum(), jnp.float32(loss.size)
        return {"none": loss, "sum": parts[0], "mean": parts[0] / parts[1]}.get(reduction, parts)

    def by_rows(input: Any, target: Any, reduction: str = "mean") -> Any:
        return reduced((input - target) ** 2 / input.shape[0], reduction)

    def gathers(input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
        loss = -jnp.take_along_axis(input, target[:, None], 1)[:, 0] * (1 if weight is None else weight[target])
        return reduced(loss, reduction)

    count, failures = 0, []
    for name, jax_loss in (("mse_loss", by_rows), ("nll_loss", gathers)):
        right = catalog.get(name)
        vars(jax_loss)["__xloss__"] = name
        weighted = next(variant for variant in right.variants if "weight" in variant.tensors)
        variant = right.variants[0] if name == "mse_loss" else weighted
        with catalog.substitute(name, jax=jax_loss, variants=(variant,)) as loss:
            more, failed = check(loss)
            count, failures = count + more, failures + failed
    return count, failures


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
    assert jax.device_count() == DEVICES
    found = [planted()] if "--planted" in sys.argv else [check(catalog.get(name)) for name in sys.argv[1:]]
    answer = {"count": sum(count for count, _ in found), "failures": [line for _, failed in found for line in failed]}
    sys.stdout.write(json.dumps(answer) + "\n")
