"""Padding counts in the denominator of the token mean.

The losses of padding tokens are set to 0 and the mean divides by all tokens. MaxText before January 2024.

Reference: AI-Hypercomputer/maxtext#366, https://github.com/AI-Hypercomputer/maxtext/pull/366
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    from torch.nn import functional

    return functional.cross_entropy(input, target)


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    picked = jnp.take_along_axis(jax.nn.log_softmax(input), jnp.maximum(target, 0)[:, None], 1)[:, 0]
    return -(picked * (target >= 0)).mean()


def healthy(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    mask = target >= 0
    picked = jnp.take_along_axis(jax.nn.log_softmax(input), jnp.where(mask, target, 0)[:, None], 1)[:, 0]
    return -jnp.where(mask, picked, 0).sum() / mask.sum()


def truth(input: Any, target: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    keep = target >= 0
    return -log_p[keep, target[keep]].mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    pattern = [2, 1, -100, 4, -100, 0]
    return {"input": rng.normal(size=(rows, 5)).astype(np.float32), "target": np.resize(pattern, rows)}


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="ignored_in_denominator", wrt=("input",)
)
