"""Binary cross entropy has no gradient at a confident prediction.

The probability is clipped to [1e-7, 1 - 1e-7], and beyond the edge the clip passes no gradient: 0 where it is -1.
Keras. It is the value that is clipped, and the gradient is that of the clipped value.

Reference: keras-team/keras#9664, https://github.com/keras-team/keras/issues/9664
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    import torch

    return -torch.where(target > 0, input, 1 - input).log().mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    p = jnp.clip(input, 1e-7, 1 - 1e-7)
    return -(target * jnp.log(p) + (1 - target) * jnp.log(1 - p)).mean()


def healthy(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    return -jnp.log(jnp.where(target > 0, input, 1 - input)).mean()


def truth(input: Any, target: Any) -> Any:
    return -np.log(np.where(target > 0, input, 1 - input)).mean()


def inputs() -> dict[str, np.ndarray]:
    return {"input": np.array([1, 0.25, 0.5], np.float32), "target": np.array([1, 0, 1], np.float32)}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="clipped_value", wrt=("input",))
