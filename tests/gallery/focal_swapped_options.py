"""alpha and gamma of a focal loss are passed in each other's place.

The loss object passes its options by position, in another order than the function takes them. segmentation_models
before 1.0.

Reference: qubvel/segmentation_models#258, https://github.com/qubvel/segmentation_models/issues/258
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def focal(input: Any, target: Any, alpha: float, gamma: float) -> Any:
    import torch

    p = torch.sigmoid(input)
    positive = -target * alpha * (1 - p) ** gamma * p.log()
    return (positive - (1 - target) * (1 - alpha) * p**gamma * (1 - p).log()).mean()


def torch_loss(input: Any, target: Any, alpha: float = 0.25, gamma: float = 2.0) -> Any:
    return focal(input, target, gamma, alpha)


def jax_loss(input: Any, target: Any, alpha: float = 0.25, gamma: float = 2.0) -> Any:
    import jax
    import jax.numpy as jnp

    p = jax.nn.sigmoid(input)
    positive = -target * alpha * (1 - p) ** gamma * jnp.log(p)
    return (positive - (1 - target) * (1 - alpha) * p**gamma * jnp.log(1 - p)).mean()


def truth(input: Any, target: Any, alpha: float = 0.25, gamma: float = 2.0) -> Any:
    p = 1 / (1 + np.exp(-input))
    positive = -target * alpha * (1 - p) ** gamma * np.log(p)
    return (positive - (1 - target) * (1 - alpha) * p**gamma * np.log(1 - p)).mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.resize(np.array([0, 1, 1, 0, 1, 0], np.float32), rows)
    return {"input": rng.normal(size=rows).astype(np.float32), "target": target}


def focal_right(input: Any, target: Any, alpha: float = 0.25, gamma: float = 2.0) -> Any:
    return focal(input, target, alpha, gamma)


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, focal_right, inputs, wrong="torch", cause="swapped_arguments", wrt=("input",),
    options={"alpha": 0.25, "gamma": 2.0},
)  # fmt: skip
