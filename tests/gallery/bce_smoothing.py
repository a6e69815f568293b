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


def healthy(input: Any, target: Any) -> Any:
    from torch.nn import functional

    return functional.binary_cross_entropy_with_logits(input, 0.9 * target + 0.05)


def truth(input: Any, target: Any) -> Any:
    soft = 0.9 * target + 0.05
    return (np.log1p(np.exp(input)) - input * soft).mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.resize(np.array([0, 1, 1, 0, 1, 0], np.float32), rows)
    return {"input": rng.normal(size=rows).astype(np.float32), "target": target}


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="smoothing_convention", wrt=("input",)
)
