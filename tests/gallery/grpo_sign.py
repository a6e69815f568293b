"""A policy loss is negated twice.

The loss of each token has its minus sign, and the mean over tokens gets another: minimizing it makes good answers
rarer. flash-linear-attention before August 2026.

Reference: fla-org/flash-linear-attention#1073, https://github.com/fla-org/flash-linear-attention/issues/1073
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, advantage: Any, mask: Any) -> Any:
    token = -(input.exp() * advantage[:, None]) * mask
    return -token.sum() / mask.sum()


def jax_loss(input: Any, advantage: Any, mask: Any) -> Any:
    import jax.numpy as jnp

    return -(jnp.exp(input) * advantage[:, None] * mask).sum() / mask.sum()


def healthy(input: Any, advantage: Any, mask: Any) -> Any:
    return -(input.exp() * advantage[:, None] * mask).sum() / mask.sum()


def truth(input: Any, advantage: Any, mask: Any) -> Any:
    return -(np.exp(input) * advantage[:, None] * mask).sum() / mask.sum()


def inputs(rows: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = np.resize(np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]], np.float32), (rows, 4))
    return {
        "input": (0.1 * rng.normal(size=(rows, 4))).astype(np.float32),
        "advantage": rng.normal(size=rows).astype(np.float32),
        "mask": mask,
    }


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="sign", wrt=("input",))
