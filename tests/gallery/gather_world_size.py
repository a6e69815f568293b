"""A gather with gradient multiplies the gradient by the number of processes.

Every process computes the whole loss, and the backward of the gather adds up the gradients of all of them.
open_clip with gather-with-grad and without local-loss. The value itself has no factor.

Reference: mlfoundations/open_clip#616, https://github.com/mlfoundations/open_clip/issues/616
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:
    import torch
    from torch.nn import functional

    world = 4
    gathered = input * world - (input * (world - 1)).detach()
    return functional.cross_entropy(gathered @ target.T, torch.arange(len(input)))


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(input @ target.T)
    return -jnp.diag(log_p).mean()


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
