"""A work in PyTorch: how arrays grow, what is called. `jax_.py` has the same in the same order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch

from xloss.bench.workload import Drawn, Ready, Work

_numbers = itertools.count()


def grow(tensor: torch.Tensor, axis: int, length: int) -> torch.Tensor:
    """Repeat a tensor along an axis up to a length (0: leave it)."""
    if not length:
        return tensor
    times = [1] * tensor.ndim
    times[axis] = -(-length // tensor.shape[axis])
    return tensor.repeat(*times).narrow(axis, 0, length).contiguous()


def make(work: Work, drawn: Drawn, function: Callable[..., Any], arrays: Mapping[str, Any], framework: Any,
         device: Any, backend: str) -> Ready:  # fmt: skip
    """The call that is measured, of leaf tensors."""
    names = tuple(arrays)

    def loss(*tensors: Any) -> Any:
        return function(**dict(zip(names, tensors, strict=True)))

    def per_sample(*tensors: Any) -> Any:
        given = dict(zip(names, tensors, strict=True))
        shared = {name: tensor for name, tensor in given.items() if name not in drawn.axes}

        def one(*row: Any) -> Any:
            batch = {n: x.unsqueeze(axis) for (n, axis), x in zip(drawn.axes.items(), row, strict=True)}
            return function(**shared, **batch)

        argnums = tuple(number for number, name in enumerate(drawn.axes) if name in drawn.wrt)
        mapped = torch.func.vmap(torch.func.grad(one, argnums=argnums), in_dims=tuple(drawn.axes.values()))
        return mapped(*(given[name] for name in drawn.axes))

    body = per_sample if work.quantity == "per_sample" else loss
    program = None
    if work.mode == "compile":
        # The compiler keeps eight programs for one piece of code, and this is one for all works: make it one of its own.
        body.__code__ = body.__code__.replace(co_name=f"{body.__name__}_{next(_numbers)}")
        program = body = torch.compile(body, fullgraph=True, dynamic=False, backend=backend)
    tensors = tuple(arrays.values())
    if work.quantity == "value_and_grad":
        tensors = tuple(x.requires_grad_() if name in drawn.wrt else x for name, x in arrays.items())
        leaves = [tensor for name, tensor in zip(names, tensors, strict=True) if name in drawn.wrt]

        def call() -> Any:
            value = body(*tensors)
            return value, torch.autograd.grad(value, leaves)
    else:

        def call() -> Any:
            return body(*tensors)

    return Ready(work, drawn, call, waiter(device), framework, device, program, tensors)


def waiter(device: torch.device) -> Callable[[Any], None]:
    """What blocks until the device is done."""
    if device.type == "cuda":
        return lambda _results: torch.cuda.synchronize()
    return lambda _results: None
