"""Losses of `torch.distributed.tensor.DTensor`: computed on the samples of each device, by the plain loss.

One mechanism for all. The arguments are brought to placements under which each device has whole samples, the loss runs
on the local tensors, and what it hands over to be reduced is put together again: no operation inside a loss needs a
rule of DTensor, and the denominator of a mean is that of all devices. What cannot be taken apart is gathered first:
losses that compare samples, classes that are sharded, labels of all samples concatenated, a batch that leaves a device
without a row.

Nothing here imports torch before a DTensor is seen.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from xloss.ops import arguments
from xloss.ops.reductions import Deferred

# For each axis of the mesh, the axis of the unreduced loss that is sharded over it, or None.
Sharded = tuple[int | None, ...]


def any_placement(function: Callable[..., Any], facts: Any, reductions: Sequence[str]) -> Callable[..., Any]:
    """Make a loss of tensors one of tensors and DTensors.

    `facts` (`xloss.catalog.Arguments`) says which arguments have an axis of samples, and which axes hold classes.
    Plain tensors beside a DTensor are the whole arguments, the same on all devices.
    """
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    positional = names[: code.co_argcount]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # Not imported here, which takes seconds; what every call pays for is a look-up and comparing types.
        if "torch.distributed.tensor" in sys.modules:
            kind = getattr(sys.modules["torch.distributed.tensor"], "DTensor", None)
            for x in (*args, *kwargs.values()):
                if type(x) is kind:
                    given = dict(zip(positional[: len(args)], args, strict=False))
                    if len(given) == len(args) and not any(name in kwargs for name in given):
                        return _distributed(function, names, facts, reductions, {**given, **kwargs})
        return function(*args, **kwargs)

    return call


def _distributed(
    function: Callable[..., Any], names: Sequence[str], facts: Any, reductions: Sequence[str], given: dict[str, Any]
) -> Any:
    """Call the loss on the tensors of this device, and put the result together."""
    reduction = given.pop("reduction", "mean")
    arguments.check_reduction(reduction, reductions)
    # In the order of the signature, whose first argument is the one that shapes are compared with.
    given = {name: given[name] for name in (*names, *given) if name in given}
    mesh = _mesh(given)
    given = {name: _tensor_of_numbers(x) if name in facts.batch_axes else x for name, x in given.items()}
    plan = _plan(facts, {name: x for name, x in given.items() if _is_tensor(x)}, mesh)
    local = {name: _map(functools.partial(plan.local, name), x) for name, x in given.items()}
    if "reduction" in names:
        return function(**local, reduction=Deferred(functools.partial(plan.reduce, reduction)))
    # adaptive_log_softmax_with_loss gives minus the unreduced loss, and its mean.
    found = function(**local)
    output = found[0] if found[0].dtype.itemsize > 2 else found[0].float()
    mean = plan.reduce("mean", -output, found[0].dtype, None, None, None)
    return type(found)(plan.whole(found[0]), mean)


class _Plan:
    """Where everything lies: how the unreduced loss is sharded over the mesh, and with it each argument."""

    def __init__(self, mesh: Any, sharded: Sharded, sizes: Mapping[int, int], axis_of: Callable[[str, Any, int], Any]):
        """`sizes`: of the axes that are sharded; `axis_of(name, tensor, axis)`: which axis of an argument that is."""
        self.mesh, self.sharded, self.sizes, self.axis_of = mesh, sharded, sizes, axis_of

    def local(self, name: str, x: Any) -> Any:
        """Return what this device is to compute with; the gradient comes back whole, and placed like the argument."""
        from torch.distributed.tensor import DTensor, Partial, Replicate, Shard

        if type(x) is not DTensor:
            if all(axis is None for axis in self.sharded):
                return x
            x = self.replicated(x)
        axes = [None if axis is None else self.axis_of(name, x, axis) for axis in self.sharded]
        wanted = [Replicate() if axis is None else Shard(axis) for axis in axes]
        # What all samples share gets a part of its gradient on each device.
        grads = [
            Partial() if axis is None and by is not None else place
            for axis, by, place in zip(axes, self.sharded, wanted, strict=True)
        ]
        local = x.redistribute(self.mesh, wanted).to_local(grad_placements=grads)
        return local.wait() if hasattr(local, "wait") else local

    def shape(self, local: Any) -> tuple[int, ...]:
        """Return the shape on all devices together of an unreduced loss."""
        return tuple(self.sizes.get(axis, size) for axis, size in enumerate(local.shape))

    def whole(self, local: Any) -> Any:
        """Return the unreduced loss of all devices."""
        from torch.distributed.tensor import DTensor, Replicate, Shard

        shape, placed = self.shape(local), [Replicate() if axis is None else Shard(axis) for axis in self.sharded]
        stride = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        return DTensor.from_local(local.contiguous(), self.mesh, placed, run_check=False, shape=shape, stride=stride)

    def replicated(self, x: Any) -> Any:
        """Return as a DTensor what is the same on all devices."""
        from torch.distributed.tensor import DTensor, Replicate

        return DTensor.from_local(x, self.mesh, [Replicate()] * self.mesh.ndim, run_check=False)

    def total(self, local: Any) -> Any:
        """Add up the numbers of all devices.

        As an operation on a DTensor of known placement, which its gradient has, too: `from_local` of a part of the sum
        has the right gradient, but not the right second one.
        """
        from torch.distributed.tensor import Replicate

        whole = self.whole(local)
        whole = whole.redistribute(self.mesh, whole.placements)
        return whole.sum().redistribute(self.mesh, [Replicate()] * self.mesh.ndim)

    def reduce(self, reduction: Any, loss: Any, dtype: Any, weights: Any, batch: int | None, terms: Any) -> Any:
        """Do what `xloss.ops.reductions.torch_reduce` does, over all devices."""
        if terms is not None and reduction not in ("none", "sum"):
            loss = terms
        if reduction == "none":
            return self.whole(loss.to(dtype))
        total = self.total(loss)
        if reduction == "sum":
            return total.to(dtype)
        if reduction == "batchmean":
            return (total / self.sizes.get(0, batch)).to(dtype)
        count = loss.new_full((), math.prod(self.shape(loss)))
        denominator = self.total(weights) if weights is not None else self.replicated(count)
        return (total / denominator).to(dtype) if reduction == "mean" else (total, denominator)


def _is_tensor(x: Any) -> bool:
    import torch

    return isinstance(x, torch.Tensor)


def _leaves(x: Any) -> Iterator[Any]:
    """Yield the tensors of an argument, which may be a list of lists."""
    if isinstance(x, (list, tuple)):
        for each in x:
            yield from _leaves(each)
    elif _is_tensor(x):
        yield x


def _map(function: Callable[[Any], Any], x: Any) -> Any:
    """Apply the function to the tensors of an argument."""
    if isinstance(x, (list, tuple)):
        return [_map(function, each) for each in x]
    return function(x) if _is_tensor(x) else x


def _tensor_of_numbers(x: Any) -> Any:
    """Return lengths that are given as numbers as a tensor, which can be sharded; anything else as it is."""
    import torch

    if not isinstance(x, (list, tuple)) or not all(type(each) is int and abs(each) < 2**63 for each in x):
        return x
    return torch.tensor(x, dtype=torch.int64)


def _mesh(given: Mapping[str, Any]) -> Any:
    """Return the mesh of all DTensors; `ValueError` names one on another."""
    mesh: Any = None
    for name, argument in given.items():
        for x in _leaves(argument):
            if type(x).__name__ == "DTensor":
                mesh = x.device_mesh if mesh is None else mesh
                if x.device_mesh != mesh:
                    arguments.raise_value_error(name, f"a DTensor on {x.device_mesh}", f"one on {mesh}, as before")
    return mesh


def _plan(facts: Any, tensors: Mapping[str, Any], mesh: Any) -> _Plan:
    """Return how to shard the unreduced loss: over what its arguments are sharded over, where that leaves it whole."""
    from torch.distributed.tensor import DTensor, Shard

    axis_of, shape = _elementwise(facts, tensors) or _by_samples(facts, tensors) or (lambda *_: None, ())
    sharded: list[int | None] = [None] * mesh.ndim
    for place in range(mesh.ndim):
        for name, x in tensors.items():
            over: Any = x.placements[place] if type(x) is DTensor else None
            if type(over) is Shard and sharded[place] is None:
                found = [axis for axis in range(len(shape)) if axis_of(name, x, axis) == over.dim % x.ndim]
                sharded[place] = found[0] if found else None
    for axis in range(len(shape)):
        sizes = [mesh.size(place) for place in range(mesh.ndim) if sharded[place] == axis]
        if not _all_have_rows(shape[axis], sizes):
            sharded = [None if own == axis else own for own in sharded]
    return _Plan(mesh, tuple(sharded), {axis: shape[axis] for axis in sharded if axis is not None}, axis_of)


def _all_have_rows(rows: int, devices: Sequence[int]) -> bool:
    """Tell whether each device has a row, where they are dealt in equal chunks, the last one smaller."""
    if len(devices) == 1:
        return rows > -(-rows // devices[0]) * (devices[0] - 1)
    return not devices or (rows > 0 and rows % math.prod(devices) == 0)


def _elementwise(facts: Any, tensors: Mapping[str, Any]) -> Any:
    """Return `_Plan.axis_of` and the shape of the first argument, where all others are broadcast to that."""
    first, x = next(iter(tensors.items()))
    if facts.class_axes is None or facts.class_axes(first, x.ndim) is not None:
        return None
    shape = tuple(x.shape)
    by_row = []
    for name, other in tensors.items():
        given = tuple(other.shape)
        fits = all(ours in (1, size) for ours, size in zip(given[::-1], shape[::-1], strict=False))
        # gaussian_nll_loss takes variances of the rows, which are not broadcast from the right.
        of_rows = 0 < len(given) < len(shape) and given == shape[: len(given)]
        if len(given) > len(shape) or fits == of_rows:
            return None
        by_row += [name] if of_rows else []

    def axis_of(name: str, tensor: Any, axis: int) -> int | None:
        own = axis if name in by_row else axis - len(shape) + tensor.ndim
        return own if 0 <= own < tensor.ndim and tensor.shape[own] == shape[axis] else None

    return axis_of, shape


def _by_samples(facts: Any, tensors: Mapping[str, Any]) -> Any:
    """Return `_Plan.axis_of` and the number of samples, where all arguments that have an axis of samples agree."""
    first, x = next(iter(tensors.items()))
    classes = None if facts.class_axes is None else facts.class_axes(first, x.ndim)
    axis = facts.batch_axes.get(first, x.ndim)
    if classes is None or axis >= x.ndim or axis in (classes if isinstance(classes, tuple) else (classes,)):
        return None
    samples = x.shape[axis]
    for name, own in facts.batch_axes.items():
        if name in tensors:
            other = tensors[name]
            broadcast = other.is_floating_point() and other.ndim != x.ndim and name != "target"
            if broadcast or other.ndim <= own or other.shape[own] != samples:
                return None
    # Labels of all samples one after the other may happen to be as many.
    if "targets" in tensors and tensors["targets"].ndim != 2:
        return None
    return (lambda name, _tensor, _axis: facts.batch_axes.get(name)), (samples,)
