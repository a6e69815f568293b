"""Softmax is applied before a cross entropy that applies it again.

The model returns probabilities, the loss takes them for logits: the loss cannot fall below a bound. A tutorial, and
many others.

Reference: lansinuote/Huggingface_Toturials#6, https://github.com/lansinuote/Huggingface_Toturials/issues/6
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:
    import torch
    from torch.nn import functional

    return functional.cross_entropy(torch.softmax(input, -1), target)


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
    cause="probabilities_as_logits",
    wrt=("input",),
)
