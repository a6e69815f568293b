"""The gradient of the KL divergence is NaN with a masked logit under a zero target.

The value guards the logarithm of a zero target, but 0 * (0 - (-inf)) is NaN. optax 0.2.8, the installed function.

Reference: google-deepmind/optax#1786, https://github.com/google-deepmind/optax/pull/1786
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    import torch

    term = torch.where(target > 0, torch.special.xlogy(target, target) - target * torch.where(target > 0, input, 0), 0)
    return term.sum(-1)


def jax_loss(input: Any, target: Any) -> Any:
    import optax

    return optax.losses.kl_divergence(input, target)


def healthy(input: Any, target: Any) -> Any:
    import jax.numpy as jnp
    from jax.scipy.special import xlogy

    return (xlogy(target, target) - target * jnp.where(target > 0, input, 0)).sum(-1)


def truth(input: Any, target: Any) -> Any:
    keep = target > 0
    return np.array([(t[k] * (np.log(t[k]) - x[k])).sum() for t, k, x in zip(target, keep, input, strict=True)])


def inputs() -> dict[str, np.ndarray]:
    return {
        "input": np.array([[np.log(0.25), np.log(0.75), -np.inf]], np.float32),
        "target": np.array([[0.5, 0.5, 0]], np.float32),
    }


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="zero_times_log_zero", wrt=("input",)
)
