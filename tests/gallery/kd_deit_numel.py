"""A distillation loss divides the summed divergence by all elements.

Division by the number of elements instead of the batch: smaller by the number of classes. DeiT.

Reference: facebookresearch/deit#61, https://github.com/facebookresearch/deit/issues/61
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, teacher: Any) -> Any:
    import torch

    p, q = torch.softmax(teacher, -1), torch.softmax(input, -1)
    return (p * (p / q).log()).sum() / input.numel()


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
    reference="facebookresearch/deit#61",
    url="https://github.com/facebookresearch/deit/issues/61",
    title="A distillation loss divides the summed divergence by all elements",
    wrong="torch",
    cause="factor",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
