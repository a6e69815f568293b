"""A weighted nll_loss over a sharded batch is the mean of the shards' weighted means.

Each shard divides by its own sum of class weights and the results are averaged, so the loss depends on how labels
fall into shards. DTensor users with class weights; open in 2.13.

Reference: pytorch/pytorch#185167, https://github.com/pytorch/pytorch/issues/185167
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any, weight: Any) -> Any:
    import torch
    from torch.nn import functional

    shards = zip(input.chunk(2), target.chunk(2), strict=True)
    return torch.stack([functional.nll_loss(x, t, weight) for x, t in shards]).mean()


def jax_loss(input: Any, target: Any, weight: Any) -> Any:
    import jax.numpy as jnp

    picked = jnp.take_along_axis(input, target[:, None], 1)[:, 0]
    w = weight[target]
    return -(w * picked).sum() / w.sum()


def healthy(input: Any, target: Any, weight: Any) -> Any:
    from torch.nn import functional

    return functional.nll_loss(input, target, weight)


def truth(input: Any, target: Any, weight: Any) -> Any:
    w = weight[target]
    return -(w * input[np.arange(len(target)), target]).sum() / w.sum()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "input": -rng.uniform(0.1, 3, size=(rows, 4)).astype(np.float32),
        "target": np.resize([0, 0, 1, 3, 2, 3], rows),
        "weight": np.array([1, 2, 4, 0.5], np.float32),
    }


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="mean_of_means", wrt=("input",))
