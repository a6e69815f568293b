r"""Vector quantization loss: pulls codes to the encoder's output, and that, with weight `beta`, to its codes.

Formula, elementwise: l = (stop_gradient(x) - e)^2 + beta (x - stop_gradient(e))^2 (`detach()` in PyTorch).

Args:
    input: x, the encoder's output, any shape.
    quantized: e, the codes nearest to it, the shape of `input`.
    beta: the weight of the commitment (the second term), >= 0. Default: 0.25.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`, over all elements, as implementations have it.

Returns: shape () for `'mean'` and `'sum'`, the shape of `input` for `'none'`; the widest dtype of the arguments.

Domain: all reals. Gradient: 2 beta (x - e) to `input`, 2 (e - x) to `quantized`: not opposites of each other, as they
would be without stop_gradient. The straight-through estimator, x + stop_gradient(e - x), which passes the decoder's
gradient through the codes to the encoder, is not part of this loss.
Errors: `ValueError` for shapes, reductions and a negative beta, `TypeError` for anything but floating tensors.
Identities: its value is 1 + beta times that of `mse_loss`.

>>> import numpy as np, xloss.jax
>>> print(xloss.jax.vq_commitment_loss(np.float32([1.0, 3.0]), np.float32([0.0, 1.0]), reduction="none"))
[1.25 5.  ]

Source: van den Oord et al. 2017, arXiv:1711.00937.
"""

from __future__ import annotations

from xloss import crossed
from xloss.catalog import Arguments, Loss, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_vq_commitment_loss(input: Tensor, quantized: Tensor, beta: float = 0.25,
                             reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    input, quantized, dtype = ops.validate_and_upcast(input=input, quantized=quantized)
    beta = ops.option("beta", beta, input, least=0)
    arguments.check_same_shape("quantized", quantized.shape, "input", input.shape)
    codebook = input.detach() - quantized
    commitment = input - quantized.detach()
    loss = codebook * codebook + beta * (commitment * commitment)
    return ops.reduce(loss, reduction, dtype)


def jax_vq_commitment_loss(input: ArrayLike, quantized: ArrayLike, beta: float = 0.25,
                           reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    input, quantized, dtype = ops.validate_and_upcast(input=input, quantized=quantized)
    beta = ops.option("beta", beta, input, least=0)
    arguments.check_same_shape("quantized", quantized.shape, "input", input.shape)
    codebook = jax.lax.stop_gradient(input) - quantized
    commitment = input - jax.lax.stop_gradient(quantized)
    loss = codebook * codebook + beta * (commitment * commitment)
    return ops.reduce(loss, reduction, dtype)


def truth(t, input, quantized, beta=0.25):
    return (t.stop_gradient(input) - quantized) ** 2 + t.const(beta) * (input - t.stop_gradient(quantized)) ** 2


def inputs(draw):
    input, quantized = draw.pair()
    return draw.arrays(input=input, quantized=quantized)


LOSS = Loss(
    name="vq_commitment_loss",
    summary="the two squared errors of vector quantization, codes and encoder held constant in turn",
    torch=torch_vq_commitment_loss,
    jax=jax_vq_commitment_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("beta=2", options={"beta": 2.0}, shapes=((6, 3),)),
    ),
    arguments=Arguments(wrt=("input", "quantized"), batched=("input", "quantized")),
    crossed=(crossed.option("beta", 0.0, 1.0, 2.0),),
    latex=(r"\ell = (\operatorname{sg}(x) - e)^2 + \beta \left( x - \operatorname{sg}(e) \right)^2",),
    source="van den Oord et al. 2017, arXiv:1711.00937",
)
