r"""Half the squared error up to `delta`, linear beyond, times `weight`.

Formula, with e = x - y: l = w e^2 / 2 where |e| < delta, else w delta (|e| - delta / 2). `'mean'` divides by the count,
weights or not (torch's choice here; in `mse_loss` and `l1_loss` it is the sum of the weights).

Args:
    input: predictions x, any shape.
    target: y, a shape that broadcasts with that of `input` (one other than equal gets a warning).
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.
    delta: where the two meet, > 0, or infinity. Default: 1.0.
    weight: w, the shape of `input`, or None.

Returns: shape () for `'mean'` and `'sum'`, the shape of `input` for `'none'`; the widest dtype of the arguments.

Domain: all reals. Gradient: w times e clipped to [-delta, delta]. The second derivative at |e| = delta is that of the
linear side, 0.
Errors: `ValueError` for shapes, reductions and a delta that is not positive, `TypeError` for anything but floating
tensors.
Identities: delta times `smooth_l1_loss` with beta = delta; half of `mse_loss` with delta beyond all errors.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.huber_loss(np.float32([0.5, 3.0]), np.float32([0.0, 0.0]), reduction="none"))
[0.125 2.5  ]

Source: torch.nn.functional.huber_loss; Huber 1964, "Robust Estimation of a Location Parameter".
"""

from __future__ import annotations

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Domain, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_huber_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean", delta: float = 1.0,
                     weight: Tensor | None = None) -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, target, weight, dtype = ops.validate_and_upcast(
        input=input, target=target, weight=weight, optional=("weight",)
    )
    delta = ops.option("delta", delta, input, above=0, infinite=True)
    arguments.check_weight(weight, input)
    input, target = ops.broadcast_with_warning(input, target)
    # An infinite delta, or one beyond the dtype, is as good as its greatest number; its gradient would be 0 * inf.
    if isinstance(delta, (int, float)):
        delta = min(delta, float(torch.finfo(input.dtype).max))
    if weight is None:
        return ops.reduced_smooth_l1(input, target, delta, delta, reduction, dtype)
    loss = ops.smooth_l1(input, target, delta, delta) * weight
    return ops.reduce(loss, reduction, dtype)


def jax_huber_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", delta: float = 1.0,
                   weight: ArrayLike | None = None) -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, target, weight, dtype = ops.validate_and_upcast(
        input=input, target=target, weight=weight, optional=("weight",)
    )
    delta = ops.option("delta", delta, input, above=0, infinite=True)
    arguments.check_weight(weight, input)
    input, target = ops.broadcast_with_warning(input, target)
    # An infinite delta, or one beyond the dtype, is as good as its greatest number; its gradient would be 0 * inf.
    if isinstance(delta, (int, float)):
        delta = min(delta, float(jnp.finfo(input.dtype).max))
    if weight is None:
        return ops.reduced_smooth_l1(input, target, delta, delta, reduction, dtype)
    loss = ops.smooth_l1(input, target, delta, delta) * weight
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, target, delta=1.0, weight=None):
    error, delta = input - target, t.const(delta)
    size = t.where(t.lt(error, 0), -error, error)
    loss = t.where(t.lt(size, delta), error**2 / 2, delta * (size - delta / 2))
    return loss if weight is None else weight * loss


def inputs(draw):
    input, target = draw.pair()
    return draw.arrays(input=input, target=target, weight=draw.optional("weight", draw.shape))


LOSS = Loss(
    name="huber_loss",
    summary="half the squared error up to delta, linear beyond",
    torch=torch_huber_loss,
    jax=jax_huber_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("delta=0.5", options={"delta": 0.5}, shapes=((6, 3),)),
        Variant("weight", tensors=("weight",), shapes=((6, 3),)),
        Variant("broadcast", broadcast=True, shapes=((4, 3),)),
    ),
    arguments=Arguments(batched=("input", "target", "weight"), weights=("weight",)),
    domain=Domain(kinks=(0.5, -0.5, 1.0, -1.0), regimes=("zero_weight",)),
    crossed=(
        crossed.option("delta", 0.25, 0.75, 3.0, 1e-8, 1e8, float("inf")),
        crossed.tensor("weight"),
        crossed.flag("broadcast", broadcast=True),
    ),
    excluded=lambda variant: variant.broadcast and "weight" in variant.tensors,
    peers=(
        third_party.functional("huber_loss"),
        third_party.optax(lambda optax, input, target, delta=1.0: optax.losses.huber_loss(input, target, delta=delta)),
        third_party.keras(lambda losses, delta=1.0: losses.Huber(delta=delta)),
    ),
    class_form=ClassForm(call=("weight",)),
    workloads={"published": (32768, 32768)},
    latex=(
        r"\ell = \begin{cases} \frac{1}{2} w\, e^2 & |e| < \delta \\ w\, \delta \left( |e| - \frac{1}{2} \delta "
        r"\right) & |e| \ge \delta \end{cases} \qquad e = x - y",
        r"\operatorname{mean} = \frac{1}{N} \sum \ell",
    ),
    source="torch.nn.functional.huber_loss",
)
