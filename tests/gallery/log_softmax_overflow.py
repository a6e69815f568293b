"""log_softmax of 89 is -inf.

The exponential is taken without subtracting the maximum and overflows float32. A port of PyTorch to another device.

Reference: cornell-brg/hb-pytorch#61, https://github.com/cornell-brg/hb-pytorch/issues/61
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:

    log_p = input - input.exp().sum(-1, keepdim=True).log()
    return -log_p.gather(1, target[:, None]).mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(input)
    picked = jnp.take_along_axis(log_p, target[:, None], 1)[:, 0]
    return -picked.mean()


def truth(input: Any, target: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    return -log_p[np.arange(len(target)), target].mean()


def inputs() -> dict[str, np.ndarray]:
    return {"input": np.array([[90, 88, 3], [1, 2, 3]], np.float32), "target": np.array([1, 0])}


CASE = Case(
    __doc__,
    torch_loss,
    jax_loss,
    truth,
    right.cross_entropy,
    inputs,
    wrong="torch",
    cause="overflow_without_max_shift",
    wrt=("input",),
)
