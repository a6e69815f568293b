"""The variance terms of two views are averaged where the paper adds them.

A factor 1/2 beside the paper's formula with the paper's coefficients. VICReg.

Reference: facebookresearch/vicreg#8, https://github.com/facebookresearch/vicreg/issues/8
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:

    a, b = ((1 - x.var(0).sqrt()).clamp(min=0).mean() for x in (input, target))
    return a / 2 + b / 2


def jax_loss(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    a, b = (jnp.maximum(1 - jnp.sqrt(x.var(0, ddof=1)), 0).mean() for x in (input, target))
    return a + b


def truth(input: Any, target: Any) -> Any:
    a, b = (np.maximum(1 - x.std(0, ddof=1), 0).mean() for x in (input, target))
    return a + b


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "input": (0.5 * rng.normal(size=(4, 3))).astype(np.float32),
        "target": (0.5 * rng.normal(size=(4, 3))).astype(np.float32),
    }


CASE = Case(
    reference="facebookresearch/vicreg#8",
    url="https://github.com/facebookresearch/vicreg/issues/8",
    title="The variance terms of two views are averaged where the paper adds them",
    wrong="torch",
    cause="factor",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
