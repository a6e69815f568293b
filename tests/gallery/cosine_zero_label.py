"""The cosine similarity with a zero vector is NaN.

Each vector is divided by its norm, and 0 / 0 spreads into the loss of the whole batch. ntxent in optax before April
2024.

Reference: google-deepmind/optax#946, https://github.com/google-deepmind/optax/pull/946
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    from torch.nn import functional

    return (1 - functional.cosine_similarity(input, target)).mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    a, b = (x / jnp.sqrt((x**2).sum(-1, keepdims=True)) for x in (input, target))
    return (1 - (a * b).sum(-1)).mean()


def healthy(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    square = (input**2).sum(-1) * (target**2).sum(-1)
    return (1 - (input * target).sum(-1) / jnp.sqrt(jnp.where(square > 0, square, 1))).mean()


def truth(input: Any, target: Any) -> Any:
    norms = [np.sqrt((x**2).sum(-1)) for x in (input, target)]
    return (1 - (input * target).sum(-1) / np.where(norms[1] > 0, norms[0] * norms[1], 1)).mean()


def inputs(rows: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=(rows, 4)).astype(np.float32)
    target[0] = 0
    return {"input": rng.normal(size=(rows, 4)).astype(np.float32), "target": target}


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="nan_at_zero_norm", wrt=("input",)
)
