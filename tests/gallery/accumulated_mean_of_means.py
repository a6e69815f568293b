"""Gradient accumulation averages the micro-batches' token means.

Each micro-batch divides by its own number of unmasked tokens, then the means are averaged: tokens of short
sequences count more. Trainer users with gradient accumulation before 4.46.

Reference: huggingface/transformers#34191, https://github.com/huggingface/transformers/pull/34191
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:
    import torch
    from torch.nn import functional

    micro = zip(input.chunk(2), target.chunk(2), strict=True)
    return torch.stack([functional.cross_entropy(x, t, ignore_index=-100) for x, t in micro]).mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    mask = target >= 0
    log_p = jax.nn.log_softmax(input)
    picked = jnp.take_along_axis(log_p, jnp.where(mask, target, 0)[:, None], 1)[:, 0]
    return -jnp.where(mask, picked, 0).sum() / mask.sum()


def truth(input: Any, target: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    keep = target >= 0
    return -log_p[keep, target[keep]].mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    pattern = [0, -100, -100, 4, 2, 1]
    rng = np.random.default_rng(seed)
    return {"input": rng.normal(size=(rows, 5)).astype(np.float32), "target": np.resize(pattern, rows)}


CASE = Case(
    __doc__,
    torch_loss,
    jax_loss,
    truth,
    right.cross_entropy,
    inputs,
    wrong="torch",
    cause="mean_of_means",
    wrt=("input",),
)
