"""Labels are shifted twice, so that a token predicts the one after the next.

The model shifts the labels and the loss function shifts them again. GitForCausalLM since 4.49.
Classes are counted from 0 on both sides; it is the places in the sequence that are off by one.

Reference: huggingface/transformers#47394, https://github.com/huggingface/transformers/issues/47394
"""

from typing import Any

import numpy as np

from tests.gallery import Case, right


def torch_loss(input: Any, target: Any) -> Any:
    from torch.nn import functional

    return functional.cross_entropy(input[:-2], target[2:])


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(input[:-1])
    return -jnp.take_along_axis(log_p, target[1:, None], 1).mean()


def truth(input: Any, target: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    return -log_p[np.arange(len(target) - 1), target[1:]].mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"input": rng.normal(size=(rows, 5)).astype(np.float32), "target": np.resize([0, 3, 1, 4, 2, 1], rows)}


CASE = Case(
    __doc__,
    torch_loss,
    jax_loss,
    truth,
    right.next_token,
    inputs,
    wrong="torch",
    cause="labels_shifted",
    wrt=("input",),
)
