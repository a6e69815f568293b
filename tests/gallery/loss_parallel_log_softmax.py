"""loss_parallel passes the gradient of log_softmax through unchanged.

Inside loss_parallel the backward of log_softmax is the identity, right only when a cross entropy follows that adds
the missing term; a DPO-like weighted sum gets a gradient without its softmax term. Open in 2.13.
The value is whole: what lacks in the gradient is the term that a detached logsumexp leaves out.

Reference: pytorch/pytorch#190746, https://github.com/pytorch/pytorch/issues/190746
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, weight: Any) -> Any:
    import torch

    return (weight * (input - torch.logsumexp(input, -1, keepdim=True).detach())).sum()


def jax_loss(input: Any, weight: Any) -> Any:
    import jax

    return (weight * jax.nn.log_softmax(input)).sum()


def healthy(input: Any, weight: Any) -> Any:
    import torch

    return (weight * torch.log_softmax(input, -1)).sum()


def truth(input: Any, weight: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    return (weight * log_p).sum()


def inputs(rows: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "input": rng.normal(size=(rows, 5)).astype(np.float32),
        "weight": rng.normal(size=(rows, 5)).astype(np.float32),
    }


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="detached", wrt=("input",))
