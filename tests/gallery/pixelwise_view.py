"""Pixels and classes are mixed by a view without a transposition.

A tensor of shape (N, C, H, W) is viewed as rows of C, so the softmax runs over pixels of one class. Structured
knowledge distillation before December 2019.

Reference: irfanICMLL/structure_knowledge_distillation#11, https://github.com/irfanICMLL/structure_knowledge_distillation/issues/11
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, teacher: Any) -> Any:
    import torch

    p, q = (torch.softmax(x.reshape(-1, x.shape[1]), -1) for x in (teacher, input))
    return -(p * q.log()).sum() / (input.shape[2] * input.shape[3])


def jax_loss(input: Any, teacher: Any) -> Any:
    import jax

    p, log_q = jax.nn.softmax(teacher, 1), jax.nn.log_softmax(input, 1)
    return -(p * log_q).sum() / (input.shape[2] * input.shape[3])


def healthy(input: Any, teacher: Any) -> Any:
    import torch

    p, log_q = torch.softmax(teacher, 1), torch.log_softmax(input, 1)
    return -(p * log_q).sum() / (input.shape[2] * input.shape[3])


def truth(input: Any, teacher: Any) -> Any:
    p, q = (np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (teacher, input))
    return -(p * np.log(q)).sum() / (input.shape[2] * input.shape[3])


def inputs(rows: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, rows, 3, 2, 2)).astype(np.float32)
    return {"input": x, "teacher": y}


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="axis_transposed", wrt=("input",)
)
