"""Cross entropy of probabilities stops at 16.1.

Probabilities are clipped at 1e-7 before the logarithm, so a wrong prediction that is confident costs no more than
-log 1e-7 and has no gradient. Keras, from_logits=False.

Reference: keras-team/keras#17634, https://github.com/keras-team/keras/issues/17634
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

    p = jnp.clip(jax.nn.softmax(input), 1e-7, 1 - 1e-7)
    return -jnp.log(jnp.take_along_axis(p, target[:, None], 1)).mean()


def healthy(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    mask = target >= 0
    picked = jnp.take_along_axis(jax.nn.log_softmax(input), jnp.where(mask, target, 0)[:, None], 1)[:, 0]
    return -jnp.where(mask, picked, 0).sum() / mask.sum()


def truth(input: Any, target: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    keep = target >= 0
    return -log_p[keep, target[keep]].mean()


def inputs() -> dict[str, np.ndarray]:
    return {"input": np.array([[14.4, 50.1, 3.5], [1, 2, 0]], np.float32), "target": np.array([0, 2])}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="clipped_value", wrt=("input",))
