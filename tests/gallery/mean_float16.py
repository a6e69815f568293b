"""A mean of float16 is added up in float16.

The sum stops growing where an addend is less than half an ulp of it: 1 is lost beside 2048. jnp.mean before October
2023; the model adds one by one.

Reference: jax-ml/jax#17792, https://github.com/jax-ml/jax/pull/17792
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    return ((input - target) ** 2).float().mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax

    square = (input - target) ** 2
    total, _ = jax.lax.scan(lambda s, x: (s + x, None), 0 * square[0], square)
    return total / len(square)


def healthy(input: Any, target: Any) -> Any:
    import jax.numpy as jnp

    return ((input - target) ** 2).astype(jnp.promote_types(input.dtype, jnp.float32)).mean()


def truth(input: Any, target: Any) -> Any:
    return ((input - target) ** 2).mean()


def inputs(rows: int = 4096, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"input": np.ones(rows, np.float32), "target": rng.choice(np.array([0, 2], np.float32), rows)}


CASE = Case(
    __doc__,
    torch_loss,
    jax_loss,
    truth,
    healthy,
    inputs,
    wrong="jax",
    cause="low_precision_accumulation",
    wrt=(),
    dtypes=("float16",),
)
