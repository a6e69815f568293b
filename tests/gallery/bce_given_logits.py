"""A model without sigmoid is trained with a loss that takes probabilities.

binary_crossentropy has from_logits=False unless told otherwise, and clips logits to (0, 1). Keras transfer learning
tutorial until November 2019.

Reference: tensorflow/tensorflow#28718, https://github.com/tensorflow/tensorflow/issues/28718
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    from torch.nn import functional

    return functional.binary_cross_entropy_with_logits(input, target)


def jax_loss(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    p = jnp.clip(input, 1e-7, 1 - 1e-7)
    return -(target * jnp.log(p) + (1 - target) * jnp.log(1 - p)).mean()


def healthy(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    return (jnp.logaddexp(0, input) - input * target).mean()


def truth(input: Any, target: Any) -> Any:
    return (np.log1p(np.exp(input)) - input * target).mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.resize(np.array([0, 1, 1, 0, 1, 0], np.float32), rows)
    return {"input": rng.normal(size=rows).astype(np.float32), "target": target}


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="logits_as_probabilities", wrt=("input",)
)
