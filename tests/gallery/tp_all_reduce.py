"""The target's logit is gathered from other ranks without its gradient.

A plain all-reduce carries values only, so the ranks that do not own the target lose part of the gradient. ms-swift
before August 2026.

Reference: modelscope/ms-swift#9947, https://github.com/modelscope/ms-swift/pull/9947
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:
    import torch

    lse = torch.logsumexp(input, -1)
    local = target < 2
    picked = input.gather(1, target[:, None])[:, 0]
    return (lse - torch.where(local, picked, picked.detach())).mean()


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
    __doc__, torch_loss, jax_loss, truth, right.cross_entropy, inputs, wrong="torch", cause="detached", wrt=("input",)
)
