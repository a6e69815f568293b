r"""Connectionist temporal classification: minus the log-probability that the frames, aligned, spell the targets.

Formula: l_n = -log sum_a prod_{t < T_n} exp(x[t, n, a_t]), over all alignments a of length T_n that give the target when
repetitions are merged and then blanks are left out. `'mean'` divides each l_n by its target's length (by 1 where that is
0) and takes the mean over the batch.

Args:
    log_probs: log-probabilities x, shape (T, N, C) or (T, C). That they are such is not checked.
    targets: class indices, shape (N, S), padded, or concatenated, (sum of `target_lengths`); any integer dtype.
    input_lengths: T_n <= T, a tensor of integers, shape (N), () or (1) without a batch, or a tuple or list of integers.
    target_lengths: the lengths of the targets, likewise.
    blank: the class of the blank, in [0, C). Default: 0.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.
    zero_infinity: whether an infinite loss (no alignment is possible: too few frames, or classes ruled out) is 0, with
        gradient 0; else it has gradient NaN, as in torch. Default: False.

Domain: all reals; minus infinity is a class ruled out. Gradient: minus the probability, given the target, that an
alignment is at the class in that frame; 0 beyond T_n. It is that of the formula, as differences of the values show:
torch.nn.functional gives exp(x) more, which is the same only after a `log_softmax`, whose derivative makes that 0.
Values and gradients keep their digits over any number of frames. In PyTorch half of the frames are a Python loop.
Errors: `ValueError` for shapes, reductions, an empty `log_probs`, a blank that is no class, and, where the values are at
hand (concrete, on the CPU), for lengths and labels out of range; elsewhere value and gradient of such a row are NaN
(but one row, as under `vmap`, may bring more labels than its length: padding). `TypeError` for dtypes.
Identities: with log_probs = log_softmax(z), what an acoustic model is trained on; an empty target has the loss of blanks.

Source: torch.nn.functional.ctc_loss; Graves et al. 2006, "Connectionist Temporal Classification".
"""

import numpy as np

from xloss import third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Peer, Unsupported, Variant
from xloss.ops import arguments


def check_call(log_probs, targets, blank, zero_infinity):
    """Refuse shapes and options that do not fit."""
    arguments.check_integer("blank", blank)
    arguments.check_flags(zero_infinity=zero_infinity)
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


def torch_ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    import torch

    from xloss.ops import ctc_torch as ctc
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    if not isinstance(targets, torch.Tensor):
        arguments.raise_type_error("targets", type(targets).__name__, "a torch.Tensor")
    log_probs, dtype = ops.validate_and_upcast(log_probs=log_probs)
    check_call(log_probs.shape, targets.shape, blank, zero_infinity)
    x = log_probs if log_probs.ndim == 3 else log_probs[:, None]
    labels, times, lengths, bad = ctc.validate_labels_and_lengths(targets, input_lengths, target_lengths, x)
    loss = ctc.negative_log_likelihood(x, labels, times, lengths, blank, zero_infinity)
    loss = loss if bad is None else ops.nan_where(loss, bad, x.sum((0, 2)))
    terms = loss / lengths.clamp(min=1).to(x.dtype)
    if log_probs.ndim == 2:
        loss, terms = loss[0], terms[0]
    return ops.reduce(loss, reduction, dtype, terms=terms)


def jax_ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    import jax.numpy as jnp

    from xloss.ops import ctc_jax as ctc
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    targets = ops.as_array("targets", targets)
    log_probs, dtype = ops.validate_and_upcast(log_probs=log_probs)
    check_call(log_probs.shape, targets.shape, blank, zero_infinity)
    x = log_probs if log_probs.ndim == 3 else log_probs[:, None]
    labels, times, lengths, bad = ctc.validate_labels_and_lengths(targets, input_lengths, target_lengths, x)
    loss = ctc.negative_log_likelihood(x, labels, times, lengths, blank, zero_infinity)
    loss = loss if bad is None else ops.nan_where(loss, bad, x.sum((0, 2)))
    terms = loss / jnp.maximum(lengths, 1).astype(x.dtype)
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
        # The probabilities of all that led to each state, before the first frame to the one before the first.
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


def inputs(draw):
    frames, classes = draw.shape[0], draw.shape[-1]
    batch = 1 if len(draw.shape) == 2 else draw.shape[1]
    blank = draw.variant.options.get("blank", 0)
    most = (frames + 1) // 2 if classes > 1 else 0
    lengths = draw.rng.permutation(most - np.arange(batch) % (most + 1)) if len(draw.shape) == 3 else np.array([most])
    labels = draw.labels((batch, most), max(classes - 1, 1))
    labels = labels + (labels >= blank)
    # Beyond a target's length stands what is no class.
    targets = np.where(np.arange(most) < lengths[:, None], labels, -1)
    needed = lengths + [
        np.sum(row[1:length] == row[: max(length - 1, 0)]) for row, length in zip(labels, lengths, strict=True)
    ]
    needed = needed * (not draw.has("infeasible"))
    times = draw.rng.integers(needed, frames + 1)
    # An alignment, which a confident prediction follows: each label once, blanks between equal ones, and at the end.
    # What a badly wrong one rules out is the first label, in all frames.
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
    """torch.nn.functional's where its gradient is right: through a log_softmax; what that takes off is put back."""

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
    """optax takes logits, and paddings for lengths: what its log_softmax takes off is put back."""
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
    """An entry of the gradient by the log-probabilities, all of them those of 1/4, of a target of one label."""
    import torch

    x = torch.full((frames, 1, 4), 0.25).log().requires_grad_()
    (grad,) = torch.autograd.grad(function(x, torch.tensor([[label]]), (frames,), (1,)), x)
    return float(grad.flatten()[entry])


def slope_here():
    return slope(torch_ctc_loss, 1, 1, 0)


def slope_there():
    import torch

    return slope(torch.nn.functional.ctc_loss, 1, 1, 0)


def blank_label_here():
    return slope(torch_ctc_loss, 2, 0, 4)


def blank_label_there():
    import torch

    return slope(torch.nn.functional.ctc_loss, 2, 0, 4)


def infeasible(function):
    """Two labels in one frame."""
    import jax.numpy as jnp

    arrays = {"log_probs": jnp.full((1, 1, 4), -1.3862944), "targets": jnp.asarray([[1, 2]])}
    return float(function(**arrays, input_lengths=jnp.asarray([1]), target_lengths=jnp.asarray([2]), reduction="sum"))


def infeasible_here():
    return infeasible(jax_ctc_loss)


def infeasible_there():
    return infeasible(by_optax)


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
    peers=(third_party.functional("ctc_loss"), Peer("optax", "jax", by_optax)),
    differences=(
        Difference("ctc_loss/gradient", "the derivative by a log-probability that no alignment uses, 1/4 being its exp: right there "
                   "only through a log_softmax", "torch.nn.functional", slope_here, slope_there, (0.0, 0.25),
                   "torch 2.13.0", "https://github.com/pytorch/pytorch/issues/52241"),
        Difference("ctc_loss/blank-label", "a target that ends with the blank as a label: the derivative by its log-probability in the last "
                   "frame, where torch keeps one of the two last states (and adds 1/4, as above)", "torch.nn.functional",
                   blank_label_here, blank_label_there, (-1.0, -0.41666663), "torch 2.13.0"),
        Difference("ctc_loss/infeasible", "more labels than frames: no alignment is possible", "optax", infeasible_here,
                   infeasible_there, (float("inf"), 99999.77), "optax 0.2.8"),
    ),
    patched_torch=patched_torch,
    class_form=ClassForm("CTCLoss"),
    workloads={"small": (16, 4, 16), "medium": (64, 16, 64), "large": (128, 64, 256)},
    source="torch.nn.functional.ctc_loss",
)  # fmt: skip
