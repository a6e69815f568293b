r"""Generalized Jensen-Shannon divergence, elementwise, where `input` holds log-probabilities.

Formula, with q = exp(x), p = y (exp(y) with `log_target`) and the mixture m = beta p + (1 - beta) q:
l = beta p log(p / m) + (1 - beta) q log(q / m), with 0 log 0 = 0.

Args:
    input: log-probabilities x, any shape.
    target: probabilities y (their logarithms with `log_target`), a shape that broadcasts with that of `input`.
    reduction: `'none'` | `'mean'` | `'batchmean'` | `'sum'`. Default: `'mean'`, which divides by the number of
        elements, classes included. `'batchmean'` divides by the batch size, the length of the first axis of `input`:
        the mean over a batch of the divergence as it is defined.
    log_target: whether `target` holds logarithms. Default: False.
    beta: the weight of `target` in the mixture, > 0 and < 1. Default: 0.5. At 0 and 1 the formula is 0 everywhere
        (Liger-Kernel returns `kl_div` there, in either direction: the limits of l / beta and l / (1 - beta)).

Returns: shape () for `'mean'`, `'batchmean'` and `'sum'`, the broadcast shape for `'none'`; the wider dtype of `input`
and `target`.

Domain: x <= 0, also -inf, and y >= 0 (NaN below). Finite everywhere, also where q = 0 and `kl_div` is infinite.
Gradient: (1 - beta) q log(q / m) to `input`; beta log(p / m) to `target`, but 0 at p = 0, where that is minus infinity.
Near p = q, where the formula subtracts nearly equal terms, value and gradient keep their relative accuracy.
Errors: `ValueError` for shapes, reductions and beta, `TypeError` for anything but floating tensors, and for a
`log_target` that is not a bool.
Identities: symmetric in p and q at beta = 1/2, where the sum over the classes is at most log 2;
beta kl_div(log m, p) + (1 - beta) kl_div(log m, q).

>>> import numpy as np, xloss.jax
>>> log_q, p = np.float32([[0, -np.inf]]), np.float32([[0, 1]])
>>> round(float(xloss.jax.jensen_shannon_loss(log_q, p, reduction="batchmean")), 4)
0.6931

Source: Lin 1991, "Divergence measures based on the Shannon entropy"; beta as in arXiv:2306.13649 and Liger-Kernel.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed
from xloss.catalog import Domain, Loss, Variant
from xloss.losses.kl_div import REDUCTIONS, differentiable_mask
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, BatchReduction, Tensor


def torch_jensen_shannon_loss(input: Tensor, target: Tensor, reduction: BatchReduction = "mean",
                              log_target: bool = False, beta: float = 0.5) -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import torch as ops
    from xloss.ops.elementary import expm1_minus_x

    arguments.check_reduction(reduction, REDUCTIONS)
    log_target = arguments.check_flags(log_target=log_target)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    beta = ops.option("beta", beta, input, above=0, below=1)
    batch = input.shape[0] if input.ndim else 1
    input, target = ops.broadcast(input=input, target=target)
    # XLA flushes subnormal probabilities to 0, so both implementations treat them as 0.
    no_p = target == -torch.inf if log_target else (target >= 0) & (target < torch.finfo(target.dtype).tiny)
    p = torch.where(no_p, 0.0, torch.exp(target) if log_target else target)
    q = torch.exp(input)
    log_p = target if log_target else torch.log(torch.where(no_p, 1.0, target))
    # log(q / p), with 1e4 for infinity: exp(-1e4) is 0 in every dtype.
    gap = torch.where(no_p, 1e4, torch.where(input == -torch.inf, -1e4, input - log_p))
    near, ahead = ops.absolute(gap) < 1, gap > 0
    small, large = torch.where(near, gap, 0.0), torch.where(near, 1.0, torch.where(ahead, gap, -gap))
    # Near p = q, from log(m / p) and log(m / q): to the halves of the loss beta (m - p) and (1 - beta) (m - q), whose
    # sum is 0, are added, which makes each of them >= 0 and of second order in log(q / p).
    over_p = ops.log1p((1 - beta) * (small + expm1_minus_x(small)))
    close = beta * p * expm1_minus_x(over_p) + (1 - beta) * q * expm1_minus_x(over_p - small)
    # Elsewhere, from the lesser of p / q and q / p.
    ratio = torch.exp(-large)
    log_m = torch.log(torch.where(ahead, beta * ratio + (1 - beta), (1 - beta) * ratio + beta))
    over_p, over_q = torch.where(ahead, large + log_m, log_m), torch.where(ahead, log_m, large + log_m)
    loss = torch.where(near, close, -beta * p * over_p - (1 - beta) * q * over_q)
    return ops.reduce(loss, reduction, dtype, batch=batch)


def jax_jensen_shannon_loss(input: ArrayLike, target: ArrayLike, reduction: BatchReduction = "mean",
                            log_target: bool = False, beta: float = 0.5) -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops.elementary import expm1_minus_x

    arguments.check_reduction(reduction, REDUCTIONS)
    log_target = arguments.check_flags(log_target=log_target)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    beta = ops.option("beta", beta, input, above=0, below=1)
    batch = input.shape[0] if input.ndim else 1
    input, target = ops.broadcast(input=input, target=target)
    # XLA flushes subnormal probabilities to 0, so both implementations treat them as 0.
    no_p = target == -jnp.inf if log_target else (target >= 0) & (target < jnp.finfo(target.dtype).tiny)
    p = jnp.where(no_p, 0.0, jnp.exp(target) if log_target else target)
    q = jnp.exp(input)
    log_p = target if log_target else jnp.log(jnp.where(no_p, 1.0, target))
    # log(q / p), with 1e4 for infinity: exp(-1e4) is 0 in every dtype.
    gap = jnp.where(no_p, 1e4, jnp.where(input == -jnp.inf, -1e4, input - log_p))
    near, ahead = ops.absolute(gap) < 1, gap > 0
    small, large = jnp.where(near, gap, 0.0), jnp.where(near, 1.0, jnp.where(ahead, gap, -gap))
    # Near p = q, from log(m / p) and log(m / q): to the halves of the loss beta (m - p) and (1 - beta) (m - q), whose
    # sum is 0, are added, which makes each of them >= 0 and of second order in log(q / p).
    over_p = ops.log1p((1 - beta) * (small + expm1_minus_x(small)))
    close = beta * p * expm1_minus_x(over_p) + (1 - beta) * q * expm1_minus_x(over_p - small)
    # Elsewhere, from the lesser of p / q and q / p.
    ratio = jnp.exp(-large)
    log_m = jnp.log(jnp.where(ahead, beta * ratio + (1 - beta), (1 - beta) * ratio + beta))
    over_p, over_q = jnp.where(ahead, large + log_m, log_m), jnp.where(ahead, log_m, large + log_m)
    loss = jnp.where(near, close, -beta * p * over_p - (1 - beta) * q * over_q)
    return ops.reduce(loss, reduction, dtype, batch=batch)


def truth(t, input, target, log_target=False, beta=0.5):
    beta = t.const(beta)
    q, p = np.exp(input), np.exp(target) if log_target else target
    m = beta * p + (1 - beta) * q

    def against_m(x):
        there = t.lt(0, x)
        return x * (np.log(t.where(there, x, 1)) - np.log(t.where(there, m, 1)))

    return beta * against_m(p) + (1 - beta) * against_m(q)


def ruled_out_element(input, log_target=False, **_):
    """Return a class that has probability 0 in both."""
    axis = min(1, input.ndim - 1)
    return {"input": (-np.inf, axis), "target": (-np.inf if log_target else 0.0, axis)}


def inputs(draw):
    axis = min(1, len(draw.shape) - 1)
    first, target = (draw.simplex(draw.shape, axis) for _ in range(2))
    if draw.regime == "confident":
        target = np.maximum(target, 1e-3).astype(draw.np_dtype)
        first = draw.round(target.astype(np.float64) * (1 + 10.0 ** -draw.rng.uniform(1, 4, draw.shape)))
    elif draw.regime == "badly_wrong":
        # The square of 1 / p, of which second derivatives are made, is a normal number.
        target = np.where(target == 0, 0, np.maximum(target.astype(np.float64), 1e-18)).astype(draw.np_dtype)
        first = np.roll(target, 1, axis)
    # Instead of probability 0, one so small that its products with others are still normal numbers.
    input = draw.round(np.log(np.maximum(first.astype(np.float64), 2.0**10 * draw.normal_least)))
    if draw.regime in ("nonfinite", "subnormal", "large", "tiny"):
        input = draw.round(-np.abs(draw.real(draw.shape).astype(np.float64)))
    if draw.has("log_target"):
        target = draw.round(np.log(np.maximum(target.astype(np.float64), draw.normal_least)))
    return draw.arrays(input=input, target=target)


LOSS = Loss(
    name="jensen_shannon_loss",
    summary="generalized Jensen-Shannon divergence from log-probabilities",
    torch=torch_jensen_shannon_loss,
    jax=jax_jensen_shannon_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2))),
        Variant("log_target", options={"log_target": True, "beta": 0.125}, draws=("log_target",), shapes=((6, 3),)),
    ),
    domain=Domain(differentiable_mask=differentiable_mask),
    crossed=(crossed.option("log_target", True, draws=("log_target",)), crossed.option("beta", 0.125, 0.25, 0.75)),
    reductions=REDUCTIONS,
    adds_nothing=ruled_out_element,
    latex=(
        r"q = e^{x}, \qquad m = \beta p + (1 - \beta) q, \qquad p = y \;\; (e^{y} \text{ with } "
        r"\mathrm{log\_target})",
        r"\ell = \beta p \log \frac{p}{m} + (1 - \beta) q \log \frac{q}{m}, \qquad 0 \log 0 = 0",
    ),
    source="Lin 1991; arXiv:2306.13649",
)
