"""The KL divergence of a distribution with itself is not 0.

The target is a probability whose logarithm is taken again, while the input is a log-probability; elements come out
near 1e-8, some negative. The model is the formula of the report.

Reference: pytorch/pytorch#32520, https://github.com/pytorch/pytorch/issues/32520
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any) -> Any:
    import torch

    p = torch.softmax(input, -1)
    return (p * p.log() - p * torch.log_softmax(input, -1)).sum(-1)


def jax_loss(input: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(input)
    return (jnp.exp(log_p) * (log_p - log_p)).sum(-1)


def healthy(input: Any) -> Any:
    import torch

    log_p = torch.log_softmax(input, -1)
    return (log_p.exp() * (log_p - log_p)).sum(-1)


def truth(input: Any) -> Any:
    return 0 * input.sum(-1)


def inputs() -> dict[str, np.ndarray]:
    return {"input": np.array([[1, 2, 3], [7, 5, 6]], np.float32)}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="lost_digits", wrt=())
