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

from xloss.parity.mechanisms.base import Directions, Outcome, Problem, Task, refusing_dtypes

_numbers = itertools.count()


class Torch:
    """PyTorch."""

    name = "torch"

    def version(self) -> str:
        return str(torch.__version__)

    def device(self, device: str) -> torch.device:
        place = torch.device(device)
        if place.type == "cuda":
            count = torch.cuda.device_count() if torch.cuda.is_available() else 0
            if (place.index or 0) >= count:
                seen = f"{count} CUDA devices, not {device}" if count else "no CUDA device"
                raise RuntimeError(f"device: torch {torch.__version__} sees {seen}")
        return place

    @contextlib.contextmanager
    def scope(self, dtype: str) -> Iterator[None]:  # noqa: ARG002 - all dtypes are there
        yield

    def put(self, array: np.ndarray, device: Any, layout: str = "contiguous", axis: int = 0) -> torch.Tensor:
        if array.dtype == ml_dtypes.bfloat16:
            tensor = torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
        else:
            tensor = torch.from_numpy(array.copy())
        if layout == "expanded" and tensor.ndim > axis:
            return tensor.narrow(axis, 0, min(1, tensor.shape[axis])).to(device).expand(tensor.shape)
        if layout == "overlapping" and tensor.ndim == 2 and tensor.numel() and tensor.is_floating_point():
            line = torch.cat([tensor[0], tensor[1:, -1]]).to(device)
            return line.as_strided(tensor.shape, (1, 1))
        if layout == "strided" and tensor.ndim:
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

    def memory(self, array: Any) -> int:
        return int(array.untyped_storage().data_ptr()) if isinstance(array, torch.Tensor) else 0

    def is_watched(self, array: Any) -> bool:
        return bool(array.requires_grad or array.grad is not None)

    def run(self, tasks: list[Task], directions: Directions, programs: dict[Any, Any], key: Any) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for task in tasks:
            start = time.perf_counter()
            try:
                problem = _divided_by_tensor(task.problem)
                if task.compiled:
                    if (key, task.name) not in programs:
                        programs[key, task.name] = compile_program(problem, dynamic=task.dynamic)
                    problem = replace(problem, program=programs[key, task.name])
                result: Any = task.run(problem, directions)
            except Exception as error:  # whatever a contestant raises is a finding about it
                result = error
            outcomes.append((result, time.perf_counter() - start))
        return outcomes

    def mechanisms(self) -> Mapping[str, Callable[..., Any]]:
        return MECHANISMS


def _divided_by_tensor(p: Problem) -> Problem:
    """Return the problem with its denominator as a tensor: PyTorch rounds a number to 16 bits to divide these by it."""
    wide = any(isinstance(x, torch.Tensor) and x.dtype == torch.float64 for x in p.arrays.values())
    return replace(p, denominator=torch.tensor(p.denominator, dtype=torch.float64 if wide else torch.float32))


def value(p: Problem) -> Any:
    return p()


def backward(p: Problem, cotangent: Any = None) -> Any:
    leaves = leaves_of(p)
    p(*leaves).backward(gradient=cotangent)
    return p.by_name([zeros_for(leaf.grad, leaf) for leaf in leaves])


def grad(p: Problem) -> Any:
    leaves = leaves_of(p)
    grads = torch.autograd.grad(p(*leaves), leaves, allow_unused=True)
    return p.by_name([zeros_for(grad, leaf) for grad, leaf in zip(grads, leaves, strict=True)])


def func_grad(p: Problem) -> Any:
    return p.by_name(torch.func.grad(p, argnums=p.argnums)(*p.primals))


def vjp(p: Problem, cotangent: Any) -> Any:
    return backward(p, cotangent)


def func_vjp(p: Problem, cotangent: Any) -> Any:
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
        leaves = [row[name].detach().requires_grad_() for name in p.wrt]
        p.contribution(**{**row, **p.by_name(leaves)}).backward()
        rows.append([zeros_for(leaf.grad, leaf) for leaf in leaves])
    return {name: torch.cat(column, p.batched[name]) for name, column in p.by_name(zip(*rows, strict=True)).items()}


def accumulate(p: Problem) -> Any:
    leaves = leaves_of(p)
    cut = p.rows() // 3 + 1
    for part in (slice(0, cut), slice(cut, None)):
        p.contribution(**p.slice_batch({**p.arrays, **p.by_name(leaves)}, part)).backward()
    return p.by_name([zeros_for(leaf.grad, leaf) for leaf in leaves])


def detach(p: Problem, held: str) -> Any:
    leaves = leaves_of(p)
    given = {name: leaf.detach() if name == held else leaf for name, leaf in p.by_name(leaves).items()}
    loss = p(**given)
    if loss.requires_grad:  # it may depend on nothing but what is held
        loss.backward()
    return p.by_name([zeros_for(leaf.grad, leaf) for leaf in leaves])


def hvp(p: Problem, directions: tuple[Any, ...], cotangent: Any = None) -> Any:
    """Forward over reverse, by all arguments at once; of the loss times a cotangent where it is not reduced."""
    scalar = p if cotangent is None else lambda *xs: (p(*xs) * cotangent).sum()
    grads = torch.func.grad(scalar, argnums=p.argnums)
    return p.by_name(torch.func.jvp(grads, p.primals, directions)[1])


def double_backward(p: Problem, directions: tuple[Any, ...]) -> Any:
    """Reverse over reverse, by all arguments at once."""
    leaves = leaves_of(p)
    slopes = torch.autograd.grad(p(*leaves), leaves, create_graph=True, allow_unused=True)
    moving = [pair for pair in zip(slopes, directions, strict=True) if pair[0] is not None and pair[0].requires_grad]
    if not moving:
        return p.by_name([torch.zeros_like(leaf) for leaf in leaves])
    curved, cotangents = zip(*moving, strict=True)
    out = torch.autograd.grad(curved, leaves, grad_outputs=cotangents, allow_unused=True)
    return p.by_name([zeros_for(grad, leaf) for grad, leaf in zip(out, leaves, strict=True)])


def third(p: Problem, tangents: tuple[Any, ...]) -> Any:
    """Differentiate three times forward along one direction."""

    def along(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *xs: torch.func.jvp(function, xs, tangents)[1]

    return along(along(along(p)))(*p.primals)


def compiled(p: Problem) -> Any:
    """Value and gradients under `torch.compile(fullgraph=True)`."""
    leaves = p.by_name(leaves_of(p))
    loss = (p.program or compile_program(p))({**p.arrays, **leaves})
    loss.backward()
    return loss, {name: zeros_for(leaf.grad, leaf) for name, leaf in leaves.items()}


def compiled_dynamic(p: Problem) -> Any:
    """Value and gradients of a graph whose sizes are symbols."""
    return compiled(p if p.program else replace(p, program=compile_program(p, dynamic=True)))


def eager(p: Problem) -> Any:
    """Value and gradients of leaves in the memory that is given, strided or shared as it may be."""
    return _graded(p, leaves_of(p))


def no_grad(p: Problem) -> Any:
    with torch.no_grad():
        return p(), {}


def inference_mode(p: Problem) -> Any:
    with torch.inference_mode():
        return p().clone(), {}


def autocast(p: Problem) -> Any:
    """Value and gradients in the region in which products would be computed in 16 bits."""
    leaves = leaves_of(p)
    with torch.autocast(p.primals[0].device.type, dtype=torch.bfloat16):
        return _graded(p, leaves)


def parameters(p: Problem) -> Any:
    return _graded(p, [torch.nn.Parameter(leaf.detach()) for leaf in p.primals])


def offset_views(p: Problem) -> Any:
    """Value and gradients of arguments that begin in the middle of their memory."""

    def view(x: Any) -> Any:
        return torch.cat([x.new_zeros(3), x.detach().reshape(-1)])[3:].view(x.shape)

    return eager(replace(p, arrays={name: view(x) for name, x in p.arrays.items()}))


def channels_last(p: Problem) -> Any:
    """Value and gradients of arguments with the channels last in memory, where they have four or five axes."""
    orders = {4: torch.channels_last, 5: torch.channels_last_3d}

    def last(x: Any) -> Any:
        return x.contiguous(memory_format=orders[x.ndim]) if x.ndim in orders else x

    return eager(replace(p, arrays={name: last(x) for name, x in p.arrays.items()}))


def checkpoint(p: Problem) -> Any:
    return _graded(p, leaves_of(p), lambda *xs: torch.utils.checkpoint.checkpoint(p, *xs, use_reentrant=False))


def threads(p: Problem) -> Any:
    """Value and gradients with another number of threads than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        return eager(p)
    finally:
        torch.set_num_threads(before)


def deterministic(p: Problem) -> Any:
    """Value and gradients where operations that are not deterministic are refused."""
    torch.use_deterministic_algorithms(True)
    try:
        return eager(p)
    finally:
        torch.use_deterministic_algorithms(False)


def nested_vmap(p: Problem) -> Any:
    """Values under `vmap`, and gradients under two, of the whole batch, over copies of all arguments."""

    def stacked(function: Callable[..., Any]) -> Any:
        twice = {name: x.expand(2, 2, *x.shape) for name, x in p.arrays.items()}
        return torch.func.vmap(torch.func.vmap(function))(twice)

    def grads(arrays: Any) -> Any:
        one = replace(p, arrays=arrays)
        return torch.func.grad(one, argnums=p.argnums)(*one.primals)

    value = torch.func.vmap(lambda arrays: replace(p, arrays=arrays)())(
        {name: x.expand(2, *x.shape) for name, x in p.arrays.items()}
    )
    return value[1], p.by_name([grad[0, 1] for grad in stacked(grads)])


def vmap_jvp(p: Problem, tangents: tuple[Any, ...]) -> Any:
    """Forward mode under `vmap`, along a tangent and its opposite: a Jacobian's columns at once."""
    along = lambda *ways: jvp(p, ways)  # noqa: E731
    return torch.func.vmap(along)(*_both_ways(tangents))[0]


def vmap_hvp(p: Problem, directions: tuple[Any, ...]) -> Any:
    """Forward over reverse under `vmap`: a Hessian's columns at once."""
    along = lambda *ways: tuple(hvp(p, ways).values())  # noqa: E731
    return p.by_name([columns[0] for columns in torch.func.vmap(along)(*_both_ways(directions))])


def _both_ways(directions: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(torch.stack([x, -x]) for x in directions)


def by_position(p: Problem) -> Any:
    return p.by_position(), {}


def default_float64(p: Problem) -> Any:
    """Value and gradients while new tensors are of another dtype than the arguments."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if before != torch.float64 else torch.float32)
    try:
        return eager(p)
    finally:
        torch.set_default_dtype(before)


def narrow_labels(p: Problem) -> Any:
    """Value and gradients with labels in 8 bits, which hold those of a sweep."""
    return _with_labels(p, torch.int8)


def unsigned_labels(p: Problem) -> Any:
    """Value and gradients with labels in 8 bits without a sign, where none is negative."""
    return _with_labels(p, torch.uint8)


def int32_labels(p: Problem) -> Any:
    return _with_labels(p, torch.int32)


def _with_labels(p: Problem, dtype: Any) -> Any:
    moved = {name: x.to(dtype) if x.dtype == torch.int64 else x for name, x in p.arrays.items()}
    return refusing_dtypes(lambda: eager(replace(p, arrays=moved)))


def spoiled(p: Problem) -> Any:
    """Value and gradients with NaN and infinities where the loss does not look."""
    return eager(replace(p, arrays={**p.arrays, **p.spoiled}))


def widened(p: Problem) -> Any:
    """Value and gradients with an element, or a class, that adds nothing; NaN where a gradient by that is not 0."""
    value, grads = eager(replace(p, arrays={**p.arrays, **p.widened}))
    for name in set(grads) & set(p.widened):
        whole, inner = grads[name], grads[name][p.within(name)]
        beyond = (whole != 0).sum() - (inner != 0).sum()
        grads[name] = torch.where(beyond > 0, torch.nan, inner)
    return value, grads


def mixed(p: Problem) -> Any:
    """Value and gradients with all but the first argument in float32."""
    first = p.wrt[0]
    wide = {name: x.float() if x.is_floating_point() and name != first else x for name, x in p.arrays.items()}
    moved = replace(p, arrays=wide)
    return refusing_dtypes(lambda: eager(moved))


def exported(p: Problem) -> Any:
    """Value and gradients of the graph that `torch.export` makes without the bytecode's interpreter."""
    function, options, reduction = p.function, dict(p.options), p.reduction

    class Program(torch.nn.Module):  # type: ignore[misc]
        def forward(self, arrays: Any) -> Any:
            return function(**arrays, **options, reduction=reduction)

    graph = torch.export.export(Program(), (dict(p.arrays),), strict=False).module()
    leaves = leaves_of(p)
    return _graded(p, leaves, lambda *xs: graph({**p.arrays, **p.by_name(xs)}))


def func_double(p: Problem, directions: tuple[Any, ...]) -> Any:
    """Reverse over reverse by `torch.func`, by all arguments at once."""
    numbers = p.argnums

    def slope(*xs: Any) -> Any:
        grads = torch.func.grad(p, argnums=numbers)(*xs)
        return sum(((grad * by).sum() for grad, by in zip(grads, directions, strict=True)), start=xs[0].new_zeros(()))

    return p.by_name(torch.func.grad(slope, argnums=numbers)(*p.primals))


def leaves_of(p: Problem) -> list[Any]:
    """Return leaves to differentiate by, in the memory of the arguments: what is written to one is seen."""
    return [leaf.detach().requires_grad_() for leaf in p.primals]


def _graded(p: Problem, leaves: list[Any], call: Callable[..., Any] | None = None) -> Any:
    """Return the value, of `call` where the problem is not called itself, and the gradients by `backward()`."""
    value = (call or p)(*leaves)
    value.backward()
    return value, p.by_name([zeros_for(leaf.grad, leaf) for leaf in leaves])


def compile_program(p: Problem, dynamic: bool = False) -> Any:
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
    return torch.compile(program, fullgraph=True, backend="aot_eager", dynamic=dynamic)


def zeros_for(grad: Any, leaf: Any) -> Any:
    """Return zeros where PyTorch says None: nothing depends on that leaf."""
    return torch.zeros_like(leaf) if grad is None else grad


MECHANISMS: Mapping[str, Callable[..., Any]] = {
    "value": value,
    "backward": backward,
    "grad": grad,
    "func.grad": func_grad,
    "vjp": vjp,
    "func.vjp": func_vjp,
    "jvp": jvp,
    "per_sample.vmap": per_sample_vmap,
    "per_sample.loop": per_sample_loop,
    "accumulate": accumulate,
    "detach": detach,
    "hvp": hvp,
    "double_backward": double_backward,
    "compiled": compiled,
    "compiled.dynamic": compiled_dynamic,
    "third": third,
    "eager": eager,
    "no_grad": no_grad,
    "inference_mode": inference_mode,
    "autocast": autocast,
    "parameters": parameters,
    "offset_views": offset_views,
    "channels_last": channels_last,
    "checkpoint": checkpoint,
    "threads": threads,
    "deterministic": deterministic,
    "nested_vmap": nested_vmap,
    "vmap.jvp": vmap_jvp,
    "vmap.hvp": vmap_hvp,
    "by_position": by_position,
    "default_float64": default_float64,
    "narrow_labels": narrow_labels,
    "unsigned_labels": unsigned_labels,
    "int32_labels": int32_labels,
    "exported": exported,
    "mixed": mixed,
    "spoiled": spoiled,
    "widened": widened,
    "func.double": func_double,
}
