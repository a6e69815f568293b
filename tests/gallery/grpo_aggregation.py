"""A loss announced as a mean over sequences divides by all tokens.

The documentation names the sum over tokens divided by the number of sequences, the code divides by the number of
tokens: long answers weigh otherwise. TRL 0.16. Both are means, one by rows and one by elements.

Reference: huggingface/trl#3178, https://github.com/huggingface/trl/issues/3178
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, mask: Any) -> Any:

    return (input * mask).sum() / mask.sum()


def jax_loss(input: Any, mask: Any) -> Any:

    return (input * mask).sum(-1).mean()


def healthy(input: Any, mask: Any) -> Any:
    return (input * mask).sum(-1).mean()


def truth(input: Any, mask: Any) -> Any:
    return (input * mask).sum(-1).mean()


def inputs(rows: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = np.resize(np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]], np.float32), (rows, 4))
    return {"input": rng.normal(size=(rows, 4)).astype(np.float32), "mask": mask}


CASE = Case(
    __doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="mean_against_batchmean", wrt=("input",)
)
