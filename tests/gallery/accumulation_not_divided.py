"""The loss grows with the number of accumulation steps.

When the model ignores the number of items in the batch, nobody divides the sum of the micro-batches' means by their
number. Trainer 4.47.

Reference: huggingface/transformers#37766, https://github.com/huggingface/transformers/issues/37766
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:
    import torch
    from torch.nn import functional

    micro = zip(input.chunk(2), target.chunk(2), strict=True)
    return torch.stack([functional.cross_entropy(x, t) for x, t in micro]).sum()


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(input)
    picked = jnp.take_along_axis(log_p, target[:, None], 1)[:, 0]
    return -picked.mean()


def truth(input: Any, target: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    return -log_p[np.arange(len(target)), target].mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"input": rng.normal(size=(rows, 5)).astype(np.float32), "target": np.resize([0, 3, 1, 4, 2, 1], rows)}


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, right.cross_entropy, inputs, wrong="torch", cause="factor", wrt=("input",)
)
