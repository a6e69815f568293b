"""A confident CTC alignment has a negative loss.

Log-probabilities are added in float32 around 0, and the sum rounds above it; training that takes the logarithm of
the loss gets NaN. optax 0.2.8, the installed function.

Reference: google-deepmind/optax#1771, https://github.com/google-deepmind/optax/issues/1771
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any) -> Any:
    import torch

    log_p = torch.log_softmax(input, -1)
    p = log_p[..., 0].exp()
    return -torch.log1p(-p.prod(-1))


def jax_loss(input: Any) -> Any:
    import jax.numpy as jnp
    import optax

    rows = len(input)
    zeros, label = jnp.zeros((rows, 2), input.dtype), jnp.ones((rows, 1), int)
    return optax.ctc_loss(input, zeros, label, jnp.zeros((rows, 1), input.dtype))


def healthy(input: Any) -> Any:
    import jax
    import jax.numpy as jnp

    return -jnp.log1p(-jax.nn.softmax(input)[..., 0].prod(-1))


def truth(input: Any) -> Any:
    p = 1 / (1 + np.exp(input[..., 1] - input[..., 0]))
    return -np.log1p(-p.prod(-1))


def inputs() -> dict[str, np.ndarray]:
    return {"input": np.array([[[0, 17], [0, 17]]], np.float32)}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="lost_digits", wrt=("input",))
