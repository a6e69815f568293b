"""Devices average their own token means.

Each device divides by its own number of unpadded tokens and pmean averages the results, so a token on a device with
much padding counts more. Flax summarization example of transformers.

Reference: huggingface/transformers#19494, https://github.com/huggingface/transformers/pull/19494
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    from torch.nn import functional

    return functional.cross_entropy(input, target)


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    picked = jnp.take_along_axis(jax.nn.log_softmax(input), jnp.maximum(target, 0)[:, None], 1)[:, 0]
    devices = zip(jnp.split(picked, 2), jnp.split(target >= 0, 2), strict=True)
    return sum(-(x * mask).sum() / mask.sum() for x, mask in devices) / 2


def healthy(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    mask = target >= 0
    picked = jnp.take_along_axis(jax.nn.log_softmax(input), jnp.where(mask, target, 0)[:, None], 1)[:, 0]
    return -jnp.where(mask, picked, 0).sum() / mask.sum()


def truth(input: Any, target: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    keep = target >= 0
    return -log_p[keep, target[keep]].mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    pattern = [0, -100, -100, 4, 2, 1]
    return {"input": rng.normal(size=(rows, 5)).astype(np.float32), "target": np.resize(pattern, rows)}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="mean_of_means", wrt=("input",))
