"""The gradient of logsumexp of nothing but -inf is NaN.

exp(-inf - (-inf)) stands in the derivative; dynamic programmes in log space want 0. JAX, open; the installed
function.

Reference: jax-ml/jax#6811, https://github.com/jax-ml/jax/issues/6811
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any) -> Any:
    import torch

    empty = torch.isneginf(input).all(-1, keepdim=True)
    safe = torch.where(empty, 0, input)
    return torch.where(empty[:, 0], -torch.inf, torch.logsumexp(safe, -1))


def jax_loss(input: Any) -> Any:
    import jax

    return jax.nn.logsumexp(input, -1)


def healthy(input: Any) -> Any:
    import jax
    import jax.numpy as jnp

    empty = jnp.isneginf(input).all(-1)
    return jnp.where(empty, -jnp.inf, jax.nn.logsumexp(jnp.where(empty[:, None], 0, input), -1))


def truth(input: Any) -> Any:
    total = np.exp(input).sum(-1)
    return np.array([np.log(x) if x > 0 else -np.inf for x in total])


def inputs() -> dict[str, np.ndarray]:
    return {"input": np.array([[0.5, 1, -2], [-np.inf] * 3], np.float32)}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="inf_minus_inf", wrt=("input",))
