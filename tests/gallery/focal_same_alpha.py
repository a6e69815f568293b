"""Both classes of a focal loss get the weight alpha.

Negatives should get 1 - alpha; with the same weight alpha balances nothing. segmentation_models before 1.0.
All that differs is the weight of a class.

Reference: qubvel/segmentation_models#187, https://github.com/qubvel/segmentation_models/issues/187
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:
    import torch

    p = torch.sigmoid(input)
    return (-target * 0.25 * (1 - p) ** 2 * p.log() - (1 - target) * 0.25 * p**2 * (1 - p).log()).mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    p = jax.nn.sigmoid(input)
    return (-target * 0.25 * (1 - p) ** 2 * jnp.log(p) - (1 - target) * 0.75 * p**2 * jnp.log(1 - p)).mean()


def truth(input: Any, target: Any) -> Any:
    p = 1 / (1 + np.exp(-input))
    return (-target * 0.25 * (1 - p) ** 2 * np.log(p) - (1 - target) * 0.75 * p**2 * np.log(1 - p)).mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.resize(np.array([0, 1, 1, 0, 1, 0], np.float32), rows)
    return {"input": rng.normal(size=rows).astype(np.float32), "target": target}


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, right.focal, inputs, wrong="torch", cause="class_weights", wrt=("input",)
)
