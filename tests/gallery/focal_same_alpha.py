"""Both classes of a focal loss get the weight alpha.

Negatives should get 1 - alpha; with the same weight alpha balances nothing. segmentation_models before 1.0.

Reference: qubvel/segmentation_models#187, https://github.com/qubvel/segmentation_models/issues/187
"""

from typing import Any

import numpy as np

from tests.gallery import Case


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


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"input": rng.normal(size=6).astype(np.float32), "target": np.array([0, 1, 1, 0, 1, 0], np.float32)}


CASE = Case(
    reference="qubvel/segmentation_models#187",
    url="https://github.com/qubvel/segmentation_models/issues/187",
    title="Both classes of a focal loss get the weight alpha",
    wrong="torch",
    cause="wrong_formula",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
