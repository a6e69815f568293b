"""Cross entropy of two equal logits of 1e8 is 0 instead of ln 2.

The maximum is added to the logarithm of the sum before the logit is subtracted, and ln 2 is rounded away. PyTorch
0.4.1.

Reference: pytorch/pytorch#11752, https://github.com/pytorch/pytorch/issues/11752
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:

    shift = input.max(-1, keepdim=True).values
    lse = shift + (input - shift).exp().sum(-1, keepdim=True).log()
    return -(input - lse).gather(1, target[:, None]).mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(input)
    picked = jnp.take_along_axis(log_p, target[:, None], 1)[:, 0]
    return -picked.mean()


def truth(input: Any, target: Any) -> Any:
    log_p = input - input.max() - np.log(np.exp(input - input.max()).sum(-1, keepdims=True))
    return -log_p[np.arange(len(target)), target].mean()


def inputs() -> dict[str, np.ndarray]:
    return {"input": np.full((2, 2), 1e8, np.float32), "target": np.array([1, 0])}


CASE = Case(
    __doc__,
    torch_loss,
    jax_loss,
    truth,
    right.cross_entropy,
    inputs,
    wrong="torch",
    cause="lost_digits",
    wrt=("input",),
)
