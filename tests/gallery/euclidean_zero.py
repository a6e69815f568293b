"""The distance of identical embeddings has a NaN gradient.

The square root of a sum of squares has an infinite derivative at 0, times 0. sentence-transformers until September
2026.

Reference: huggingface/sentence-transformers#4033, https://github.com/huggingface/sentence-transformers/pull/4033
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:

    return ((input - target) ** 2).sum(-1).sqrt().mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    square = ((input - target) ** 2).sum(-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0).mean()


def healthy(input: Any, target: Any) -> Any:
    import torch

    square = ((input - target) ** 2).sum(-1)
    return torch.where(square > 0, torch.where(square > 0, square, 1).sqrt(), 0).mean()


def truth(input: Any, target: Any) -> Any:
    return np.sqrt(((input - target) ** 2).sum(-1)).mean()


def inputs(rows: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    return {"input": x, "target": np.concatenate([x[:1], -x[1:]])}


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="nan_at_zero_norm", wrt=("input",)
)
