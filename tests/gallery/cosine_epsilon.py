"""The epsilon of a cosine similarity bounds the squared norm instead of the norm.

Documented as the least norm, it is put under the root: 1e-4 bounds norms at 1e-2. optax 0.2.8, the installed
function; the documentation was changed, not the function.

Reference: google-deepmind/optax#1703, https://github.com/google-deepmind/optax/pull/1703
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    import torch

    a, b = (torch.linalg.vector_norm(x, dim=-1).clamp(min=1e-4) for x in (input, target))
    return (1 - (input * target).sum(-1) / (a * b)).mean()


def jax_loss(input: Any, target: Any) -> Any:
    import optax

    return optax.losses.cosine_distance(input, target, epsilon=1e-4).mean()


def healthy(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    a, b = (jnp.maximum(jnp.sqrt((x**2).sum(-1)), 1e-4) for x in (input, target))
    return (1 - (input * target).sum(-1) / (a * b)).mean()


def truth(input: Any, target: Any) -> Any:
    a, b = (np.sqrt((x**2).sum(-1)) for x in (input, target))
    return (1 - (input * target).sum(-1) / (np.where(a > 1e-4, a, 1e-4) * np.where(b > 1e-4, b, 1e-4))).mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape, scale = (rows, 4), 2e-3
    return {
        "input": (scale * rng.normal(size=shape)).astype(np.float32),
        "target": (scale * rng.normal(size=shape)).astype(np.float32),
    }


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="eps_placement", wrt=("input",))
