"""Features gathered from other processes carry no gradient.

A contrastive loss sees the other processes' features as constants. SLIP's CLIP loss.

Reference: facebookresearch/SLIP#31, https://github.com/facebookresearch/SLIP/issues/31
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:
    import torch
    from torch.nn import functional

    keys = torch.cat([target[:2], target[2:].detach()])
    return functional.cross_entropy(input @ keys.T, torch.arange(len(input)))


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    return -jnp.diag(jax.nn.log_softmax(input @ target.T)).mean()


def truth(input: Any, target: Any) -> Any:
    s = input @ target.T
    return -np.diag(s - np.log(np.exp(s).sum(-1, keepdims=True))).mean()


def inputs(rows: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "input": rng.normal(size=(rows, 3)).astype(np.float32),
        "target": rng.normal(size=(rows, 3)).astype(np.float32),
    }


CASE = Case(
    __doc__,
    torch_loss,
    jax_loss,
    truth,
    right.contrastive,
    inputs,
    wrong="torch",
    cause="detached",
    wrt=("input", "target"),
)
