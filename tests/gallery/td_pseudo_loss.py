"""A pseudo-loss lacks its factor of -1/2.

The gradient of the squared temporal difference is -2 times the update that the text derives. The JAX 101 tutorial
until November 2023.

Reference: jax-ml/jax#18219, https://github.com/jax-ml/jax/issues/18219
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    return -0.5 * ((target - input) ** 2).sum()


def jax_loss(input: Any, target: Any) -> Any:
    return ((target - input) ** 2).sum()


def healthy(input: Any, target: Any) -> Any:
    return -0.5 * ((target - input) ** 2).sum()


def truth(input: Any, target: Any) -> Any:
    return -((target - input) ** 2).sum() / 2


def inputs(rows: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"input": rng.normal(size=rows).astype(np.float32), "target": rng.normal(size=rows).astype(np.float32)}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="factor", wrt=("input",))
