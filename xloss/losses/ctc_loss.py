r"""Connectionist temporal classification: minus the log-probability of the targets, summed over all alignments.

Formula: l_n = -log sum_a prod_{t < T_n} exp(x[t, n, a_t]), over all alignments a of length T_n that give the target
when repeated classes are merged and then blanks are removed. `'mean'` divides each l_n by its target's length (by 1
where that is 0) and takes the mean over the batch.

Args:
    log_probs: log-probabilities x, shape (T, N, C) or (T, C). That they are normalized is not checked.
    targets: class indices, shape (N, S), padded, or concatenated, (sum of `target_lengths`); any integer dtype.
    input_lengths: T_n <= T, a tensor of integers, shape (N), () or (1) without a batch, or a tuple or list of integers.
    target_lengths: the lengths of the targets, likewise.
    blank: the class of the blank, in [0, C). Default: 0.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.
    zero_infinity: replace an infinite loss (no alignment is possible: too few frames, or classes of probability 0) by
        0, with gradient 0; otherwise its gradient is NaN, as in torch. Default: False.

Returns: shape () for `'mean'` and `'sum'`, (N), or () without a batch, for `'none'`; the dtype of `log_probs`.

Domain: all reals; minus infinity is a class of probability 0. Gradient: minus the posterior probability, given the
target, that an alignment is at the class in that frame; 0 beyond T_n. This is the derivative of the formula, as finite
differences confirm; torch.nn.functional's is larger by exp(x), which is right only behind a `log_softmax`, whose
derivative removes that term. Accuracy does not fall with the number of frames. In PyTorch, T/2 steps are a Python loop.
Errors: `ValueError` for shapes, reductions, an empty `log_probs`, a blank that is no class, and, where the values are
known (concrete, on the CPU), for lengths and labels out of range; elsewhere value and gradient of such a row are NaN
(a batch of one, as under `vmap`, may have concatenated targets longer than its length: padding). `TypeError` for
dtypes.
Identities: for an empty target it is minus the sum of the blank's log-probabilities. With log_probs = log_softmax(z) it
is the usual training loss of acoustic models.

>>> import numpy as np, xloss.jax
>>> x = np.log(np.full((2, 1, 2), 0.5, np.float32))  # the alignments of target 1 are 11, 10 and 01, of 1/4 each
>>> print(f"{xloss.jax.ctc_loss(x, np.int32([[1]]), (2,), (1,)):.4f} {-np.log(0.75):.4f}")
0.2877 0.2877

Source: torch.nn.functional.ctc_loss; Graves et al. 2006, "Connectionist Temporal Classification".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Peer, Unsupported, Variant
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def check_call(log_probs, targets, blank, zero_infinity):
    """Refuse shapes and options that do not fit; return the options as Python's."""
    blank = arguments.check_integer("blank", blank)
    zero_infinity = arguments.check_flags(zero_infinity=zero_infinity)
    if len(log_probs) not in (2, 3):
        arguments.raise_value_error("log_probs", f"shape {tuple(log_probs)}", "shape (T, N, C) or (T, C)")
    if 0 in log_probs:
        arguments.raise_value_error(
            "log_probs", f"shape {tuple(log_probs)}", "a frame, a sequence and a class at least"
        )
    batch, classes = (1, *log_probs[1:])[-2:]
    if len(targets) not in (1, 2) or (len(targets) == 2 and targets[0] != batch):
        expected = f"({batch}, S), or the targets concatenated, (sum of target_lengths)"
        arguments.raise_value_error("targets", f"shape {tuple(targets)}", expected)
    if not 0 <= blank < classes:
        arguments.raise_value_error("blank", repr(blank), f"a class, in [0, {classes})")
    return blank, zero_infinity


def torch_ctc_loss(log_probs: Tensor, targets: Tensor, input_lengths: Tensor | Sequence[int],
                   target_lengths: Tensor | Sequence[int], blank: int = 0, reduction: Reduction = "mean",
                   zero_infinity: bool = False) -> Tensor:  # fmt: skip

    from xloss.ops import ctc_fused_torch as fused
    from xloss.ops import ctc_torch as ctc
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    targets = ops.as_array("targets", targets)
    log_probs, dtype = ops.validate_and_upcast(log_probs=log_probs)
    blank, zero_infinity = check_call(log_probs.shape, targets.shape, blank, zero_infinity)
    x = log_probs if log_probs.ndim == 3 else log_probs[:, None]
    labels, times, lengths, bad = ctc.validate_labels_and_lengths(targets, input_lengths, target_lengths, x)
    loss = fused.negative_log_likelihood(x, labels, times, lengths, blank, zero_infinity)
    loss = loss if bad is None else ops.nan_where(loss, bad, x.sum((0, 2)))
    terms = loss / lengths.clip(min=1).to(x.dtype)
    if log_probs.ndim == 2:
        loss, terms = loss[0], terms[0]
    return ops.reduce(loss, reduction, dtype, terms=terms)


def jax_ctc_loss(log_probs: ArrayLike, targets: ArrayLike, input_lengths: ArrayLike | Sequence[int],
                 target_lengths: ArrayLike | Sequence[int], blank: int = 0, reduction: Reduction = "mean",
                 zero_infinity: bool = False) -> Array:  # fmt: skip
    from xloss.ops import ctc_jax as ctc
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    targets = ops.as_array("targets", targets)
    log_probs, dtype = ops.validate_and_upcast(log_probs=log_probs)
    blank, zero_infinity = check_call(log_probs.shape, targets.shape, blank, zero_infinity)
    x = log_probs if log_probs.ndim == 3 else log_probs[:, None]
    labels, times, lengths, bad = ctc.validate_labels_and_lengths(targets, input_lengths, target_lengths, x)
    loss = ctc.negative_log_likelihood(x, labels, times, lengths, blank, zero_infinity)
    loss = loss if bad is None else ops.nan_where(loss, bad, x.sum((0, 2)))
    terms = loss / lengths.clip(min=1).astype(x.dtype)
    if log_probs.ndim == 2:
        loss, terms = loss[0], terms[0]
    return ops.reduce(loss, reduction, dtype, terms=terms)


def truth(t, log_probs, targets, input_lengths, target_lengths, blank=0, zero_infinity=False):
    unbatched = log_probs.ndim == 2
    p = np.exp(log_probs).reshape(log_probs.shape[0], -1, log_probs.shape[-1])
    lengths = target_lengths.reshape(-1)
    rows = np.split(targets, np.cumsum(lengths)[:-1]) if targets.ndim == 1 else targets
    totals = []
    for n, (row, time, length) in enumerate(zip(rows, input_lengths.reshape(-1), lengths, strict=True)):
        states = [blank] + [state for label in row[:length] for state in (label, blank)]
        # Forward probabilities; alpha[s + 1] is that of states[s], alpha[0] that of the place before the first state.
        alpha = [t.const(1)] + [t.const(0)] * len(states)
        for now in range(time):
            before = alpha
            alpha = [t.const(0)]
            for s, state in enumerate(states):
                skip = s == 1 or (s > 1 and state != states[s - 2])
                led = before[s + 1] + before[s] + (before[s - 1] if skip else 0)
                alpha.append(led * p[now, n, state])
        totals.append(alpha[-1] + alpha[-2])
    total = np.array(totals, dtype=object)
    impossible = total == 0
    loss = t.where(impossible, 0 if zero_infinity else t.const(np.inf), -np.log(t.where(impossible, 1, total)))
    ones = np.array([t.const(1)] * len(total), dtype=object)
    shape = () if unbatched else (len(total),)
    return tuple(array.reshape(shape) for array in (loss, ones, ones / np.maximum(lengths, 1)))


def unseen(log_probs, input_lengths, **_):
    """Return where the frames beyond each sequence's length are."""
    frames = np.arange(len(log_probs)).reshape(-1, *(1,) * (log_probs.ndim - 1))
    beyond = frames >= (input_lengths.reshape(-1, 1) if log_probs.ndim == 3 else input_lengths.reshape(-1)[0])
    return {"log_probs": np.broadcast_to(beyond, log_probs.shape)}


def inputs(draw):
    frames, classes = draw.shape[0], draw.shape[-1]
    batch = 1 if len(draw.shape) == 2 else draw.shape[1]
    blank = draw.variant.options.get("blank", 0)
    most = (frames + 1) // 2 if classes > 1 else 0
    lengths = draw.rng.permutation(most - np.arange(batch) % (most + 1)) if len(draw.shape) == 3 else np.array([most])
    labels = draw.labels((batch, most), max(classes - 1, 1))
    labels = labels + (labels >= blank)
    # Padding is -1, which is no class.
    targets = np.where(np.arange(most) < lengths[:, None], labels, -1)
    needed = lengths + [
        np.sum(row[1:length] == row[: max(length - 1, 0)]) for row, length in zip(labels, lengths, strict=True)
    ]
    needed = needed * (not draw.has("infeasible"))
    times = draw.rng.integers(needed, frames + 1)
    # The alignment of a confident prediction: each label once, a blank between equal ones, and blanks at the end.
    # A badly wrong prediction gives the first label a low probability in all frames.
    path = np.full((frames, batch), blank)
    for n, length in enumerate(lengths):
        at = (
            np.arange(length) + np.cumsum(np.append(0, labels[n, 1:length] == labels[n, : max(length - 1, 0)]))[:length]
        )
        path[at, n] = labels[n, :length]
        if draw.regime == "badly_wrong" and length:
            path[:, n] = labels[n, 0]
    logits = draw.logits((frames, batch, classes), 2, path)
    if draw.regime not in ("nonfinite", "subnormal", "ties", "large"):
        wide = logits.astype(np.float64)
        logits = draw.round(wide - np.log(np.exp(wide).sum(2, keepdims=True)))
    if draw.has("concatenated"):
        targets = np.concatenate([row[:length] for row, length in zip(targets, lengths, strict=True)])
    if len(draw.shape) == 2:
        logits, targets, times, lengths = logits[:, 0], targets[0], times[0], lengths[0]
    return draw.arrays(
        log_probs=logits, targets=targets, input_lengths=np.asarray(times), target_lengths=np.asarray(lengths)
    )


def patched_torch(function):
    """Call torch's function through a log_softmax, where its gradient is right, and add back the normalizer."""

    def right(log_probs, targets, input_lengths, target_lengths, reduction="mean", zero_infinity=False, **options):
        import torch

        norm = log_probs.logsumexp(-1, keepdim=True)
        norm = torch.where(torch.isfinite(norm), norm, 0.0)
        given = (log_probs - norm, targets, input_lengths, target_lengths)
        loss = function(*given, reduction="none", zero_infinity=zero_infinity, **options)
        possible = torch.isfinite(function(*given, reduction="none", **options))
        time = torch.arange(len(log_probs)).reshape(-1, *(1,) * loss.ndim)
        loss = loss - torch.where((time < input_lengths) & possible, norm.squeeze(-1), 0.0).sum(0)
        if reduction == "mean":
            return (loss / target_lengths.clamp(min=1)).mean()
        return loss if reduction == "none" else loss.sum()

    return right


def by_optax(log_probs, targets, input_lengths, target_lengths, reduction, blank=0, zero_infinity=False):
    """Call optax's function, which takes logits, and paddings for lengths; add back what its log_softmax subtracts."""
    import jax
    import jax.numpy as jnp
    import optax

    if zero_infinity or targets.ndim == 1:
        raise Unsupported("optax has no zero_infinity" if zero_infinity else "optax takes padded targets of a batch")
    late = jnp.arange(log_probs.shape[0]) >= input_lengths[:, None]
    beyond = jnp.arange(targets.shape[1]) >= target_lengths[:, None]
    logits = jnp.swapaxes(log_probs, 0, 1)
    padded = [x.astype(log_probs.dtype) for x in (late, beyond)]
    loss = optax.ctc_loss(logits, padded[0], jnp.maximum(targets, 0), padded[1], blank_id=blank)
    loss = loss - jnp.where(late, 0.0, jax.nn.logsumexp(logits, 2)).sum(1)
    if reduction == "mean":
        return (loss / jnp.maximum(target_lengths, 1).astype(loss.dtype)).mean()
    return loss if reduction == "none" else loss.sum()


def slope(function, frames, label, entry):
    """Return an entry of the gradient for a target of one label, where all four classes have probability 1/4."""
    import torch

    x = torch.full((frames, 1, 4), 0.25).log().requires_grad_()
    arrays = {"log_probs": x, "targets": torch.tensor([[label]])}
    (grad,) = torch.autograd.grad(function(**arrays, input_lengths=(frames,), target_lengths=(1,)), x)
    return float(grad.flatten()[entry])


def infeasible(function):
    """Return the loss of two labels in one frame."""
    import jax.numpy as jnp

    arrays = {"log_probs": jnp.full((1, 1, 4), -1.3862944), "targets": jnp.asarray([[1, 2]])}
    return float(function(**arrays, input_lengths=jnp.asarray([1]), target_lengths=jnp.asarray([2]), reduction="sum"))


FUNCTIONAL = third_party.functional("ctc_loss")

LOSS = Loss(
    name="ctc_loss",
    summary="connectionist temporal classification: minus the log-probability of a target, over all alignments",
    torch=torch_ctc_loss,
    jax=jax_ctc_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((4, 3, 3),)),
        Variant("unbatched", unbatched=True, shapes=((4, 3),)),
        Variant(
            "concatenated",
            options={"zero_infinity": True},
            draws=("concatenated", "infeasible"), per_sample=False,
            shapes=((4, 3, 3),),
        ),
    ),
    arguments=Arguments(
        wrt=("log_probs",),
        batched={"log_probs": 1, "targets": 0, "input_lengths": 0, "target_lengths": 0},
        class_axes=lambda _argument, rank: (0, rank - 1),
        untyped=("targets", "input_lengths", "target_lengths"),
    ),
    domain=Domain(skip_regimes={"empty": "refused, as in torch.nn.functional"}),
    large=((6, 24, 40),),
    crossed=(
        crossed.option("blank", 1, 2), crossed.option("zero_infinity", True),
        crossed.flag("infeasible", {"zero_infinity": True}, draws=("infeasible",)),
    ),
    peers=(FUNCTIONAL, Peer("optax", "jax", by_optax)),
    differences=(
        Difference.between("ctc_loss/gradient", "the derivative by the log-probability, log(1/4), of a class that no "
                           "alignment uses: torch's is right only through a log_softmax", "torch.nn.functional",
                           lambda function: slope(function, 1, 1, 0), torch_ctc_loss, FUNCTIONAL.call, (0.0, 0.25),
                           "torch 2.13.0", "https://github.com/pytorch/pytorch/issues/52241"),
        Difference.between("ctc_loss/blank-label", "the blank as the last label: the derivative by its log-probability "
                           "in the last frame, where torch counts one of the two final states (and adds 1/4, as above)",
                           "torch.nn.functional", lambda function: slope(function, 2, 0, 4), torch_ctc_loss,
                           FUNCTIONAL.call, (-1.0, -0.41666663), "torch 2.13.0"),
        Difference.between("ctc_loss/infeasible", "more labels than frames: no alignment is possible", "optax",
                           infeasible, jax_ctc_loss, by_optax, (float("inf"), 99999.77), "optax 0.2.8"),
    ),
    patched_torch=patched_torch,
    class_form=ClassForm("CTCLoss"),
    workloads={"small": (16, 4, 16), "medium": (64, 16, 64), "large": (128, 64, 256)},
    unseen=unseen,
    latex=(
        r"\ell_n = -\log \sum_{a} \prod_{t < T_n} \exp(x_{t, n, a_t}), \qquad a \text{ over the alignments of "
        r"length } T_n \text{ that give the target}",
        r"\operatorname{mean} = \frac{1}{N} \sum_n \frac{\ell_n}{\max(1, S_n)}, \qquad S_n \text{ the length of "
        r"target } n",
    ),
    source="torch.nn.functional.ctc_loss",
)  # fmt: skip
