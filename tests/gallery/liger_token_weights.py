"""Every token's gradient is scaled by the first token's weight.

The backward of an unreduced fused loss reads one number of the incoming gradient and multiplies all rows by it.
Liger-Kernel before July 2026. The value is right; each row of the gradient has a factor of its own.

Reference: linkedin/Liger-Kernel#968, https://github.com/linkedin/Liger-Kernel/issues/968
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any, weight: Any) -> Any:
    from torch.nn import functional

    loss = functional.cross_entropy(input, target, reduction="none")
    scaled = loss * weight[0]
    return ((loss * weight).detach() + scaled - scaled.detach()).sum()


def jax_loss(input: Any, target: Any, weight: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(input)
    picked = jnp.take_along_axis(log_p, target[:, None], 1)[:, 0]
    return -(weight * picked).sum()


def healthy(input: Any, target: Any, weight: Any) -> Any:
    from torch.nn import functional

    return (weight * functional.cross_entropy(input, target, reduction="none")).sum()


def truth(input: Any, target: Any, weight: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    return -(weight * log_p[np.arange(len(target)), target]).sum()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "input": rng.normal(size=(rows, 5)).astype(np.float32),
        "target": np.resize([0, 3, 1, 4, 2, 1], rows),
        "weight": np.resize(np.array([0.5, 1, 2, 0, 1, 3], np.float32), rows),
    }


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="gradient_factor", wrt=("input",)
)  # fmt: skip
