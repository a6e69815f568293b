"""Value and gradients of the kernels of `backend=`, held against balls."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from xloss.catalog import LOSSES
from xloss.parity.cells import Cell
from xloss.parity.evaluate import exact
from xloss.parity.mechanisms import load
from xloss.parity.verdict import judge

BACKENDS = {"torch": "triton", "jax": "pallas"}


def judged(framework: str, cell: Cell, reductions: tuple[str, ...] = ("mean",)) -> dict[str, str]:
    """Judge value and gradients of the kernels by truth; return the reason of each that is outside of the budget."""
    loss = LOSSES[cell.loss]
    arrays, reference = exact(loss, cell, order=2)
    wrt = loss.arguments.differentiable(arrays)
    options = {**loss.variant(cell.variant).options, "backend": BACKENDS[framework]}
    found = {}
    for reduction in reductions:
        cotangent = np.ones(reference.exact.values.shape)
        expected = reference.gradient(cotangent, reduction) | {"": reference.value(reduction)}
        with load(framework).scope(cell.dtype):
            got = RUN[framework](loss, arrays, {**options, "reduction": reduction}, wrt)
        for name, array in got.items():
            verdict = judge(array, expected[name], cell.dtype, "first" if name else "value")
            if not verdict.ok:
                found[f"{reduction}/{name}"] = verdict.reason
    return found


def run_torch(loss: Any, arrays: Mapping[str, np.ndarray], options: Mapping[str, Any],
              wrt: tuple[str, ...]) -> dict[str, np.ndarray]:  # fmt: skip
    import torch

    framework = load("torch")
    tensors = {name: framework.put(array, "cpu") for name, array in arrays.items()}
    leaves = {name: tensors[name].requires_grad_() for name in wrt}
    value = loss.torch(**tensors, **options)
    grads = torch.autograd.grad(value, list(leaves.values()), torch.ones_like(value))
    return {"": framework.get(value)} | {n: framework.get(g) for n, g in zip(wrt, grads, strict=True)}


def run_jax(loss: Any, arrays: Mapping[str, np.ndarray], options: Mapping[str, Any],
            wrt: tuple[str, ...]) -> dict[str, np.ndarray]:  # fmt: skip
    import jax
    import jax.numpy as jnp

    from xloss.parity.mechanisms.jax import fast_compile_jit

    def both(arrays: Any) -> Any:
        call = lambda *leaves: loss.jax(**{**arrays, **dict(zip(wrt, leaves, strict=True))}, **options)  # noqa: E731
        value, pull = jax.vjp(call, *(arrays[name] for name in wrt))
        return {"": value, **dict(zip(wrt, pull(jnp.ones_like(value)), strict=True))}

    return {name: np.asarray(array) for name, array in fast_compile_jit(both)(arrays).items()}


RUN = {"torch": run_torch, "jax": run_jax}
