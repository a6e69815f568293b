"""A large logit that is masked out makes the gradient NaN.

The maximum is taken of the kept logits only, so the exponential of a masked one overflows, and 0 * inf follows.
jax.nn.log_softmax with where=, before it was mended.

Reference: jax-ml/jax#17117, https://github.com/jax-ml/jax/issues/17117
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, mask: Any) -> Any:
    import torch

    log_p = torch.log_softmax(torch.where(mask, input, -torch.inf), -1)
    return -torch.where(mask, log_p, 0).sum(-1).mean()


def jax_loss(input: Any, mask: Any) -> Any:
    import jax.numpy as jnp

    shifted = input - jnp.max(input, -1, keepdims=True, where=mask, initial=-jnp.inf)
    lse = jnp.log(jnp.where(mask, jnp.exp(shifted), 0).sum(-1, keepdims=True))
    return -jnp.where(mask, shifted - lse, 0).sum(-1).mean()


def healthy(input: Any, mask: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(jnp.where(mask, input, -jnp.inf))
    return -jnp.where(mask, log_p, 0).sum(-1).mean()


def truth(input: Any, mask: Any) -> Any:
    total = np.where(mask, np.exp(np.where(mask, input, 0)), 0).sum(-1, keepdims=True)
    return -np.where(mask, input - np.log(total), 0).sum(-1).mean()


def inputs() -> dict[str, np.ndarray]:
    mask = np.array([[True, True, False], [True, True, True]])
    return {"input": np.array([[1, 1.5, 100], [0.5, -1, 2]], np.float32), "mask": mask}


CASE = Case(
    __doc__,
    torch_loss,
    jax_loss,
    truth,
    healthy,
    inputs,
    wrong="jax",
    cause="overflow_without_max_shift",
    wrt=("input",),
)
