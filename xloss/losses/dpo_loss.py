r"""Direct preference optimization: raise the probability of the preferred of two answers relative to a reference model.

Formula, with z = beta ((p_c - p_r) - (q_c - q_r)) and smoothing s:
l = -(1 - s) log sigmoid(z) - s log sigmoid(-z).

Args:
    policy_chosen_logps: p_c, the policy's log-probabilities of the preferred answers, any shape.
    policy_rejected_logps: p_r, those of the other answers, the same shape.
    reference_chosen_logps: q_c, the reference model's log-probabilities of the preferred answers, the same shape.
    reference_rejected_logps: q_r, those of the other answers, the same shape.
    beta: how strongly a departure from the reference counts, > 0. Default: 0.1.
    label_smoothing: s, the probability that a preference label is wrong, in [0, 1]. Default: 0.0.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.

Returns: shape () for `'mean'` and `'sum'`, that of the arguments for `'none'`; the widest dtype of the arguments.

Domain: all reals. Gradient: beta (s - sigmoid(-z)) to p_c and q_r, its negative to p_r and q_c. Nothing is detached:
the reference's log-probabilities get a gradient unless they come without one (TRL computes them under `no_grad`).
Errors: `ValueError` for shapes, reductions, a beta that is not positive and a smoothing outside [0, 1], `TypeError`
for anything but floating tensors.
Identities: `binary_cross_entropy_with_logits` of z and 1 - s. TRL returns unreduced values.

>>> import numpy as np, xloss.jax
>>> chosen, rejected, zero = np.float32([-2, -1]), np.float32([-2, -1001]), np.zeros(2, np.float32)
>>> print(f"{xloss.jax.dpo_loss(chosen, rejected, zero, zero, label_smoothing=0.5):.3f}")
25.347

Source: Rafailov et al. 2023, arXiv:2305.18290; smoothing: Mitchell 2023, "A note on DPO with noisy preferences";
names: TRL.
"""

from __future__ import annotations

import math

import numpy as np

from xloss import crossed
from xloss.catalog import Arguments, Loss, Variant
from xloss.losses import log_cosh_loss
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_dpo_loss(policy_chosen_logps: Tensor, policy_rejected_logps: Tensor, reference_chosen_logps: Tensor,
                   reference_rejected_logps: Tensor, beta: float = 0.1, label_smoothing: float = 0.0,
                   reduction: Reduction = "mean") -> Tensor:  # fmt: skip
    import torch

    from xloss.ops import compensated_torch as compensated
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    p_c, p_r, q_c, q_r, dtype = ops.validate_and_upcast(
        policy_chosen_logps=policy_chosen_logps, policy_rejected_logps=policy_rejected_logps,
        reference_chosen_logps=reference_chosen_logps, reference_rejected_logps=reference_rejected_logps,
    )  # fmt: skip
    beta = ops.option("beta", beta, p_c, above=0)
    label_smoothing = ops.option("label_smoothing", label_smoothing, p_c, least=0, most=1)
    arguments.check_same_shape("policy_rejected_logps", p_r.shape, "policy_chosen_logps", p_c.shape)
    arguments.check_same_shape("reference_chosen_logps", q_c.shape, "policy_chosen_logps", p_c.shape)
    arguments.check_same_shape("reference_rejected_logps", q_r.shape, "policy_chosen_logps", p_c.shape)
    policy, reference = p_c - p_r, q_c - q_r
    gain = policy - reference
    # The loss of a confident pair is about exp(-z): a rounding of z = 40 may cost 40 ulps, and there are four of them.
    error = compensated.two_sum_error(p_c, -p_r, policy) - compensated.two_sum_error(q_c, -q_r, reference)
    z, rest = compensated.scale_double_word(beta, gain, error + compensated.two_sum_error(policy, -reference, gain))
    loss = compensated.softplus(-z, -rest)
    if not arguments.is_zero(label_smoothing):
        # As (1 - s) softplus(-z) + s softplus(z), but where s is near 1/2 and z near 0, the slopes of these two cancel;
        # that of their sum is tanh(z / 2).
        both = 2 * (log_cosh_loss.torch_log_cosh((z + rest) / 2) + math.log(2))
        mostly_chosen = (1 - 2 * label_smoothing) * loss + label_smoothing * both
        mostly_rejected = (2 * label_smoothing - 1) * compensated.softplus(z, rest) + (1 - label_smoothing) * both
        loss = torch.where(torch.as_tensor(label_smoothing <= 0.5, device=z.device), mostly_chosen, mostly_rejected)
    return ops.reduce(loss, reduction, dtype)


def jax_dpo_loss(policy_chosen_logps: ArrayLike, policy_rejected_logps: ArrayLike, reference_chosen_logps: ArrayLike,
                 reference_rejected_logps: ArrayLike, beta: float = 0.1, label_smoothing: float = 0.0,
                 reduction: Reduction = "mean") -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import compensated_jax as compensated
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    p_c, p_r, q_c, q_r, dtype = ops.validate_and_upcast(
        policy_chosen_logps=policy_chosen_logps, policy_rejected_logps=policy_rejected_logps,
        reference_chosen_logps=reference_chosen_logps, reference_rejected_logps=reference_rejected_logps,
    )  # fmt: skip
    beta = ops.option("beta", beta, p_c, above=0)
    label_smoothing = ops.option("label_smoothing", label_smoothing, p_c, least=0, most=1)
    arguments.check_same_shape("policy_rejected_logps", p_r.shape, "policy_chosen_logps", p_c.shape)
    arguments.check_same_shape("reference_chosen_logps", q_c.shape, "policy_chosen_logps", p_c.shape)
    arguments.check_same_shape("reference_rejected_logps", q_r.shape, "policy_chosen_logps", p_c.shape)
    policy, reference = p_c - p_r, q_c - q_r
    gain = policy - reference
    # The loss of a confident pair is about exp(-z): a rounding of z = 40 may cost 40 ulps, and there are four of them.
    error = compensated.two_sum_error(p_c, -p_r, policy) - compensated.two_sum_error(q_c, -q_r, reference)
    z, rest = compensated.scale_double_word(beta, gain, error + compensated.two_sum_error(policy, -reference, gain))
    loss = compensated.softplus(-z, -rest)
    if not arguments.is_zero(label_smoothing):
        # As (1 - s) softplus(-z) + s softplus(z), but where s is near 1/2 and z near 0, the slopes of these two cancel;
        # that of their sum is tanh(z / 2).
        both = 2 * (log_cosh_loss.jax_log_cosh((z + rest) / 2) + math.log(2))
        mostly_chosen = (1 - 2 * label_smoothing) * loss + label_smoothing * both
        mostly_rejected = (2 * label_smoothing - 1) * compensated.softplus(z, rest) + (1 - label_smoothing) * both
        loss = jnp.where(label_smoothing <= 0.5, mostly_chosen, mostly_rejected)
    return ops.reduce(loss, reduction, dtype)


def truth(t, policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta=0.1,
          label_smoothing=0.0):  # fmt: skip
    z = t.const(beta) * (policy_chosen_logps - policy_rejected_logps)
    z = z - t.const(beta) * (reference_chosen_logps - reference_rejected_logps)
    s = t.const(label_smoothing)
    return (1 - s) * np.log(1 + np.exp(-z)) + s * np.log(1 + np.exp(z))


def inputs(draw):
    p_c, p_r, q_c, q_r = (draw.real(draw.shape) for _ in range(4))
    if draw.regime in ("confident", "badly_wrong"):
        gap = draw.rng.uniform(40, 400, draw.shape) * (1 if draw.regime == "confident" else -1)
        p_r = draw.round(p_r.astype(np.float64) - gap)
    return draw.arrays(
        policy_chosen_logps=p_c, policy_rejected_logps=p_r, reference_chosen_logps=q_c, reference_rejected_logps=q_r
    )


NAMES = ("policy_chosen_logps", "policy_rejected_logps", "reference_chosen_logps", "reference_rejected_logps")

LOSS = Loss(
    name="dpo_loss",
    summary="direct preference optimization: log-sigmoid of what two answers gained over a reference model",
    torch=torch_dpo_loss,
    jax=jax_dpo_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((12,), (4, 3), ())),
        Variant("beta+smoothing", options={"beta": 0.5, "label_smoothing": 0.25}, shapes=((12,),)),
    ),
    arguments=Arguments(wrt=NAMES, batched=NAMES),
    crossed=(crossed.option("beta", 0.03125, 0.5, 2.0), crossed.option("label_smoothing", 0.125, 0.5)),
    latex=(
        r"z = \beta \left( (p_c - p_r) - (q_c - q_r) \right)",
        r"\ell = -(1 - s) \log \sigma(z) - s \log \sigma(-z)",
    ),
    source="Rafailov et al. 2023, arXiv:2305.18290",
)
