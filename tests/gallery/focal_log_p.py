"""The focusing factor of a focal loss is taken of the log-probability.

1 - log p stands where 1 - p should, so confident samples weigh most. FocalLoss_for_multiclass.

Reference: HeyLynne/FocalLoss_for_multiclass#3, https://github.com/HeyLynne/FocalLoss_for_multiclass/issues/3
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    import torch

    log_p = torch.log_softmax(input, -1).gather(1, target[:, None])[:, 0]
    return -((1 - log_p) ** 2 * log_p).mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jnp.take_along_axis(jax.nn.log_softmax(input), target[:, None], 1)[:, 0]
    return -((1 - jnp.exp(log_p)) ** 2 * log_p).mean()


def healthy(input: Any, target: Any) -> Any:
    import torch

    log_p = torch.log_softmax(input, -1).gather(1, target[:, None])[:, 0]
    return -((1 - log_p.exp()) ** 2 * log_p).mean()


def truth(input: Any, target: Any) -> Any:
    p = np.exp(input) / np.exp(input).sum(-1, keepdims=True)
    p = p[np.arange(len(target)), target]
    return -((1 - p) ** 2 * np.log(p)).mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"input": rng.normal(size=(rows, 5)).astype(np.float32), "target": np.resize([0, 3, 1, 4, 2, 1], rows)}


CASE = Case(
    __doc__,
    torch_loss,
    jax_loss,
    truth,
    healthy,
    inputs,
    wrong="torch",
    cause="log_probabilities_as_probabilities",
    wrt=("input",),
)
