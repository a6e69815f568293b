r"""Negative log-likelihood under normal distributions of given means and variances, with or without its constant.

Formula, with v = max(var, eps): l = (log v + (x - y)^2 / v) / 2, plus log(2 pi) / 2 with `full`.

Args:
    input: means x, any shape.
    target: y, a shape that broadcasts with that of `input`.
    var: variances >= 0: the shape of `input`, or that with one axis of size 1, or without its last axis (one variance
        for each row); or a float, one variance for all.
    full: whether the constant is added. Default: False.
    eps: lower bound of the variance, >= 0. Default: 1e-6.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, the broadcast shape for `'none'`; the widest dtype of the tensors.

Domain: means and targets all reals, variances >= 0. Gradient: e / v to `input`, with e = x - y, its negative to
`target`, and (1 - e^2 / v) / (2 v) to `var`, also where the bound eps replaces it, as in torch.
Errors: `ValueError` for shapes, reductions, a negative eps, and for negative variances where their values are known
(concrete, on the CPU); elsewhere value and gradient of such an element are NaN. `TypeError` for anything but floating
tensors, for a `full` that is not a bool, and for a `var` that is a Python integer, as in torch.
Identities: with variance 1 it is half of `mse_loss`; over a common var it is least at the mean squared error.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.gaussian_nll_loss(np.float32([1.0, 3.0]), np.float32([1.0, 1.0]), var=1.0, reduction="none"))
[0. 2.]

Source: torch.nn.functional.gaussian_nll_loss; Nix and Weigend 1994, "Estimating the mean and variance of the target
probability distribution".
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Difference, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_gaussian_nll_loss(input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6,
                            reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    full = arguments.check_flags(full=full)
    number = check_number_for_all(var)
    input, target, var, dtype = ops.validate_and_upcast(
        input=input, target=target, var=input if number is not None else var
    )
    eps = ops.option("eps", eps, input, least=0)
    var = var if number is None else torch.full_like(input, ops.option("var", number, input))
    var = var[..., None] if check_variances(var.shape, input.shape) else var
    negative = var < 0
    if ops.concrete(negative):
        if negative.any():
            arguments.raise_value_error("var", f"{var[negative][0].item()}", "values >= 0")
        negative = None
    input, target, var = ops.broadcast(input=input, target=target, var=var)
    # A variance below eps gets the derivative at eps: `where` alone would make it 0.
    var = torch.where(var < eps, eps + (var - var.detach()), var)
    error = input - target
    # Divide before squaring, and halve before that: the square alone, or twice the loss, may overflow.
    loss = 0.5 * torch.log(var) + (0.5 * error) * (error / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return ops.reduce(ops.nan_where(loss, negative), reduction, dtype)


def jax_gaussian_nll_loss(input: ArrayLike, target: ArrayLike, var: ArrayLike | float, full: bool = False,
                          eps: float = 1e-6, reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    full = arguments.check_flags(full=full)
    number = check_number_for_all(var)
    input, target, var, dtype = ops.validate_and_upcast(
        input=input, target=target, var=input if number is not None else var
    )
    eps = ops.option("eps", eps, input, least=0)
    var = var if number is None else jnp.full_like(input, ops.option("var", number, input))
    var = var[..., None] if check_variances(var.shape, input.shape) else var
    negative = var < 0
    if ops.concrete(negative):
        if negative.any():
            arguments.raise_value_error("var", f"{var[negative][0]}", "values >= 0")
        negative = None
    input, target, var = ops.broadcast(input=input, target=target, var=var)
    # A variance below eps gets the derivative at eps: `where` alone would make it 0.
    var = jnp.where(var < eps, eps + (var - jax.lax.stop_gradient(var)), var)
    error = input - target
    # Divide before squaring, and halve before that: the square alone, or twice the loss, may overflow.
    loss = 0.5 * jnp.log(var) + (0.5 * error) * (error / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return ops.reduce(ops.nan_where(loss, negative), reduction, dtype)


def check_number_for_all(var):
    """Return `var` if it is a float, None if it is (to be) a tensor; refuse Python integers, as torch does."""
    var = arguments.plain(var)
    if isinstance(var, (bool, int)):
        arguments.raise_type_error("var", f"{type(var).__name__} {var!r}", "a tensor or a float")
    if not isinstance(var, float):
        return None
    return arguments.check_number("var", var, least=0)


def check_variances(var, input):
    """Refuse a shape of variances that does not fit that of the input; return whether its last axis is left out."""
    if tuple(var) == tuple(input):
        return False
    if tuple(var) == tuple(input[:-1]):
        return True
    if len(var) != len(input) or [ours for ours, theirs in zip(var, input, strict=True) if ours != theirs] != [1]:
        expected = f"that of input, {tuple(input)}, or that with one axis of size 1 or without its last axis"
        arguments.raise_value_error("var", f"shape {tuple(var)}", expected)
    return False


def truth(t, input, target, var, full=False, eps=1e-6):
    var = np.full(input.shape, t.const(var), dtype=object) if isinstance(var, float) else var
    var = var.reshape(*var.shape, 1) if check_variances(var.shape, input.shape) else var
    eps = t.const(eps)
    below = t.where(t.lt(var, eps), 1, 0) == 1
    if below.any():
        var = np.where(below, eps + (var - t.stop_gradient(var)), var)
    constant = np.log(2 * t.const(1).pi()) if full else 0
    return (np.log(var) + (input - target) ** 2 / var + constant) / 2


def inputs(draw):
    input, target = draw.pair()
    shape = draw.shape
    if draw.has("column"):
        shape, target = (*shape[:-1], 1), target[..., :1]
    var = draw.weights(shape[:-1] if draw.has("last") else shape)
    wide = var.astype(np.float64)
    if draw.regime == "confident":
        var = draw.round(1 + 1e-3 * wide)
    elif draw.regime == "large":
        var = draw.round(draw.big * wide)
    elif draw.regime == "tiny":
        var = draw.round(wide * 10.0 ** -draw.rng.uniform(1, 9, var.shape))
    elif draw.regime == "subnormal":
        var = draw.unit(var.shape)
    elif draw.regime == "ties":
        var = draw.round(np.ceil(wide * 2) / 2)
    return draw.arrays(input=input, target=target, var=None if "var" in draw.variant.options else var)


def per_sample(function):
    """Return "works" if per-sample gradients by vmap(grad) work, else the name of the error."""
    import torch

    x, v = torch.zeros(2, 3), torch.ones(2, 3)
    try:
        torch.func.vmap(torch.func.grad(lambda x, v: function(input=x, target=x + 1, var=v)))(x, v)
    except RuntimeError as error:
        return type(error).__name__
    return "works"


FUNCTIONAL = third_party.functional("gaussian_nll_loss")

LOSS = Loss(
    name="gaussian_nll_loss",
    summary="negative log-likelihood under normal distributions of given means and variances",
    torch=torch_gaussian_nll_loss,
    jax=jax_gaussian_nll_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("by_row", draws=("last",), shapes=((4, 3),)),
        Variant("column+full", options={"full": True, "eps": 0.5}, draws=("column",), shapes=((4, 3),)),
        Variant("number", options={"var": 0.75}, shapes=((4, 3),)),
    ),
    arguments=Arguments(wrt=("input", "target", "var"), batched=("input", "target", "var")),
    crossed=(
        crossed.option("full", True), crossed.option("eps", 0.5, 0.0009765625),
        crossed.either(crossed.flag("last", draws=("last",)), crossed.flag("column", draws=("column",)),
                       crossed.option("var", 0.75, 3.0)),
    ),
    peers=(FUNCTIONAL,),
    differences=(
        Difference.between("gaussian_nll_loss/per-sample", "vmap(grad) over input and var", "torch.nn.functional",
                           per_sample, torch_gaussian_nll_loss, FUNCTIONAL.call, ("works", "RuntimeError"),
                           "torch 2.13.0"),
    ),
    class_form=ClassForm("GaussianNLLLoss", keyword_only=True),
    latex=(
        r"\ell = \frac{1}{2} \left( \log v + \frac{(x - y)^2}{v} \right), \qquad v = \max(\mathrm{var}, "
        r"\varepsilon)",
        r"\text{with } \mathrm{full}: \quad \ell + \frac{1}{2} \log(2 \pi)",
    ),
    source="torch.nn.functional.gaussian_nll_loss",
)  # fmt: skip
