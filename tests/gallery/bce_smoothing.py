"""Binary label smoothing computes (t + eps) / 2.

Positives become about a half instead of 1 - eps / 2. utils.pytorch.

Reference: eladhoffer/utils.pytorch#13, https://github.com/eladhoffer/utils.pytorch/issues/13
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    from torch.nn import functional

    return functional.binary_cross_entropy_with_logits(input, (target + 0.1) / 2)


def jax_loss(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    soft = 0.9 * target + 0.05
    return (jnp.logaddexp(0, input) - input * soft).mean()


def truth(input: Any, target: Any) -> Any:
    soft = 0.9 * target + 0.05
    return (np.log1p(np.exp(input)) - input * soft).mean()


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"input": rng.normal(size=6).astype(np.float32), "target": np.array([0, 1, 1, 0, 1, 0], np.float32)}


CASE = Case(
    reference="eladhoffer/utils.pytorch#13",
    url="https://github.com/eladhoffer/utils.pytorch/issues/13",
    title="Binary label smoothing computes (t + eps) / 2",
    wrong="torch",
    cause="smoothing_convention",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
