"""`python -m xloss.gpu.fake`: call every loss on tensors of a device without values.

Under `FakeTensorMode` a tensor has a shape, a dtype and a place. `.item()`, `nonzero` and a branch on values raise: on
a device they would wait for it. So does an operation that meets a tensor of another device, such as a constant made on
the CPU. The place is PyTorch's own name for a backend of others, registered here without one, or where PyTorch is too
old for that "meta". The registration is of the process, for good: tests make a process for it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from xloss import environment
from xloss.catalog import LOSSES, Loss, get
from xloss.files import write_text
from xloss.gpu.journal import Row

MECHANISMS = ("value", "backward", "func_grad", "vmap", "jvp")


def answer(cell: Mapping[str, Any], _settings: Mapping[str, Any]) -> Row:
    """Run all mechanisms of a loss on the fake device."""
    loss = get(cell["loss"])
    failed = {name: said for name in MECHANISMS if (said := failure(loss, name))}
    row: Row = {"status": "error" if failed else "ok", "loss": loss.name, "mechanisms": len(MECHANISMS)}
    return row | ({"reason": "; ".join(f"{name}: {said}" for name, said in failed.items())[:400]} if failed else {})


def failure(loss: Loss, mechanism: str) -> str:
    """Return what a mechanism raises on the fake device, in a line; "" where it raises nothing."""
    try:
        run(loss, mechanism)
    except Exception as error:  # whatever it is, it would have been a wait, or an error, on a device
        return f"{type(error).__name__}: {error}".strip().split("\n")[0][:200]
    return ""


@functools.cache
def device() -> str:
    """Return the name of the device without values, registered when first asked for."""
    from torch.utils import backend_registration

    register = getattr(backend_registration, "_setup_privateuseone_for_python_backend", None)  # torch 2.10
    if register is None:
        return "meta"
    register("novalues")
    return "novalues"


def run(loss: Loss, mechanism: str) -> None:
    """Run a mechanism of a loss, by all its differentiable arguments, on tensors without values."""
    import torch

    with fake_problem(loss) as p:
        if mechanism == "value":
            results = [p.with_reduction(name)() for name in loss.reductions]
        else:
            results = list(_MECHANISMS[mechanism](p))
        wrong = {result.device.type for result in results if isinstance(result, torch.Tensor)} - {device()}
        if wrong:
            raise RuntimeError(f"results on {', '.join(sorted(wrong))}")


@contextlib.contextmanager
def fake_problem(loss: Loss) -> Iterator[Any]:
    """Yield the problem of a loss's first variant at typical inputs, on the fake device, within the mode."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from xloss.parity.cells import Cell
    from xloss.parity.evaluate import batch_arguments, inputs_of
    from xloss.parity.mechanisms import load
    from xloss.parity.mechanisms.base import Problem

    variant, framework = loss.variants[0], load("torch")
    arrays = inputs_of(loss, Cell(loss.name, variant.name, variant.shapes[0], "typical", "float32"))
    batched = batch_arguments(loss, variant, arrays)
    place = device()
    with FakeTensorMode(), _taken_for_plain():
        tensors = {}
        for name, array in arrays.items():
            like = framework.put(array, "cpu")
            tensors[name] = torch.empty(like.shape, dtype=like.dtype, device=place)
        wrt = loss.arguments.differentiable(arrays)
        yield Problem(loss.implementation("torch"), tensors, variant.options, loss.main_reduction, wrt, batched)


@contextlib.contextmanager
def _taken_for_plain() -> Iterator[None]:
    """Let the losses take a fake tensor for what it stands for: a tensor of a device, and not one of a subclass."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensor

    from xloss.ops import torch as ops

    usual = ops.is_wrapped

    def is_wrapped(tensor: torch.Tensor) -> bool:
        wrapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        return usual(tensor) and (wrapped or not isinstance(tensor, FakeTensor))

    ops.is_wrapped = is_wrapped
    try:
        yield
    finally:
        ops.is_wrapped = usual


def _backward(p: Any) -> Iterator[Any]:
    leaves = [p.arrays[name].detach().requires_grad_() for name in p.wrt]
    value = p(*leaves)
    if value.requires_grad:
        value.sum().backward()
    yield from (leaf.grad for leaf in leaves if leaf.grad is not None)


def _func_grad(p: Any) -> Iterator[Any]:
    import torch

    yield from torch.func.grad(lambda *xs: p(*xs).sum(), argnums=p.argnums)(*p.primals)


def _vmap(p: Any) -> Iterator[Any]:
    """Map the gradient over two copies of the problem: of samples only where the loss has them."""
    import torch

    def one(*xs: Any) -> Any:
        return p(*xs).sum()

    twice = [torch.stack([x, x]) for x in p.primals]
    yield from torch.func.vmap(torch.func.grad(one, argnums=p.argnums))(*twice)


def _jvp(p: Any) -> Iterator[Any]:
    import torch

    yield from torch.func.jvp(p, p.primals, tuple(torch.ones_like(x) for x in p.primals))


_MECHANISMS: Mapping[str, Callable[[Any], Iterator[Any]]] = {
    "backward": _backward, "func_grad": _func_grad, "vmap": _vmap, "jvp": _jvp,
}  # fmt: skip


def main() -> int:
    """Run all losses, and print what each mechanism raised as JSON; exit with 3 where one did."""
    reader = argparse.ArgumentParser(prog="python -m xloss.gpu.fake", description=main.__doc__)
    reader.add_argument("--loss", nargs="*", default=list(LOSSES), help="only these losses")
    reader.add_argument("--out", type=Path, help="a file for it (default: printed)")
    given = reader.parse_args()
    unknown = [name for name in given.loss if name not in LOSSES]
    if unknown:
        reader.error(f"loss: expected names of `xloss list`, got {', '.join(unknown)}")
    found = {name: {one: failure(get(name), one) for one in MECHANISMS} for name in given.loss}
    raised = {name: {one: said for one, said in of.items() if said} for name, of in found.items()}
    text = json.dumps({"device": device(), "torch": environment.version("torch"), "mechanisms": MECHANISMS,
                       "losses": len(found), "raised": {k: v for k, v in raised.items() if v}}, indent=1)  # fmt: skip
    if given.out is not None:
        write_text(given.out, text + "\n")
    else:
        sys.stdout.write(text + "\n")
    return 3 if any(said for of in found.values() for said in of.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
