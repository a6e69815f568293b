"""A fused distillation loss adds half a cross entropy nobody asked for.

The fused path keeps the default weights of a hard and a soft loss, 0.5 each. TRL's GKD with Liger before May 2026.

Reference: huggingface/trl#5731, https://github.com/huggingface/trl/pull/5731
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, teacher: Any) -> Any:
    import torch

    p, q = torch.softmax(teacher, -1), torch.softmax(input, -1)
    soft = (p * (p / q).log()).sum(-1).mean()
    return 0.5 * soft - 0.5 * q[:, 0].log().mean()


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
    __doc__, torch_loss, jax_loss, truth, right.kl, inputs, wrong="torch", cause="wrong_formula", wrt=("input",)
)
