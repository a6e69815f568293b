"""Cross entropy shifts float32 logits in place.

Casting a float32 tensor to float32 copies nothing, so the subtraction of the maximum changes the caller's logits.
Megatron-LM; open.

Reference: NVIDIA/Megatron-LM#1594, https://github.com/NVIDIA/Megatron-LM/pull/1594
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    from torch.nn import functional

    logits = input.float()
    logits.data -= logits.data.max(-1, keepdim=True).values
    return functional.cross_entropy(logits, target)


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(input)
    picked = jnp.take_along_axis(log_p, target[:, None], 1)[:, 0]
    return -picked.mean()


def truth(input: Any, target: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    return -log_p[np.arange(len(target)), target].mean()


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"input": rng.normal(size=(6, 5)).astype(np.float32), "target": np.array([0, 3, 1, 4, 2, 1])}


CASE = Case(
    reference="NVIDIA/Megatron-LM#1594",
    url="https://github.com/NVIDIA/Megatron-LM/pull/1594",
    title="Cross entropy shifts float32 logits in place",
    wrong="torch",
    cause="argument_mutated",
    torch=torch_loss,
    jax=jax_loss,
    inputs=inputs,
    wrt=("input",),
    truth=truth,
)
