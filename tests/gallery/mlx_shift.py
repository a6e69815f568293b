"""Cross entropy as logsumexp minus the logit loses its digits under a common offset.

A common offset of the logits changes the result and at last makes it 0. MLX until August 2026; the same composition
is common in JAX code.

Reference: ml-explore/mlx#4188, https://github.com/ml-explore/mlx/pull/4188
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    from torch.nn import functional

    return functional.cross_entropy(input, target)


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    picked = jnp.take_along_axis(input, target[:, None], 1)[:, 0]
    return (jax.nn.logsumexp(input, -1) - picked).mean()


def healthy(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    return -jnp.take_along_axis(jax.nn.log_softmax(input), target[:, None], 1).mean()


def truth(input: Any, target: Any) -> Any:
    log_p = input - input.max() - np.log(np.exp(input - input.max()).sum(-1, keepdims=True))
    return -log_p[np.arange(len(target)), target].mean()


def inputs() -> dict[str, np.ndarray]:
    return {"input": np.array([[2, -1], [0, 1]], np.float32) + np.float32(1e6), "target": np.array([0, 1])}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="lost_digits", wrt=("input",))
