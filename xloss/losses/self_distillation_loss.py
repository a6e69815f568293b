r"""Distillation loss: the KL divergence of a student's softmax from its teacher's, at a temperature.

Formula, with p = softmax(stop_gradient(target) / T) and q = softmax(input / T) over the classes:
l_n = T^2 sum_c p[n, c] log(p[n, c] / q[n, c]). The factor T^2 keeps gradients about as large as at T = 1.

Args:
    input: the student's logits, shape (C), (N, C) or (N, C, d1, ..., dK).
    target: the teacher's logits, the shape of `input`: another model's, or an earlier or deeper copy of the same.
    reduction: `'none'` | `'mean'` over the samples | `'sum'`. Default: `'mean'`.
    temperature: T, > 0. Default: 1.0.

Returns: shape () for `'mean'` and `'sum'`, (), (N) or (N, d1, ..., dK) for `'none'`; the widest dtype of the arguments.

Domain: all reals; a logit of -inf excludes a class, in the teacher or in both. Gradient: T (q - p) to `input`, 0 to
`target`. Near q = p the value is of second order in q - p; value and gradient keep their relative accuracy there.
Errors: `ValueError` for shapes, reductions and temperatures, `TypeError` for anything but floating tensors.
Identities: T^2 times `kl_div` of log_softmax(input / T) and softmax(target / T), summed over the classes; has the
gradient of `cross_entropy` with probabilities p for T = 1; as T goes to infinity, half the variance over the classes of
input - target.

>>> import numpy as np, xloss.jax
>>> print(f"{xloss.jax.self_distillation_loss(np.log(np.float32([3.0, 1.0])), np.float32([0.0, 0.0])):.4f}")
0.1438

Source: Hinton, Vinyals and Dean 2015, arXiv:1503.02531.
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, Difference, Loss, Peer, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_self_distillation_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean",
                                 temperature: float = 1.0) -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import torch as ops
    from xloss.ops.elementary import expm1_minus_x

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    temperature = ops.option("temperature", temperature, input, above=0)
    axis = check_shapes(input.shape, target.shape)
    target = target.detach()
    # Subtract the logits of the teacher's top class, whose p is at least 1 / C: a shift of all logits costs no digits.
    top = target.argmax(axis, keepdim=True)
    is_top = torch.zeros_like(target, dtype=torch.bool).scatter(axis, top, 1)
    anchor = input.gather(axis, top)
    anchor = torch.where(anchor == -torch.inf, 0.0, anchor)
    student, teacher = input - anchor, target - target.gather(axis, top)
    log_z = ops.log1p(torch.where(is_top, 0.0, torch.exp(teacher / temperature)).sum(axis, keepdim=True))
    p = torch.exp(teacher / temperature - log_z)
    absent = p == 0
    gap = torch.where(absent, 0.0, (student - teacher) / temperature)
    near = ~absent & (ops.absolute(gap) < 1)
    # Where the student's largest logit is another class's, by more than T, subtract that one instead.
    most = input.detach().amax(axis, keepdim=True)
    ahead = most - anchor > temperature
    own = torch.where(ahead, input - most, 0.0) / temperature
    log_own = torch.log(torch.exp(own).sum(axis, keepdim=True))
    # growth = log(z of the student / z of the teacher), z being the sum of the exponentials: log1p(sum p (e^gap - 1)),
    # accurate for small gaps; or, where that overflows, the difference of the logarithms.
    small, raw = torch.where(near, gap, 0.0), torch.where(ahead, 0.0, student) / temperature - log_z
    growth = torch.where(near, p * (small + expm1_minus_x(small)), torch.exp(raw) - p)
    growth = ops.log1p(torch.where(ahead, 0.0, growth).sum(axis, keepdim=True))
    q = torch.exp(torch.where(ahead, own - log_own, raw - growth))
    growth = torch.where(ahead, (most - anchor) / temperature + log_own - log_z, growth)
    # The terms p log(p / q) - p + q are >= 0, and of second order near p = q; their -p + q sum to 0.
    change = gap - growth  # log(q / p)
    near = ~absent & (ops.absolute(change) < 1)
    small, large = torch.where(near, change, 0.0), torch.where(near, 0.0, change)
    loss = (temperature**2 * torch.where(near, p * expm1_minus_x(small), q - p - p * large)).sum(axis)
    return ops.reduce(loss, reduction, dtype)


def jax_self_distillation_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean",
                               temperature: float = 1.0) -> Array:  # fmt: skip
    import jax
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops.elementary import expm1_minus_x

    arguments.check_reduction(reduction)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    temperature = ops.option("temperature", temperature, input, above=0)
    axis = check_shapes(input.shape, target.shape)
    target = jax.lax.stop_gradient(target)
    # Subtract the logits of the teacher's top class, whose p is at least 1 / C: a shift of all logits costs no digits.
    top = target.argmax(axis, keepdims=True)
    is_top = jax.lax.broadcasted_iota(top.dtype, target.shape, axis) == top
    anchor = ops.gather(input, top, axis)
    anchor = jnp.where(anchor == -jnp.inf, 0.0, anchor)
    student, teacher = input - anchor, target - ops.gather(target, top, axis)
    log_z = ops.log1p(jnp.where(is_top, 0.0, jnp.exp(teacher / temperature)).sum(axis, keepdims=True))
    p = jnp.exp(teacher / temperature - log_z)
    absent = p == 0
    gap = jnp.where(absent, 0.0, (student - teacher) / temperature)
    near = ~absent & (ops.absolute(gap) < 1)
    # Where the student's largest logit is another class's, by more than T, subtract that one instead.
    most = jax.lax.stop_gradient(input).max(axis, keepdims=True)
    ahead = most - anchor > temperature
    own = jnp.where(ahead, input - most, 0.0) / temperature
    log_own = jnp.log(jnp.exp(own).sum(axis, keepdims=True))
    # growth = log(z of the student / z of the teacher), z being the sum of the exponentials: log1p(sum p (e^gap - 1)),
    # accurate for small gaps; or, where that overflows, the difference of the logarithms.
    small, raw = jnp.where(near, gap, 0.0), jnp.where(ahead, 0.0, student) / temperature - log_z
    growth = jnp.where(near, p * (small + expm1_minus_x(small)), jnp.exp(raw) - p)
    growth = ops.log1p(jnp.where(ahead, 0.0, growth).sum(axis, keepdims=True))
    q = jnp.exp(jnp.where(ahead, own - log_own, raw - growth))
    growth = jnp.where(ahead, (most - anchor) / temperature + log_own - log_z, growth)
    # The terms p log(p / q) - p + q are >= 0, and of second order near p = q; their -p + q sum to 0.
    change = gap - growth  # log(q / p)
    near = ~absent & (ops.absolute(change) < 1)
    small, large = jnp.where(near, change, 0.0), jnp.where(near, 0.0, change)
    loss = (temperature**2 * jnp.where(near, p * expm1_minus_x(small), q - p - p * large)).sum(axis)
    return ops.reduce(loss, reduction, dtype)


def check_shapes(input, target):
    """Return the axis of the classes; refuse shapes that differ or have no class."""
    axis = arguments.class_axis(input)
    arguments.check_same_shape("target", target, "input", input)
    if not input[axis]:
        arguments.raise_value_error("input", f"shape {tuple(input)}", "at least one class")
    return axis


def truth(t, input, target, temperature=1.0):
    axis, temperature = arguments.class_axis(input.shape), t.const(temperature)

    def log_softmax(x):
        x = x / temperature
        return x - np.log(t.sum(np.exp(x), axis, keepdims=True))

    log_p, log_q = log_softmax(t.stop_gradient(target)), log_softmax(input)
    p = np.exp(log_p)
    return temperature**2 * t.sum(t.where(t.lt(0, p), p * (log_p - log_q), 0), axis)


def inputs(draw):
    input, _, _ = draw.labelled_logits()
    target = draw.logits(draw.shape, arguments.class_axis(draw.shape))
    if draw.regime == "badly_wrong":
        target = -input
    elif draw.regime in ("confident", "large"):
        # Teachers near the student, and no subnormal probabilities, which XLA flushes to 0.
        input = draw.round(0.75 * input.astype(np.float64)) if draw.regime == "confident" else input
        noise = draw.rng.normal(size=draw.shape) * 10.0 ** -draw.rng.uniform(0, 5, draw.shape)
        target = draw.round(input.astype(np.float64) + noise)
    return draw.arrays(input=input, target=target)


def functional(input, target, reduction, temperature=1.0):
    """Compute distillation as it is usually written with torch.nn.functional."""
    import torch

    axis = arguments.class_axis(input.shape)
    log_q, p = torch.log_softmax(input / temperature, axis), torch.softmax(target / temperature, axis)
    loss = temperature**2 * torch.nn.functional.kl_div(log_q, p, reduction="none").sum(axis)
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def optax_distillation(optax, input, target, temperature=1.0):
    import jax

    if input.ndim > 2:
        raise third_party.Unsupported("optax takes the classes along the last axis")
    log_q, p = jax.nn.log_softmax(input / temperature), jax.nn.softmax(target / temperature)
    return temperature**2 * optax.losses.kl_divergence(log_q, p)


LOSS = Loss(
    name="self_distillation_loss",
    summary="KL divergence of a student's softmax from a constant teacher's, at a temperature",
    torch=torch_self_distillation_loss,
    jax=jax_self_distillation_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 5), (2, 3, 2))),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
        Variant("temperature=3", options={"temperature": 3.0}, shapes=((6, 5),)),
    ),
    arguments=Arguments(wrt=("input",), class_axes=lambda _argument, rank: 0 if rank == 1 else 1),
    crossed=(crossed.option("temperature", 0.5, 3.0, 16.0),),
    peers=(Peer("torch.nn.functional", "torch", functional), third_party.optax(optax_distillation)),
    differences=(
        Difference.between("self_distillation_loss/ruled-out",
                           "a class of logit -inf in student and teacher: left out, or 0 * NaN",
                           "torch.nn.functional",
                           third_party.sum_as_text(
                               "torch", input=[[-math.inf, 0.0, 0.0]], target=[[-math.inf, 0.0, 0.0]]),
                           torch_self_distillation_loss, functional, ("0", "nan"), "torch 2.13.0"),
    ),
    adds_nothing=lambda input, **_: dict.fromkeys(("input", "target"), (-np.inf, arguments.class_axis(input.shape))),
    latex=(
        r"p = \operatorname{softmax}(\operatorname{sg}(\mathrm{target}) / T), \qquad q = "
        r"\operatorname{softmax}(\mathrm{input} / T)",
        r"\ell_n = T^2 \sum_{c} p_{n,c} \log \frac{p_{n,c}}{q_{n,c}}",
    ),
    source="Hinton, Vinyals and Dean 2015, arXiv:1503.02531",
)  # fmt: skip
