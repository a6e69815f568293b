"""The mixture of a generalized Jensen-Shannon divergence takes beta for the wrong side.

beta weighs the student where the definition weighs the teacher: beta stands for 1 - beta in the mixture, and nowhere
else. GKDTrainer before 0.16.

Reference: huggingface/trl#3043, https://github.com/huggingface/trl/pull/3043
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, teacher: Any, beta: float = 0.2) -> Any:
    import torch

    p, q = torch.softmax(teacher, -1), torch.softmax(input, -1)
    m = beta * q + (1 - beta) * p
    return (beta * p * (p / m).log() + (1 - beta) * q * (q / m).log()).sum(-1).mean()


def jax_loss(input: Any, teacher: Any, beta: float = 0.2) -> Any:
    import jax
    import jax.numpy as jnp

    p, q = jax.nn.softmax(teacher), jax.nn.softmax(input)
    m = beta * p + (1 - beta) * q
    return (beta * p * jnp.log(p / m) + (1 - beta) * q * jnp.log(q / m)).sum(-1).mean()


def healthy(input: Any, teacher: Any, beta: float = 0.2) -> Any:
    import torch

    p, q = torch.softmax(teacher, -1), torch.softmax(input, -1)
    m = beta * p + (1 - beta) * q
    return (beta * p * (p / m).log() + (1 - beta) * q * (q / m).log()).sum(-1).mean()


def truth(input: Any, teacher: Any, beta: float = 0.2) -> Any:
    p, q = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (teacher, input))
    m = beta * p + (1 - beta) * q
    return (beta * p * np.log(p / m) + (1 - beta) * q * np.log(q / m)).sum(-1).mean()


def inputs(rows: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "input": rng.normal(size=(rows, 5)).astype(np.float32),
        "teacher": rng.normal(size=(rows, 5)).astype(np.float32),
    }


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="option_convention", wrt=("input",),
    options={"beta": 0.2},
)  # fmt: skip
