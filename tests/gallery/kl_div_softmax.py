"""A KL divergence is given probabilities where it takes log-probabilities.

The student passes softmax to kl_div, whose first argument is a logarithm. ProDA before June 2021.

Reference: microsoft/ProDA#20, https://github.com/microsoft/ProDA/issues/20
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, teacher: Any) -> Any:
    import torch
    from torch.nn import functional

    return functional.kl_div(torch.softmax(input, -1), torch.softmax(teacher, -1), reduction="batchmean")


def jax_loss(input: Any, teacher: Any) -> Any:
    import jax
    import jax.numpy as jnp

    p, q = jax.nn.softmax(teacher), jax.nn.softmax(input)
    return (p * jnp.log(p / q)).sum(-1).mean()


def truth(input: Any, teacher: Any) -> Any:
    p, q = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (teacher, input))
    return (p * np.log(p / q)).sum(-1).mean()


def inputs(rows: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "input": rng.normal(size=(rows, 3)).astype(np.float32),
        "teacher": rng.normal(size=(rows, 3)).astype(np.float32),
    }


CASE = Case(
    __doc__,
    torch_loss,
    jax_loss,
    truth,
    right.kl,
    inputs,
    wrong="torch",
    cause="probabilities_as_log_probabilities",
    wrt=("input",),
)
