r"""Cross entropy with class indices, plus `z_weight` times logsumexp(x)^2, a penalty that keeps logits near 0.

Formula, with z = logsumexp(x) over the classes: l_n = z_n - x[n, y_n] + z_weight z_n^2, 0 where y_n = ignore_index;
`'mean'` divides by the number of rows not ignored.

Args:
    input: logits x, shape (C), (N, C) or (N, C, d1, ..., dK).
    target: class indices y, shape (), (N) or (N, d1, ..., dK); torch: int64 or uint8, JAX: any integer dtype.
    ignore_index: the label of rows left out of the sum and of the denominator. Default: -100.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.
    z_weight: the weight of the penalty, >= 0. Default: 1e-4.

Returns: shape () for `'mean'` and `'sum'`, the shape of `target` for `'none'`; the dtype of `input`.

Domain: all reals. Gradient: (1 + 2 z_weight z) softmax(x) - onehot(y).
Errors: `ValueError` for shapes, reductions and z_weight, and for labels outside [0, C) where their values can be read
(concrete, on the CPU); elsewhere the value and the gradient of such a row are NaN. `TypeError` for dtypes. What an
ignored row holds, NaN and infinities too, reaches neither value nor gradient. If all rows are ignored, `'mean'` is 0/0,
NaN, with gradient 0.
Identities: `cross_entropy` for z_weight = 0.

>>> import numpy as np, xloss.jax
>>> print(f"{xloss.jax.z_loss(np.float32([[0.0, 0.0]]), np.int32([1]), z_weight=1.0):.4f}")  # log 2 + (log 2)^2
1.1736

Source: de Brebisson and Vincent 2016, arXiv:1604.08859; as here PaLM, arXiv:2204.02311, section 5, and ST-MoE,
arXiv:2202.08906.
"""

from __future__ import annotations

import numpy as np

from xloss import crossed
from xloss.catalog import Arguments, Domain, Loss, Variant, ruled_out_class
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_z_loss(input: Tensor, target: Tensor, ignore_index: int = -100, reduction: Reduction = "mean",
                 z_weight: float = 1e-4) -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import margins_torch as m
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    ignore_index = arguments.check_integer("ignore_index", ignore_index)
    input, dtype = ops.validate_and_upcast(input=input)
    z_weight = ops.option("z_weight", z_weight, input, least=0)
    labels, ignored, outside, axis = ops.validate_classes(input, target, None, ignore_index)
    input = ops.clear_ignored(input, ignored, axis)
    greatest, log_total = ops.log_sum_exp(input, axis)
    z = greatest + log_total
    loss = ops.nll_of_logits(input, labels, axis) + m.scale(z * z, z_weight)
    loss = torch.where(ignored, 0.0, ops.nan_where(loss, outside))
    return ops.reduce(loss, reduction, dtype, weights=(~ignored).to(input.dtype))


def jax_z_loss(input: ArrayLike, target: ArrayLike, ignore_index: int = -100, reduction: Reduction = "mean",
               z_weight: float = 1e-4) -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops import margins_jax as m

    arguments.check_reduction(reduction)
    ignore_index = arguments.check_integer("ignore_index", ignore_index)
    input, dtype = ops.validate_and_upcast(input=input)
    z_weight = ops.option("z_weight", z_weight, input, least=0)
    labels, ignored, outside, axis = ops.validate_classes(input, target, None, ignore_index)
    input = ops.clear_ignored(input, ignored, axis)
    greatest, log_total = ops.log_sum_exp(input, axis)
    z = greatest + log_total
    loss = ops.nll_of_logits(input, labels, axis) + m.scale(z * z, z_weight)
    loss = jnp.where(ignored, 0.0, ops.nan_where(loss, outside))
    return ops.reduce(loss, reduction, dtype, weights=(~ignored).astype(input.dtype))


def truth(t, input, target, ignore_index=-100, z_weight=1e-4):
    axis = arguments.class_axis(input.shape)
    z = np.log(t.sum(np.exp(input), axis))
    counted = target != ignore_index
    labels = np.where(counted, target, 0)
    picked = np.take_along_axis(input, np.expand_dims(labels, axis), axis).squeeze(axis)
    return t.where(counted, z - picked + t.const(z_weight) * z**2, 0), t.where(counted, 1, 0)


def inputs(draw):
    input, target, _ = draw.labelled_logits()
    return draw.arrays(input=input, target=target)


LOSS = Loss(
    name="z_loss",
    summary="cross entropy plus z_weight times the square of logsumexp",
    torch=torch_z_loss,
    jax=jax_z_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 5), (2, 3, 4))),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
        Variant("ignored+z_weight=0.125", options={"z_weight": 0.125}, ignored=True, shapes=((6, 5),)),
    ),
    arguments=Arguments(wrt=("input",), class_axes=lambda _argument, rank: 0 if rank == 1 else 1),
    domain=Domain(regimes=("all_ignored",)),
    crossed=(
        crossed.option("ignore_index", 0, 2, -1, -1000),
        crossed.option("z_weight", 0.0, 0.125, 1.0),
        crossed.flag("ignored", ignored=True),
    ),
    adds_nothing=ruled_out_class,
    latex=(
        r"z_n = \log \sum_{c} e^{x_{n,c}}",
        r"\ell_n = \begin{cases} z_n - x_{n, y_n} + \mathrm{z\_weight} \cdot z_n^2 & y_n \ne "
        r"\mathrm{ignore\_index} \\ 0 & y_n = \mathrm{ignore\_index} \end{cases}",
    ),
    source="PaLM, arXiv:2204.02311; ST-MoE, arXiv:2202.08906",
)
