"""The mechanisms in PyTorch. `jax_.py` has them in the same order."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import torch

from xloss.parity.mechanisms.base import Directions, Outcome, Problem, Task

_numbers = itertools.count()


class Torch:
    """PyTorch."""

    name = "torch"

    def version(self) -> str:
        return str(torch.__version__)

    def device(self, device: str) -> torch.device:
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError(f"device: torch {torch.__version__} sees no CUDA device")
        return torch.device(device)

    @contextlib.contextmanager
    def scope(self, dtype: str) -> Iterator[None]:  # noqa: ARG002 - all dtypes are there
        yield

    def put(self, array: np.ndarray, device: Any, contiguous: bool = True) -> torch.Tensor:
        if array.dtype == ml_dtypes.bfloat16:
            tensor = torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
        else:
            tensor = torch.from_numpy(array.copy())
        if not contiguous and tensor.ndim:
            # Every other element of a buffer with its axes reversed: neither dense nor in order.
            buffer = tensor.new_zeros(*reversed(tensor.shape[1:]), 2 * tensor.shape[0])
            strided = buffer.permute(*reversed(range(tensor.ndim)))[::2]
            tensor = strided.copy_(tensor)
        return tensor.to(device)

    def get(self, array: torch.Tensor) -> np.ndarray:
        array = array.detach().cpu().clone(memory_format=torch.contiguous_format)  # a ZeroTensor, too, becomes memory
        if array.dtype == torch.bfloat16:
            return np.asarray(array.view(torch.int16).numpy().view(ml_dtypes.bfloat16))
        return np.asarray(array.numpy())

    def run(self, tasks: list[Task], directions: Directions, programs: dict[Any, Any], key: Any) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for number, task in enumerate(tasks):
            start = time.perf_counter()
            try:
                problem = task.problem
                if task.separate_program:
                    if (key, number) not in programs:
                        programs[key, number] = compile_program(problem)
                    problem = replace(problem, program=programs[key, number])
                result: Any = task.run(problem, directions)
            except Exception as error:  # whatever a contestant raises is a finding about it
                result = error
            outcomes.append((result, time.perf_counter() - start))
        return outcomes

    def mechanisms(self) -> Mapping[str, Callable[..., Any]]:
        return MECHANISMS


def value(p: Problem) -> Any:
    return p()


def backward(p: Problem, cotangent: Any = None) -> Any:
    leaves = [leaf.detach().clone().requires_grad_() for leaf in p.primals]
    p(*leaves).backward(gradient=cotangent)
    return p.by_name([zeros_for(leaf.grad, leaf) for leaf in leaves])


def grad(p: Problem) -> Any:
    leaves = [leaf.detach().clone().requires_grad_() for leaf in p.primals]
    return p.by_name(torch.autograd.grad(p(*leaves), leaves))


def func_grad(p: Problem) -> Any:
    return p.by_name(torch.func.grad(p, argnums=tuple(range(len(p.wrt))))(*p.primals))


def vjp(p: Problem, cotangent: Any) -> Any:
    _, pull = torch.func.vjp(p, *p.primals)
    return p.by_name(pull(cotangent))


def jvp(p: Problem, tangents: tuple[Any, ...]) -> Any:
    return torch.func.jvp(p, p.primals, tangents)[1]


def per_sample_vmap(p: Problem) -> Any:
    def one(*row: Any) -> Any:
        return p.contribution(
            **{name: x.unsqueeze(axis) for (name, axis), x in zip(p.batched.items(), row, strict=True)}
        )

    argnums = tuple(list(p.batched).index(name) for name in p.wrt)
    ways = {"in_dims": tuple(p.batched.values()), "out_dims": tuple(p.batched[name] for name in p.wrt)}
    batched = [p.arrays[name] for name in p.batched]
    return p.by_name(torch.func.vmap(torch.func.grad(one, argnums=argnums), **ways)(*batched))


def per_sample_loop(p: Problem) -> Any:
    rows = []
    for i in range(p.rows()):
        row = p.slice_batch(p.arrays, slice(i, i + 1))
        leaves = [row[name].detach().clone().requires_grad_() for name in p.wrt]
        p.contribution(**{**row, **p.by_name(leaves)}).backward()
        rows.append([leaf.grad for leaf in leaves])
    return {name: torch.cat(column, p.batched[name]) for name, column in p.by_name(zip(*rows, strict=True)).items()}


def accumulate(p: Problem) -> Any:
    leaves = [leaf.detach().clone().requires_grad_() for leaf in p.primals]
    cut = p.rows() // 3 + 1
    for part in (slice(0, cut), slice(cut, None)):
        p.contribution(**p.slice_batch({**p.arrays, **p.by_name(leaves)}, part)).backward()
    return p.by_name([leaf.grad for leaf in leaves])


def detach(p: Problem, held: str) -> Any:
    leaves = [leaf.detach().clone().requires_grad_() for leaf in p.primals]
    given = {name: leaf.detach() if name == held else leaf for name, leaf in p.by_name(leaves).items()}
    p(**given).backward()
    return p.by_name([zeros_for(leaf.grad, leaf) for leaf in leaves])


def hvp(p: Problem, direction: Any) -> Any:
    """Forward over reverse, by the first argument."""
    return torch.func.jvp(torch.func.grad(p), (p.primals[0],), (direction,))[1]


def double_backward(p: Problem, direction: Any) -> Any:
    """Reverse over reverse, by the first argument."""
    leaf = p.primals[0].detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(p(leaf), leaf, create_graph=True)
    if not slope.requires_grad:
        return torch.zeros_like(leaf)
    (out,) = torch.autograd.grad(slope, leaf, grad_outputs=direction, allow_unused=True)
    return zeros_for(out, leaf)


def compiled(p: Problem) -> Any:
    """Value and gradients under `torch.compile(fullgraph=True)`."""
    leaves = {name: p.arrays[name].detach().clone().requires_grad_() for name in p.wrt}
    loss = (p.program or compile_program(p))({**p.arrays, **leaves})
    loss.backward()
    return loss, {name: zeros_for(leaf.grad, leaf) for name, leaf in leaves.items()}


def compile_program(p: Problem) -> Any:
    """Compile the loss as a function of its arrays, as one graph.

    "aot_eager" traces forward and backward without emitting code: that a loss is one graph it shows as "inductor" does,
    in a tenth of its time.
    """
    function, options, reduction = p.function, dict(p.options), p.reduction

    def program(arrays: Any) -> Any:
        return function(**arrays, **options, reduction=reduction)

    # The compiler keeps eight programs for one piece of code, and this is one for all losses: make it a piece of its
    # own.
    program.__code__ = program.__code__.replace(co_name=f"program_{next(_numbers)}")
    return torch.compile(program, fullgraph=True, backend="aot_eager", dynamic=False)


def zeros_for(grad: Any, leaf: Any) -> Any:
    """Return zeros where PyTorch says None: nothing depends on that leaf."""
    return torch.zeros_like(leaf) if grad is None else grad


MECHANISMS: Mapping[str, Callable[..., Any]] = {
    "value": value,
    "backward": backward,
    "grad": grad,
    "func.grad": func_grad,
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
