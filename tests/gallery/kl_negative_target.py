"""kl_div takes a negative target for 0.

An undefined term is replaced by 0, which hides the caller's mistake. PyTorch before 1.13. With targets
that make sense nothing is clipped.

Reference: pytorch/pytorch#69230, https://github.com/pytorch/pytorch/issues/69230
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    import torch

    safe = target.clamp(min=0)
    return (torch.special.xlogy(safe, safe) - safe * input).sum()


def jax_loss(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    return (target * (jnp.log(target) - input)).sum()


def healthy(input: Any, target: Any) -> Any:
    return (target * (target.log() - input)).sum()


def truth(input: Any, target: Any) -> Any:
    return (target * (np.log(target) - input)).sum()


def inputs() -> dict[str, np.ndarray]:
    return {"input": np.array([-1, -2], np.float32), "target": np.array([0.5, -1], np.float32)}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="outside_domain", wrt=())
