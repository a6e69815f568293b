"""BCE with logits through an absolute value has a wrong gradient at logit 0.

max(x, 0) and log(1 + exp(-|x|)) each have a kink at 0 that cancels in the sum, but not in subgradients of 0.
PyTorch before 0.2.

Reference: pytorch/pytorch#1792, https://github.com/pytorch/pytorch/pull/1792
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:
    import torch
    from torch.nn import functional

    return (functional.relu(input) - input * target + torch.log1p(torch.exp(-input.abs()))).mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    return (jnp.logaddexp(0, input) - input * target).mean()


def truth(input: Any, target: Any) -> Any:
    return (np.log1p(np.exp(input)) - input * target).mean()


def inputs() -> dict[str, np.ndarray]:
    return {"input": np.array([0, 1, -2, 0], np.float32), "target": np.array([0, 1, 0, 1], np.float32)}


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, right.bce, inputs, wrong="torch", cause="kink_convention", wrt=("input",)
)
