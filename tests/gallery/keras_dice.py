"""A Dice loss is taken over the whole batch.

The intersection and the total are summed over all samples, where each sample should have its own. Keras 3 before
the argument axis. One loss of all samples stands where the mean of each sample's should be.

Reference: keras-team/keras#19637, https://github.com/keras-team/keras/issues/19637
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    return (1 - 2 * (input * target).sum(-1) / (input + target).sum(-1)).mean()


def jax_loss(input: Any, target: Any) -> Any:
    return 1 - 2 * (input * target).sum() / (input + target).sum()


def healthy(input: Any, target: Any) -> Any:
    return (1 - 2 * (input * target).sum(-1) / (input + target).sum(-1)).mean()


def truth(input: Any, target: Any) -> Any:
    return (1 - 2 * (input * target).sum(-1) / (input + target).sum(-1)).mean()


def inputs(rows: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.resize(np.array([[1, 0, 0, 1], [1, 1, 1, 0], [0, 1, 0, 0]], np.float32), (rows, 4))
    return {"input": rng.uniform(0.1, 0.9, (rows, 4)).astype(np.float32), "target": target}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="jax", cause="mean_of_means", wrt=("input",))
