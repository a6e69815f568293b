"""A column against a row is compared with every element.

mse of shapes (N, 1) and (N,) broadcasts to (N, N), with a warning at best. PyTorch since 1.0.

Reference: pytorch/pytorch#19699, https://github.com/pytorch/pytorch/issues/19699
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:

    return ((input - target) ** 2).mean()


def jax_loss(input: Any, target: Any) -> Any:

    return ((input[:, 0] - target) ** 2).mean()


def healthy(input: Any, target: Any) -> Any:
    return ((input[:, 0] - target) ** 2).mean()


def truth(input: Any, target: Any) -> Any:
    return ((input[:, 0] - target) ** 2).mean()


def inputs(rows: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"input": rng.normal(size=(rows, 1)).astype(np.float32), "target": rng.normal(size=rows).astype(np.float32)}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="wrong_shape", wrt=("input",))
