"""What the benchmarks do in PyTorch; `jax.py` has the same in the same order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch

from xloss.bench.workload import Inputs, Workload

_numbers = itertools.count()


def repeat(tensor: torch.Tensor, axis: int, length: int) -> torch.Tensor:
    """Repeat a tensor along an axis to a length (0: return it as it is)."""
    if not length:
        return tensor
    times = [1] * tensor.ndim
    times[axis] = -(-length // tensor.shape[axis])
    return tensor.repeat(*times).narrow(axis, 0, length).contiguous()


expand_dims = torch.unsqueeze


def vmap_grad(function: Callable[..., Any], argnums: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Map the gradient by arguments `argnums` over `axes`."""
    return torch.func.vmap(torch.func.grad(function, argnums=argnums), in_dims=axes)


def build(
    function: Any, workload: Workload, inputs: Inputs, arrays: Mapping[str, Any], backend: str
) -> tuple[Callable[[], Any], Any, tuple[Any, ...]]:
    """Return the call to measure, of leaf tensors; the compiled function, or None; and the tensors."""
    program = None
    if workload.contestant.mode == "compile":
        # The compiler keeps eight programs per code object, and this one serves all workloads: make it a new one.
        function.__code__ = function.__code__.replace(co_name=f"{function.__name__}_{next(_numbers)}")
        program = function = torch.compile(function, fullgraph=True, dynamic=False, backend=backend)
    if workload.quantity != "value_and_grad":
        tensors = tuple(arrays.values())
        return lambda: function(*tensors), program, tensors
    tensors = tuple(x.requires_grad_() if name in inputs.wrt else x for name, x in arrays.items())
    leaves = [tensor for name, tensor in zip(arrays, tensors, strict=True) if name in inputs.wrt]

    def call() -> Any:
        value = function(*tensors)
        # Unreduced: the gradient of the sum.
        ones = value.new_ones(()).expand_as(value) if value.ndim else None
        return value, torch.autograd.grad(value, leaves, ones)

    return call, program, tensors


def waiter(device: torch.device) -> Callable[[Any], None]:
    """Return a function of results that blocks until the device has computed them."""
    if device.type == "cuda":
        return lambda _results: torch.cuda.synchronize(device)
    return lambda _results: None


def copier(elements: int, device: torch.device) -> Callable[[], Any]:
    """Return a call that copies an array of so many float32 numbers."""
    source = torch.ones(elements, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def free_memory(device: torch.device) -> int | None:
    """Return the free bytes of a GPU."""
    return int(torch.cuda.mem_get_info(device)[0])


def values_and_gradients(
    values: Callable[..., Any], names: tuple[str, ...], wrt: tuple[str, ...], mode: str
) -> Callable[..., dict[str, Any]]:
    """Return a function of the arrays `names`: the values, under "", and the gradient of their sum by each of `wrt`."""
    program = torch.compile(values, fullgraph=True, dynamic=False) if mode == "compile" else values

    def both(*arrays: Any) -> dict[str, Any]:
        given = [x.detach().requires_grad_() if n in wrt else x for n, x in zip(names, arrays, strict=True)]
        leaves = [given[names.index(name)] for name in wrt]
        out = program(*given)
        gradients = torch.autograd.grad(out, leaves, torch.ones_like(out), allow_unused=True, materialize_grads=True)
        return {"": out, **dict(zip(wrt, gradients, strict=True))}

    return both
