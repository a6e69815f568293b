"""The epsilon of a cosine similarity bounds the squared norm instead of the norm.

Documented as the least norm, it is put under the root: 0.01 bounds norms at 0.1. optax 0.2.8, the installed
function; the documentation was changed, not the function. The option means its square root.

Reference: google-deepmind/optax#1703, https://github.com/google-deepmind/optax/pull/1703
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any, epsilon: float = 0.1) -> Any:
    import torch

    a, b = (torch.linalg.vector_norm(x, dim=-1).clamp(min=epsilon) for x in (input, target))
    return (1 - (input * target).sum(-1) / (a * b)).mean()


def jax_loss(input: Any, target: Any, epsilon: float = 0.1) -> Any:
    import optax

    return optax.losses.cosine_distance(input, target, epsilon=epsilon).mean()


def healthy(input: Any, target: Any, epsilon: float = 0.1) -> Any:
    import jax.numpy as jnp

    a, b = (jnp.maximum(jnp.sqrt((x**2).sum(-1)), epsilon) for x in (input, target))
    return (1 - (input * target).sum(-1) / (a * b)).mean()


def truth(input: Any, target: Any, epsilon: float = 0.1) -> Any:
    a, b = (np.sqrt((x**2).sum(-1)) for x in (input, target))
    a, b = (np.where(x > epsilon, x, epsilon) for x in (a, b))
    return (1 - (input * target).sum(-1) / (a * b)).mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape, scale = (rows, 4), 0.1
    return {
        "input": (scale * rng.normal(size=shape)).astype(np.float32),
        "target": (scale * rng.normal(size=shape)).astype(np.float32),
    }


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="option_convention", wrt=("input",),
    options={"epsilon": 0.1},
)  # fmt: skip
