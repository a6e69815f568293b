"""The mixture of a generalized Jensen-Shannon divergence takes beta for the wrong side.

beta weighs the student where the definition weighs the teacher. GKDTrainer before 0.16.

Reference: huggingface/trl#3043, https://github.com/huggingface/trl/pull/3043
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, teacher: Any) -> Any:
    import torch

    beta = 0.2
    p, q = torch.softmax(teacher, -1), torch.softmax(input, -1)
    m = beta * q + (1 - beta) * p
    return (beta * p * (p / m).log() + (1 - beta) * q * (q / m).log()).sum(-1).mean()


def jax_loss(input: Any, teacher: Any) -> Any:
    import jax
    import jax.numpy as jnp

    beta = 0.2
    p, q = jax.nn.softmax(teacher), jax.nn.softmax(input)
    m = beta * p + (1 - beta) * q
    return (beta * p * jnp.log(p / m) + (1 - beta) * q * jnp.log(q / m)).sum(-1).mean()


def truth(input: Any, teacher: Any) -> Any:
    p, q = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (teacher, input))
    m = 0.2 * p + 0.8 * q
    return (0.2 * p * np.log(p / m) + 0.8 * q * np.log(q / m)).sum(-1).mean()


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "input": rng.normal(size=(3, 5)).astype(np.float32),
        "teacher": rng.normal(size=(3, 5)).astype(np.float32),
    }


CASE = Case(
    reference="huggingface/trl#3043",
    url="https://github.com/huggingface/trl/pull/3043",
    title="The mixture of a generalized Jensen-Shannon divergence takes beta for the wrong side",
    wrong="torch",
    cause="swapped_arguments",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
