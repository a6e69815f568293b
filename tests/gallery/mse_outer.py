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


def truth(input: Any, target: Any) -> Any:
    return ((input[:, 0] - target) ** 2).mean()


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"input": rng.normal(size=(5, 1)).astype(np.float32), "target": rng.normal(size=5).astype(np.float32)}


CASE = Case(
    reference="pytorch/pytorch#19699",
    url="https://github.com/pytorch/pytorch/issues/19699",
    title="A column against a row is compared with every element",
    wrong="torch",
    cause="wrong_shape",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
