r"""Negative log-likelihood of class indices: minus the entry of the target's class, times its class weight.

Formula: l_n = -w[y_n] x[n, y_n], 0 where y_n = ignore_index; `'mean'` divides by the sum of the w[y_n] of the rows that
are not ignored.

Args:
    input: log-probabilities x (not checked to be such), shape (C), (N, C) or (N, C, d1, ..., dK).
    target: class indices y, shape (), (N) or (N, d1, ..., dK); torch: int64 or uint8, JAX: any integer dtype.
    weight: w, one for each class, shape (C), the dtype of `input`, or None.
    ignore_index: the label that counts neither in the sum nor in the denominator. Default: -100.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, that of `target` for `'none'`; the dtype of `input`.

Domain: all reals; minus infinity with a class weight of 0 gives 0. Gradient: -w[y_n] at the target's class, 0 elsewhere
and in ignored rows.
Errors: `ValueError` for shapes and reductions, and for labels outside [0, C) where their values are known (concrete, on
the CPU); elsewhere value and gradient of such a row are NaN. `TypeError` for dtypes. What an ignored row holds, NaN and
infinities too, reaches neither value nor gradient. If all labels are ignored, `'mean'` is 0/0 = NaN with gradient 0, as
in torch.
Identities: of `log_softmax(z)` it is `cross_entropy` of z.

>>> import numpy as np, xloss.jax
>>> log_p, y, w = np.float32([[-1, -2], [-3, -4]]), np.int32([0, 1]), np.float32([1, 3])
>>> print(xloss.jax.nll_loss(log_p, y), xloss.jax.nll_loss(log_p, y, weight=w))
2.5 3.25

Source: torch.nn.functional.nll_loss.
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Variant, ruled_out_class
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_nll_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100,
                   reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    from xloss.ops import fused_torch as fused
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    ignore_index = arguments.check_integer("ignore_index", ignore_index)
    input, weight, dtype = ops.validate_and_upcast(same_dtype=True, input=input, weight=weight, optional=("weight",))
    labels, ignored, outside, axis = ops.validate_classes(input, target, weight, ignore_index)
    return fused.nll(input, labels, ignored, outside, weight, axis, reduction, dtype)


def jax_nll_loss(input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, ignore_index: int = -100,
                 reduction: Reduction = "mean") -> Array:  # fmt: skip
    from xloss.ops import fused_jax as fused
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    ignore_index = arguments.check_integer("ignore_index", ignore_index)
    input, weight, dtype = ops.validate_and_upcast(same_dtype=True, input=input, weight=weight, optional=("weight",))
    labels, ignored, outside, axis = ops.validate_classes(input, target, weight, ignore_index)
    return fused.nll(input, labels, ignored, outside, weight, axis, reduction, dtype)


def truth(t, input, target, weight=None, ignore_index=-100):
    axis = arguments.class_axis(input.shape)
    counted = target != ignore_index
    labels = np.where(counted, target, 0)
    picked = np.take_along_axis(input, np.expand_dims(labels, axis), axis).squeeze(axis)
    weights = t.where(counted, 1 if weight is None else weight[labels], 0)
    return t.where(counted, -weights * picked, 0), weights


def inputs(draw):
    input, target, weight = draw.labelled_logits()
    if draw.regime not in ("nonfinite", "subnormal", "ties", "large"):
        logits = input.astype(np.float64)
        input = draw.round(logits - np.log(np.exp(logits).sum(arguments.class_axis(draw.shape), keepdims=True)))
    return draw.arrays(input=input, target=target, weight=weight)


def one_label(function):
    """Return the error, and its step, for a label of shape (1) with an unbatched input."""
    import torch

    input = torch.zeros(3, requires_grad=True)
    step = "forward"
    try:
        value = function(input=input, target=torch.tensor([1]))
        step = "backward"
        value.backward()
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}, {step}"
    return "a gradient"


FUNCTIONAL = third_party.functional("nll_loss")

LOSS = Loss(
    name="nll_loss",
    summary="minus the log-probability of the target's class",
    torch=torch_nll_loss,
    jax=jax_nll_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 5), (2, 3, 4), (2, 3, 2, 2))),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
        Variant("weight+ignored", tensors=("weight",), ignored=True, shapes=((6, 5), (2, 3, 4))),
        Variant("ignore_index=1", options={"ignore_index": 1}, ignored=True, shapes=((6, 5),)),
    ),
    arguments=Arguments(wrt=("input",), class_axes=lambda _argument, rank: 0 if rank == 1 else 1, weights=("weight",)),
    domain=Domain(regimes=("all_ignored", "zero_weight")),
    crossed=(
        crossed.tensor("weight"), crossed.option("ignore_index", 0, 2, -1, -1000),
        crossed.flag("ignored", ignored=True),
    ),
    peers=(FUNCTIONAL,),
    differences=(
        Difference.between("nll_loss/one-label",
                           "a label of shape (1), not (), with an unbatched input: refused at once, or by backward()",
                           "torch.nn.functional", one_label, torch_nll_loss, FUNCTIONAL.call,
                           ("ValueError, forward", "RuntimeError, backward"), "torch 2.13.0",
                           versions="torch>=2.9"),
        Difference.between("nll_loss/ruled-out",
                           "log-probability -inf of a class of weight 0: left out, or 0 * inf",
                           "torch.nn.functional",
                           third_party.sum_as_text("torch", input=[[-math.inf, -1.0]], target=[0], weight=[0.0, 1.0]),
                           torch_nll_loss, FUNCTIONAL.call, ("0", "nan"), "torch 2.13.0"),
    ),
    class_form=ClassForm("NLLLoss"),
    adds_nothing=ruled_out_class,
    latex=(
        r"\ell_n = \begin{cases} -w_{y_n} x_{n, y_n} & y_n \ne \mathrm{ignore\_index} \\ 0 & y_n = "
        r"\mathrm{ignore\_index} \end{cases}",
        r"\operatorname{mean} = \frac{\sum_n \ell_n}{\sum_{n:\; y_n \ne \mathrm{ignore\_index}} w_{y_n}}",
    ),
    source="torch.nn.functional.nll_loss",
)  # fmt: skip
