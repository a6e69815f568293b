"""The Jensen-Shannon mixture is taken of log-probabilities.

A mean of logarithms is not the logarithm of a mean. GKDTrainer before October 2024.

Reference: huggingface/trl#2202, https://github.com/huggingface/trl/issues/2202
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, teacher: Any) -> Any:
    import torch

    p, q = torch.softmax(teacher, -1), torch.softmax(input, -1)
    m = (0.5 * p.log() + 0.5 * q.log()).exp()
    return (0.5 * p * (p / m).log() + 0.5 * q * (q / m).log()).sum(-1).mean()


def jax_loss(input: Any, teacher: Any) -> Any:
    import jax
    import jax.numpy as jnp

    p, q = jax.nn.softmax(teacher), jax.nn.softmax(input)
    m = 0.5 * (p + q)
    return (0.5 * p * jnp.log(p / m) + 0.5 * q * jnp.log(q / m)).sum(-1).mean()


def healthy(input: Any, teacher: Any) -> Any:
    import torch

    p, q = torch.softmax(teacher, -1), torch.softmax(input, -1)
    return sum(0.5 * x * (x / (0.5 * p + 0.5 * q)).log() for x in (p, q)).sum(-1).mean()


def truth(input: Any, teacher: Any) -> Any:
    p, q = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (teacher, input))
    m = 0.5 * (p + q)
    return (0.5 * p * np.log(p / m) + 0.5 * q * np.log(q / m)).sum(-1).mean()


def inputs(rows: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "input": rng.normal(size=(rows, 3)).astype(np.float32),
        "teacher": rng.normal(size=(rows, 3)).astype(np.float32),
    }


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="wrong_formula", wrt=("input",))
