"""Label smoothing adds 1 / C instead of eps / C.

The uniform part is not scaled by eps, so the targets sum to more than 1. ConvE.

Reference: TimDettmers/ConvE#55, https://github.com/TimDettmers/ConvE/issues/55
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    from torch.nn import functional

    soft = 0.9 * target + 1 / target.shape[1]
    return functional.binary_cross_entropy_with_logits(input, soft)


def jax_loss(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    soft = 0.9 * target + 0.1 / target.shape[1]
    return (jnp.logaddexp(0, input) - input * soft).mean()


def healthy(input: Any, target: Any) -> Any:
    from torch.nn import functional

    soft = 0.9 * target + 0.1 / target.shape[1]
    return functional.binary_cross_entropy_with_logits(input, soft)


def truth(input: Any, target: Any) -> Any:
    soft = 0.9 * target + 0.1 / target.shape[1]
    return (np.log1p(np.exp(input)) - input * soft).mean()


def inputs(rows: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "input": rng.normal(size=(rows, 3)).astype(np.float32),
        "target": np.eye(3, dtype=np.float32)[np.arange(rows) % 3],
    }


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="smoothing_convention", wrt=("input",)
)
