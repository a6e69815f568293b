r"""Vector quantization: codes are drawn to what was encoded, and what is encoded is drawn, less, to its code.

Formula, elementwise: l = (sg(x) - e)^2 + beta (x - sg(e))^2, where sg is `detach()` in PyTorch and
`jax.lax.stop_gradient` in JAX.

Args:
    input: x, what the encoder gave, any shape.
    quantized: e, the codes nearest to it, the shape of `input`.
    beta: the weight of the commitment, >= 0. Default: 0.25.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`, over all elements, as implementations have it.

Domain: all reals. Gradient: 2 beta (x - e) to `input`, 2 (e - x) to `quantized`: not the opposite of one another, as they
would be if nothing were held. What the decoder's loss sends through the codes to the encoder (the straight-through
estimator, x + sg(e - x)) is not part of this loss.
Errors: `ValueError` for shapes, reductions and a negative beta, `TypeError` for anything but floating tensors.
Identities: its value is 1 + beta times that of `mse_loss`.

Source: van den Oord et al. 2017, arXiv:1711.00937.
"""

from xloss.catalog import Arguments, Loss, Variant
from xloss.ops import arguments


def torch_vq_commitment_loss(input, quantized, beta=0.25, reduction="mean"):
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    arguments.check_number("beta", beta, least=0)
    input, quantized, dtype = ops.validate_and_upcast(input=input, quantized=quantized)
    arguments.check_same_shape("quantized", quantized.shape, "input", input.shape)
    codebook = input.detach() - quantized
    commitment = input - quantized.detach()
    loss = codebook * codebook + beta * (commitment * commitment)
    return ops.reduce(loss, reduction, dtype)


def jax_vq_commitment_loss(input, quantized, beta=0.25, reduction="mean"):
    import jax

    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    arguments.check_number("beta", beta, least=0)
    input, quantized, dtype = ops.validate_and_upcast(input=input, quantized=quantized)
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
    summary="the two squared errors of vector quantization, codes and encoder held in turn",
    torch=torch_vq_commitment_loss,
    jax=jax_vq_commitment_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 3), (5,), (2, 3, 2), ())),
        Variant("beta=2", options={"beta": 2.0}, shapes=((6, 3),)),
    ),
    arguments=Arguments(wrt=("input", "quantized"), batched=("input", "quantized")),
    source="van den Oord et al. 2017, arXiv:1711.00937",
)
