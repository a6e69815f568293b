"""A distillation loss averages the KL divergence over classes.

The mean over the class axis makes the divergence smaller by the number of classes. LD and mmdetection's kd_loss.

Reference: HikariTJU/LD#74, https://github.com/HikariTJU/LD/issues/74
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, teacher: Any) -> Any:
    import torch
    from torch.nn import functional

    return functional.kl_div(torch.log_softmax(input, -1), torch.softmax(teacher, -1), reduction="none").mean(1).mean()


def jax_loss(input: Any, teacher: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(teacher)
    return (jnp.exp(log_p) * (log_p - jax.nn.log_softmax(input))).sum(-1).mean()


def truth(input: Any, teacher: Any) -> Any:
    p, q = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (teacher, input))
    return (p * np.log(p / q)).sum(-1).mean()


def inputs(rows: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "input": rng.normal(size=(rows, 5)).astype(np.float32),
        "teacher": rng.normal(size=(rows, 5)).astype(np.float32),
    }


CASE = Case(
    __doc__,
    torch_loss,
    jax_loss,
    truth,
    right.kl,
    inputs,
    wrong="torch",
    cause="mean_against_batchmean",
    wrt=("input",),
)
