"""Gathered logits are summed once on every tensor-parallel rank.

The vocabulary-parallel loss adds up the exponentials of all ranks, each of which holds all logits: the loss is too
large by the logarithm of their number. Megatron Core, open. The gradient is right.

Reference: NVIDIA/Megatron-LM#7452, https://github.com/NVIDIA/Megatron-LM/issues/7452
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:

    ranks = 4
    lse = (ranks * input.exp().sum(-1)).log()
    return (lse - input.gather(1, target[:, None])[:, 0]).mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(input)
    picked = jnp.take_along_axis(log_p, target[:, None], 1)[:, 0]
    return -picked.mean()


def truth(input: Any, target: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    return -log_p[np.arange(len(target)), target].mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"input": rng.normal(size=(rows, 5)).astype(np.float32), "target": np.resize([0, 3, 1, 4, 2, 1], rows)}


CASE = Case(
    __doc__,
    torch_loss,
    jax_loss,
    truth,
    right.cross_entropy,
    inputs,
    wrong="torch",
    cause="additive_constant",
    wrt=("input",),
)
