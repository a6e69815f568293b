"""Compiled binary cross entropy takes a target of 1.5 and returns -50.

The check of the domain is lost, and the logarithm clamped at -100 makes a finite number. PyTorch 2.13 with inductor
on the CPU; eager raises. The clamp is not the fault: inside the domain it is what eager does, too.

Reference: pytorch/pytorch#193757, https://github.com/pytorch/pytorch/issues/193757
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:

    log_p, log_q = input.log().clamp(min=-100), (1 - input).log().clamp(min=-100)
    return -(target * log_p + (1 - target) * log_q).mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    loss = -(target * jnp.log(input) + (1 - target) * jnp.log1p(-input))
    return jnp.where((target < 0) | (target > 1), jnp.nan, loss).mean()


def healthy(input: Any, target: Any) -> Any:
    import torch
    from torch.nn import functional

    inside = (target >= 0) & (target <= 1)
    loss = functional.binary_cross_entropy(input, torch.where(inside, target, 0), reduction="none")
    return torch.where(inside, loss, torch.nan).mean()


def truth(input: Any, target: Any) -> Any:
    return np.full_like(input, np.nan).mean()


def inputs() -> dict[str, np.ndarray]:
    return {"input": np.array([1, 0.5], np.float32), "target": np.array([1.5, 1], np.float32)}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="outside_domain", wrt=())
