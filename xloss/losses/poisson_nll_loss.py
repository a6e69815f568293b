r"""Negative log-likelihood of counts under a Poisson distribution, given its rate or the logarithm of it.

Formula, with `log_input`: l = exp(x) - y x; without: l = x - y log(x + eps). `full` adds, where y > 1, Stirling's
approximation of log(y!): y log y - y + log(2 pi y) / 2.

Args:
    input: x, log-rates with `log_input`, else rates, any shape.
    target: counts y, or any numbers >= 0, a shape that broadcasts with that of `input`; floating or integer.
    log_input: whether `input` holds logarithms. Default: True.
    full: whether to add the term that does not depend on `input`. Default: False.
    eps: added to a rate before its logarithm is taken, >= 0; unused with `log_input`. Default: 1e-8.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the wider dtype of `input` and `target`
(that of `input` for an integer target).

Domain: log-rates: all reals; rates: x >= 0 (NaN below -eps, as in torch); y >= 0. A rate of 0 with y = 0 has loss 0,
not 0 * inf. Gradient: exp(x) - y, or 1 - y / (x + eps), to `input`; -x, or -log(x + eps), to `target`, plus log y + 1 /
(2 y) with `full` where y > 1. So at y = 0 it is finite, where torch's is NaN, and the jump at y = 1 does not enter it.
Errors: `ValueError` for shapes, reductions and a negative eps; `TypeError` for dtypes, and for
flags that are not True or False.
Identities: with eps = 0, the loss of a rate is that of its logarithm; it is least where the rate is y.

>>> import numpy as np, xloss.jax
>>> round(float(xloss.jax.poisson_nll_loss(np.float32([0.0]), np.float32([2.0]), full=True)), 4)
1.6518

Source: torch.nn.functional.poisson_nll_loss.
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool = True, full: bool = False, eps: float = 1e-8,
                           reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    log_input, full = arguments.check_flags(log_input=log_input, full=full)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target, integer=("target",))
    eps = ops.option("eps", eps, input, least=0)
    input, target = ops.broadcast(input=input, target=target)
    if log_input:
        loss = torch.exp(input) - ops.weighted(target, input)
    else:
        absent = (target == 0) & (input + eps == 0)  # the logarithm would have a derivative of 0 * inf
        loss = input - ops.weighted(target, torch.log(torch.where(absent, 1.0, input + eps)))
    if full:
        # Where the term is left out the logarithm is of 1: at 0 its gradient would be 0 * inf = NaN.
        few = target <= 1
        count = torch.where(few, 1.0, target)
        stirling = count * torch.log(count) - count + 0.5 * torch.log(2 * math.pi * count)
        loss = loss + torch.where(few, 0.0, stirling)
    return ops.reduce(loss, reduction, dtype)


def jax_poisson_nll_loss(input: ArrayLike, target: ArrayLike, log_input: bool = True, full: bool = False,
                         eps: float = 1e-8, reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    log_input, full = arguments.check_flags(log_input=log_input, full=full)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target, integer=("target",))
    eps = ops.option("eps", eps, input, least=0)
    input, target = ops.broadcast(input=input, target=target)
    if log_input:
        loss = jnp.exp(input) - ops.weighted(target, input)
    else:
        absent = (target == 0) & (input + eps == 0)  # the logarithm would have a derivative of 0 * inf
        loss = input - ops.weighted(target, jnp.log(jnp.where(absent, 1.0, input + eps)))
    if full:
        # Where the term is left out the logarithm is of 1: at 0 its gradient would be 0 * inf = NaN.
        few = target <= 1
        count = jnp.where(few, 1.0, target)
        stirling = count * jnp.log(count) - count + 0.5 * jnp.log(2 * math.pi * count)
        loss = loss + jnp.where(few, 0.0, stirling)
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target, log_input=True, full=False, eps=1e-8):
    loss = np.exp(input) - target * input if log_input else input - target * np.log(input + t.const(eps))
    if full:
        many = t.lt(1, target)
        count = t.where(many, target, 1)
        stirling = count * np.log(count) - count + np.log(2 * t.const(1).pi() * count) / 2
        loss = loss + t.where(many, stirling, 0)
    return loss


def inputs(draw):
    x, y = draw.real(draw.shape).astype(np.float64), 2 * np.abs(draw.real(draw.shape).astype(np.float64))
    if draw.regime == "large":
        x = x * 80 / (3 * draw.big)  # exp(x) still is a float32
    elif draw.regime == "badly_wrong":
        x, y = 20 + 15 * np.tanh(x), y / 4
    if not draw.variant.options.get("log_input", True):
        x = draw.big * x if draw.regime == "badly_wrong" else np.abs(x)
    if draw.variant.options.get("full"):
        y = np.where(y == 0, 0.5, y)  # torch has no gradient there
    return draw.arrays(input=draw.round(x), target=draw.round(y))


def stirling_here():
    import torch

    return float(torch_poisson_nll_loss(torch.zeros(1), torch.full((1,), 2.0), full=True))


def exact_there():
    import torch

    return float(-torch.distributions.Poisson(torch.ones(1)).log_prob(torch.full((1,), 2.0)))


def at_count_0(function):
    """Return the derivative by a count of 0, with the full term."""
    import torch

    count = torch.zeros(1, requires_grad=True)
    function(input=torch.ones(1), target=count, full=True, reduction="sum").backward()
    return str(float(count.grad))


def at_rate_0(function):
    """Return the loss of the rate 0 and the count 1, in float32."""
    import jax.numpy as jnp

    input, target = jnp.zeros(1, "float32"), jnp.ones(1, "float32")
    return float(function(input=input, target=target, log_input=False, reduction="mean"))


FUNCTIONAL = third_party.functional("poisson_nll_loss")
KERAS = third_party.keras(lambda losses, log_input: losses.Poisson())  # takes rates: log_input=False

LOSS = Loss(
    name="poisson_nll_loss",
    summary="negative log-likelihood of counts under a Poisson distribution",
    torch=torch_poisson_nll_loss,
    jax=jax_poisson_nll_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("full", options={"full": True}, shapes=((6, 3),)),
        Variant("rate", options={"log_input": False, "eps": 0.0009765625}, shapes=((6, 3),)),
        Variant("rate+full", options={"log_input": False, "full": True}, shapes=((6, 3),)),
    ),
    arguments=Arguments(untyped=("target",)),
    domain=Domain(skip_regimes={"confident": "its least value over the rate, y - y log y, is not near 0"}),
    crossed=(
        crossed.option("log_input", False), crossed.option("full", True),
        crossed.option("eps", 0.0, 0.0009765625, 0.5),
    ),
    peers=(FUNCTIONAL,),
    differences=(
        Difference("poisson_nll_loss/stirling", "rate 1, count 2, full: Stirling's log(2!), as in torch, or exact",
                   "torch.distributions.Poisson.log_prob", stirling_here, exact_there, (1.65180647, 1.69314718),
                   "torch 2.13.0"),
        Difference.between("poisson_nll_loss/no-count", "count 0, full: the derivative by the count",
                           "torch.nn.functional", at_count_0, torch_poisson_nll_loss, FUNCTIONAL.call, ("-1.0", "nan"),
                           "torch 2.13.0"),
        Difference.between("poisson_nll_loss/eps", "rate 0, count 1, float32: eps is 1e-8, as in torch, or 1e-7",
                           "keras.losses.Poisson", at_rate_0, jax_poisson_nll_loss, KERAS.call, (18.4206807, 16.118095),
                           "keras 3.15.1"),
        Difference.between("poisson_nll_loss/impossible",
                           "rate 0, as its logarithm, and count 0: 0, or 0 * inf",
                           "torch.nn.functional",
                           third_party.sum_as_text("torch", input=[-math.inf], target=[0.0]),
                           torch_poisson_nll_loss, FUNCTIONAL.call, ("0", "nan"), "torch 2.13.0"),
    ),
    class_form=ClassForm("PoissonNLLLoss"),
    adds_nothing=lambda log_input=True, **_: {"input": (-np.inf, -1), "target": (0.0, -1)} if log_input else {},
    latex=(
        r"\ell = \begin{cases} e^{x} - y\, x & \text{with } \mathrm{log\_input} \\ x - y \log(x + \varepsilon) & "
        r"\text{without} \end{cases}",
        r"\text{with } \mathrm{full}, \text{ where } y > 1: \quad \ell + y \log y - y + \frac{1}{2} \log(2 \pi y)",
    ),
    source="torch.nn.functional.poisson_nll_loss",
)  # fmt: skip
