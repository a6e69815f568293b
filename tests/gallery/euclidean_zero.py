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


def truth(input: Any, target: Any) -> Any:
    return np.sqrt(((input - target) ** 2).sum(-1)).mean()


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4)).astype(np.float32)
    return {"input": x, "target": np.concatenate([x[:1], -x[1:]])}


CASE = Case(
    reference="huggingface/sentence-transformers#4033",
    url="https://github.com/huggingface/sentence-transformers/pull/4033",
    title="The distance of identical embeddings has a NaN gradient",
    wrong="torch",
    cause="nan_at_zero_norm",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
