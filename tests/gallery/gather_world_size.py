"""A gather with gradient multiplies the gradient by the number of processes.

Every process computes the whole loss, and the backward of the gather adds up the gradients of all of them.
open_clip with gather-with-grad and without local-loss.

Reference: mlfoundations/open_clip#616, https://github.com/mlfoundations/open_clip/issues/616
"""

from typing import Any

import numpy as np

from tests.gallery import Case


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


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "input": rng.normal(size=(4, 3)).astype(np.float32),
        "target": rng.normal(size=(4, 3)).astype(np.float32),
    }


CASE = Case(
    reference="mlfoundations/open_clip#616",
    url="https://github.com/mlfoundations/open_clip/issues/616",
    title="A gather with gradient multiplies the gradient by the number of processes",
    wrong="torch",
    cause="factor",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
