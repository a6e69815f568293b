"""A masked logit of -inf under a zero label makes the cross entropy NaN.

0 * log 0 is taken as 0 * -inf. optax until safe_softmax_cross_entropy; softmax_cross_entropy itself still does it
in 0.2.8.

Reference: google-deepmind/optax#896, https://github.com/google-deepmind/optax/issues/896
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    import torch

    log_p = torch.log_softmax(input, -1)
    return -(target * torch.where(target > 0, log_p, 0)).sum(-1)


def jax_loss(input: Any, target: Any) -> Any:
    import optax

    return optax.softmax_cross_entropy(input, target)


def healthy(input: Any, target: Any) -> Any:
    import optax

    return optax.safe_softmax_cross_entropy(input, target)


def truth(input: Any, target: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    return -(np.where(target > 0, target, 0) * np.where(target > 0, log_p, 0)).sum(-1)


def inputs() -> dict[str, np.ndarray]:
    return {
        "input": np.array([[0.5, 1, -np.inf]], np.float32),
        "target": np.array([[0.25, 0.75, 0]], np.float32),
    }


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="zero_times_log_zero", wrt=("input",)
)
