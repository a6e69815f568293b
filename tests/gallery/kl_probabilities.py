"""A KL divergence is given probabilities where it takes log-probabilities.

kl_div(p, p) is not 0: its first argument is a logarithm. A common trap of torch.nn.functional.kl_div.

Reference: pytorch/pytorch#51716, https://github.com/pytorch/pytorch/issues/51716
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, teacher: Any) -> Any:
    import torch
    from torch.nn import functional

    p, q = torch.softmax(teacher, -1), torch.softmax(input, -1)
    return functional.kl_div(q, p, reduction="batchmean")


def jax_loss(input: Any, teacher: Any) -> Any:
    import jax
    import jax.numpy as jnp

    p, q = jax.nn.softmax(teacher), jax.nn.softmax(input)
    return (p * jnp.log(p / q)).sum(-1).mean()


def truth(input: Any, teacher: Any) -> Any:
    p, q = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (teacher, input))
    return (p * np.log(p / q)).sum(-1).mean()


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "input": rng.normal(size=(4, 3)).astype(np.float32),
        "teacher": rng.normal(size=(4, 3)).astype(np.float32),
    }


CASE = Case(
    reference="pytorch/pytorch#51716",
    url="https://github.com/pytorch/pytorch/issues/51716",
    title="A KL divergence is given probabilities where it takes log-probabilities",
    wrong="torch",
    cause="probabilities_as_log_probabilities",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
