"""Label smoothing spreads eps over the other classes only.

eps / (C - 1) for each wrong class instead of eps / C for every class: with few classes the target is another.
fastai 1.0.

Reference: fastai/fastai#1814, https://github.com/fastai/fastai/pull/1814
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    import torch

    log_p = torch.log_softmax(input, -1)
    right = log_p.gather(1, target[:, None])[:, 0]
    eps = 0.1 * input.shape[1] / (input.shape[1] - 1)
    return (-(1 - eps) * right - eps * log_p.mean(-1)).mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(input)
    picked = jnp.take_along_axis(log_p, target[:, None], 1)[:, 0]
    return (-0.9 * picked - 0.1 * log_p.mean(-1)).mean()


def healthy(input: Any, target: Any) -> Any:
    from torch.nn import functional

    return functional.cross_entropy(input, target, label_smoothing=0.1)


def truth(input: Any, target: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    return (-0.9 * log_p[np.arange(len(target)), target] - 0.1 * log_p.mean(-1)).mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"input": rng.normal(size=(rows, 5)).astype(np.float32), "target": np.resize([0, 3, 1, 4, 2, 1], rows)}


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="smoothing_convention", wrt=("input",)
)
