"""Ignored pixels count in the denominator.

The loss of an ignored element is multiplied by 0 but the mean divides by all elements. segmentation_models.pytorch,
several losses.

Reference: qubvel-org/segmentation_models.pytorch#852, https://github.com/qubvel-org/segmentation_models.pytorch/issues/852
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    from torch.nn import functional

    mask = target >= 0
    loss = functional.binary_cross_entropy_with_logits(input, target.clamp(min=0), reduction="none")
    return (loss * mask).mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    mask = target >= 0
    loss = jnp.logaddexp(0, input) - input * target
    return jnp.where(mask, loss, 0).sum() / mask.sum()


def truth(input: Any, target: Any) -> Any:
    keep = target >= 0
    return (np.log1p(np.exp(input)) - input * target)[keep].mean()


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "input": rng.normal(size=8).astype(np.float32),
        "target": np.array([0, 1, -1, 1, -1, 0, 0, 1], np.float32),
    }


CASE = Case(
    reference="qubvel-org/segmentation_models.pytorch#852",
    url="https://github.com/qubvel-org/segmentation_models.pytorch/issues/852",
    title="Ignored pixels count in the denominator",
    wrong="torch",
    cause="ignored_in_denominator",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
