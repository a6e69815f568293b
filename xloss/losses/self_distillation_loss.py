r"""Soft-target distillation: the divergence of a student from its teacher at a temperature, the teacher held constant.

Formula, with p = softmax(sg(target) / T) and q = softmax(input / T) over the classes, sg stopping the gradient:
l_n = T^2 sum_c p[n, c] log(p[n, c] / q[n, c]). T^2 keeps the gradients of the size that they have at T = 1.

Args:
    input: the student's logits, shape (C), (N, C) or (N, C, d1, ..., dK).
    target: the teacher's logits, the shape of `input`: another model's, or an earlier or deeper copy of the same.
    reduction: `'none'`, shape (), (N) or (N, d1, ..., dK) | `'mean'` over these | `'sum'`. Default: `'mean'`.
    temperature: T, > 0. Default: 1.0.

Domain: all reals; a logit of minus infinity is a class ruled out: in the teacher, or in both. Gradient to `input`: T (q - p);
to `target`: 0. Next to q = p, where the value is of the second order, it keeps its digits, and so does the gradient.
Errors: `ValueError` for shapes, reductions and temperatures, `TypeError` for anything but floating tensors.
Identities: T^2 times `kl_div` of log_softmax(input / T) from softmax(target / T), summed over the classes; the gradient of
`cross_entropy` with probabilities p; for T to infinity, half the variance over the classes of input - target.

Source: Hinton, Vinyals and Dean 2015, arXiv:1503.02531.
"""

import numpy as np

from xloss import third_party
from xloss.catalog import Arguments, Loss, Peer, Variant
from xloss.ops import arguments


def torch_self_distillation_loss(input, target, reduction="mean", temperature=1.0):
    import torch

    from xloss.ops import torch as ops
    from xloss.ops.elementary import expm1_minus_x

    arguments.check_reduction(reduction)
    arguments.check_number("temperature", temperature, above=0)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    axis = check_shapes(input.shape, target.shape)
    target = target.detach()
    # Counted from the teacher's top class, whose p is at least 1 / C: a shift of all logits costs no digits.
    top = target.argmax(axis, keepdim=True)
    is_top = torch.zeros_like(target, dtype=torch.bool).scatter(axis, top, True)
    anchor = input.gather(axis, top)
    anchor = torch.where(anchor == -torch.inf, 0.0, anchor)
    student, teacher = input - anchor, target - target.gather(axis, top)
    log_z = ops.log1p(torch.where(is_top, 0.0, torch.exp(teacher / temperature)).sum(axis, keepdim=True))
    p = torch.exp(teacher / temperature - log_z)
    absent = p == 0
    gap = torch.where(absent, 0.0, (student - teacher) / temperature)
    near = ~absent & (ops.absolute(gap) < 1)
    # Where the student puts another class ahead, its logits are counted from that one.
    most = input.detach().amax(axis, keepdim=True)
    ahead = most - anchor > temperature
    own = torch.where(ahead, input - most, 0.0) / temperature
    log_own = torch.log(torch.exp(own).sum(axis, keepdim=True))
    # How z, the sum of the exponentials, grows from teacher to student: log1p(sum p (e^gap - 1)), where small gaps keep their
    # digits; or, where that overflows, the difference of the logarithms.
    small, raw = torch.where(near, gap, 0.0), torch.where(ahead, 0.0, student) / temperature - log_z
    growth = torch.where(near, p * (small + expm1_minus_x(small)), torch.exp(raw) - p)
    growth = ops.log1p(torch.where(ahead, 0.0, growth).sum(axis, keepdim=True))
    q = torch.exp(torch.where(ahead, own - log_own, raw - growth))
    growth = torch.where(ahead, (most - anchor) / temperature + log_own - log_z, growth)
    # Of p log(p / q) - p + q each is >= 0, and of the second order next to p = q; -p + q is 0 in the sum.
    change = gap - growth  # log(q / p)
    near = ~absent & (ops.absolute(change) < 1)
    small, large = torch.where(near, change, 0.0), torch.where(near, 0.0, change)
    loss = (temperature**2 * torch.where(near, p * expm1_minus_x(small), q - p - p * large)).sum(axis)
    return ops.reduce(loss, reduction, dtype)


def jax_self_distillation_loss(input, target, reduction="mean", temperature=1.0):
    import jax
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops.elementary import expm1_minus_x

    arguments.check_reduction(reduction)
    arguments.check_number("temperature", temperature, above=0)
    input, target, dtype = ops.validate_and_upcast(input=input, target=target)
    axis = check_shapes(input.shape, target.shape)
    target = jax.lax.stop_gradient(target)
    # Counted from the teacher's top class, whose p is at least 1 / C: a shift of all logits costs no digits.
    top = jnp.argmax(target, axis, keepdims=True)
    is_top = jax.lax.broadcasted_iota(top.dtype, target.shape, axis) == top
    anchor = jnp.take_along_axis(input, top, axis)
    anchor = jnp.where(anchor == -jnp.inf, 0.0, anchor)
    student, teacher = input - anchor, target - jnp.take_along_axis(target, top, axis)
    log_z = ops.log1p(jnp.where(is_top, 0.0, jnp.exp(teacher / temperature)).sum(axis, keepdims=True))
    p = jnp.exp(teacher / temperature - log_z)
    absent = p == 0
    gap = jnp.where(absent, 0.0, (student - teacher) / temperature)
    near = ~absent & (ops.absolute(gap) < 1)
    # Where the student puts another class ahead, its logits are counted from that one.
    most = jax.lax.stop_gradient(input).max(axis, keepdims=True)
    ahead = most - anchor > temperature
    own = jnp.where(ahead, input - most, 0.0) / temperature
    log_own = jnp.log(jnp.exp(own).sum(axis, keepdims=True))
    # How z, the sum of the exponentials, grows from teacher to student: log1p(sum p (e^gap - 1)), where small gaps keep their
    # digits; or, where that overflows, the difference of the logarithms.
    small, raw = jnp.where(near, gap, 0.0), jnp.where(ahead, 0.0, student) / temperature - log_z
    growth = jnp.where(near, p * (small + expm1_minus_x(small)), jnp.exp(raw) - p)
    growth = ops.log1p(jnp.where(ahead, 0.0, growth).sum(axis, keepdims=True))
    q = jnp.exp(jnp.where(ahead, own - log_own, raw - growth))
    growth = jnp.where(ahead, (most - anchor) / temperature + log_own - log_z, growth)
    # Of p log(p / q) - p + q each is >= 0, and of the second order next to p = q; -p + q is 0 in the sum.
    change = gap - growth  # log(q / p)
    near = ~absent & (ops.absolute(change) < 1)
    small, large = jnp.where(near, change, 0.0), jnp.where(near, 0.0, change)
    loss = (temperature**2 * jnp.where(near, p * expm1_minus_x(small), q - p - p * large)).sum(axis)
    return ops.reduce(loss, reduction, dtype)


def check_shapes(input, target):
    """Refuse what is not logits over at least one class, twice; give the axis of the classes."""
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

    # No derivative by `target` is asked for: it is constant.
    log_p, log_q = log_softmax(target), log_softmax(input)
    p = np.exp(log_p)
    return temperature**2 * t.sum(t.where(t.lt(0, p), p * (log_p - log_q), 0), axis)


def inputs(draw):
    axis = arguments.class_axis(draw.shape)
    labels = draw.labels(draw.shape[:axis] + draw.shape[axis + 1 :], draw.shape[axis])
    input = draw.logits(draw.shape, axis, labels)
    target = draw.logits(draw.shape, axis)
    if draw.regime == "badly_wrong":
        target = -input
    elif draw.regime in ("confident", "large"):
        # Teachers close by; and probabilities that are not subnormal, which XLA takes for 0.
        input = draw.round(0.75 * input.astype(np.float64)) if draw.regime == "confident" else input
        noise = draw.rng.normal(size=draw.shape) * 10.0 ** -draw.rng.uniform(0, 5, draw.shape)
        target = draw.round(input.astype(np.float64) + noise)
    return draw.arrays(input=input, target=target)


def functional(input, target, reduction, temperature=1.0):
    """As distillation is written with torch.nn.functional."""
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
    summary="divergence of a student's logits from a teacher's, held constant, at a temperature",
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
    peers=(Peer("torch.nn.functional", "torch", functional), third_party.optax(optax_distillation)),
    source="Hinton, Vinyals and Dean 2015, arXiv:1503.02531",
)
