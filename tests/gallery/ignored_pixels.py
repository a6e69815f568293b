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


def healthy(input: Any, target: Any) -> Any:
    from torch.nn import functional

    keep = target >= 0
    return functional.binary_cross_entropy_with_logits(input[keep], target[keep])


def truth(input: Any, target: Any) -> Any:
    keep = target >= 0
    return (np.log1p(np.exp(input)) - input * target)[keep].mean()


def inputs(rows: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "input": rng.normal(size=rows).astype(np.float32),
        "target": np.resize(np.array([0, 1, -1, 1, -1, 0, 0, 1], np.float32), rows),
    }


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="ignored_in_denominator", wrt=("input",)
)
