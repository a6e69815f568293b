"""The entropy is computed from logits that the loss has changed.

Log-probabilities are computed in place, so the entropy after them sees other logits. verl with Megatron before June
2025.

Reference: verl-project/verl#1672, https://github.com/verl-project/verl/pull/1672
"""

from typing import Any

import numpy as np

from tests.gallery import Case


def torch_loss(input: Any, target: Any) -> Any:
    import torch

    picked = input.log_softmax(-1).gather(1, target[:, None]).mean()
    input.data.copy_(input.data.softmax(-1))
    return picked.detach() + torch.distributions.Categorical(logits=input).entropy().mean()


def jax_loss(input: Any, target: Any) -> Any:
    import jax
    import jax.numpy as jnp

    log_p = jax.nn.log_softmax(input)
    picked = jnp.take_along_axis(log_p, target[:, None], 1)[:, 0]
    return jax.lax.stop_gradient(picked.mean()) - (jnp.exp(log_p) * log_p).sum(-1).mean()


def healthy(input: Any, target: Any) -> Any:
    import torch

    log_p = torch.log_softmax(input, -1)
    return log_p.gather(1, target[:, None]).mean().detach() - (log_p.exp() * log_p).sum(-1).mean()


def truth(input: Any, target: Any) -> Any:
    log_p = input - np.log(np.exp(input).sum(-1, keepdims=True))
    return log_p[np.arange(len(target)), target].mean() - (np.exp(log_p) * log_p).sum(-1).mean()


def inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"input": rng.normal(size=(rows, 5)).astype(np.float32), "target": np.resize([0, 3, 1, 4, 2, 1], rows)}


CASE = Case(__doc__, torch_loss, jax_loss, truth, healthy, inputs, wrong="torch", cause="argument_mutated", wrt=())
