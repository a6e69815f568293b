"""The mean of unreduced weighted losses is not the weighted mean.

reduction='mean' divides by the sum of the class weights, a mean taken afterwards by the number of samples. PyTorch
users with class weights.

Reference: pytorch/pytorch#65329, https://github.com/pytorch/pytorch/issues/65329
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any, weight: Any) -> Any:
    from torch.nn import functional

    return functional.cross_entropy(input, target, weight, reduction="none").mean()


def jax_loss(input: Any, target: Any, weight: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(input)
    picked = jnp.take_along_axis(log_p, target[:, None], 1)[:, 0]
    w = weight[target]
    return -(w * picked).sum() / w.sum()


def truth(input: Any, target: Any, weight: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    w = weight[target]
    return -(w * log_p[np.arange(len(target)), target]).sum() / w.sum()


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "input": rng.normal(size=(6, 5)).astype(np.float32),
        "target": np.array([0, 3, 1, 4, 2, 1]),
        "weight": np.array([1, 2, 4, 0.5, 3], np.float32),
    }


CASE = Case(
    reference="pytorch/pytorch#65329",
    url="https://github.com/pytorch/pytorch/issues/65329",
    title="The mean of unreduced weighted losses is not the weighted mean",
    wrong="torch",
    cause="weights_in_denominator",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
