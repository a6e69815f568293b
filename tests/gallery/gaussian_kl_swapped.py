"""The KL divergence of Gaussians has its arguments in the other order.

For categorical distributions kl(a, b) is KL(a || b), for Gaussians it was KL(b || a). RLax before it was mended in
2021.

Reference: google-deepmind/rlax#14, https://github.com/google-deepmind/rlax/issues/14
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, scale: Any, mean: Any, spread: Any) -> Any:
    return ((spread / scale).log() + (scale**2 + (input - mean) ** 2) / (2 * spread**2) - 0.5).sum(-1).mean()


def jax_loss(input: Any, scale: Any, mean: Any, spread: Any) -> Any:
    import jax.numpy as jnp

    return (jnp.log(scale / spread) + (spread**2 + (input - mean) ** 2) / (2 * scale**2) - 0.5).sum(-1).mean()


def healthy(input: Any, scale: Any, mean: Any, spread: Any) -> Any:
    import jax.numpy as jnp

    return (jnp.log(spread / scale) + (scale**2 + (input - mean) ** 2) / (2 * spread**2) - 0.5).sum(-1).mean()


def truth(input: Any, scale: Any, mean: Any, spread: Any) -> Any:
    return (np.log(spread / scale) + (scale**2 + (input - mean) ** 2) / (2 * spread**2) - 0.5).sum(-1).mean()


def inputs(rows: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, rows, 3)).astype(np.float32)
    s, r = rng.uniform(0.5, 2, (2, rows, 3)).astype(np.float32)
    return {"input": x, "scale": s, "mean": y, "spread": r}


CASE = Case(
    __doc__,
    torch_loss,
    jax_loss,
    truth,
    healthy,
    inputs,
    wrong="jax",
    cause="swapped_arguments",
    wrt=("input", "scale"),
)
