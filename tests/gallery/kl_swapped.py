"""KL(P || Q) is read as kl_div(P, Q), which is KL(Q || P).

The first argument of kl_div is the approximation, not the distribution that is averaged over. A trap of the
interface.

Reference: pytorch/pytorch#57459, https://github.com/pytorch/pytorch/issues/57459
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, teacher: Any) -> Any:
    import torch
    from torch.nn import functional

    return functional.kl_div(torch.log_softmax(teacher, -1), torch.softmax(input, -1), reduction="batchmean")


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
    reference="pytorch/pytorch#57459",
    url="https://github.com/pytorch/pytorch/issues/57459",
    title="KL(P || Q) is read as kl_div(P, Q), which is KL(Q || P)",
    wrong="torch",
    cause="swapped_arguments",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
