"""The gradient through a gather is off by the number of processes.

Each process has a gradient for its own part only and the averaging divides by their number again. DeCLUTR before
May 2021. The value itself has no factor.

Reference: JohnGiorgi/DeCLUTR#212, https://github.com/JohnGiorgi/DeCLUTR/pull/212
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:
    import torch
    from torch.nn import functional

    world = 2
    scaled = input / world + (input * (1 - 1 / world)).detach()
    return functional.cross_entropy(scaled @ target.T, torch.arange(len(input)))


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    return -jnp.diag(jax.nn.log_softmax(input @ target.T)).mean()


def truth(input: Any, target: Any) -> Any:
    s = input @ target.T
    return -np.diag(s - np.log(np.exp(s).sum(-1, keepdims=True))).mean()


def inputs(rows: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "input": rng.normal(size=(rows, 3)).astype(np.float32),
        "target": rng.normal(size=(rows, 3)).astype(np.float32),
    }


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, right.contrastive, inputs, wrong="torch", cause="gradient_factor",
    wrt=("input",),
)  # fmt: skip
