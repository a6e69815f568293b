r"""Cross entropy between logits and class indices, or class probabilities.

Formula, with log p = x - logsumexp(x) over the classes and smoothing s. For indices y_n: l_n =
-(1 - s) w[y_n] log p[n, y_n] - s/C sum_c w_c log p[n, c], 0 where y_n = ignore_index; `'mean'` divides by the sum of
the w[y_n] of the rows that are not ignored. For probabilities q: l_n =
-sum_c w_c ((1 - s) q[n, c] + s/C) log p[n, c]; `'mean'` divides by the number of rows, weights or not. So with class
weights, the mean for indices is not the mean for the same labels one-hot.

Args:
    input: logits x, shape (C), (N, C) or (N, C, d1, ..., dK).
    target: class indices, shape (), (N) or (N, d1, ..., dK) (torch: int64 or uint8, JAX: any integer dtype), or
        class probabilities, floating, the shape of `input`.
    weight: w, one for each class, shape (C), the dtype of `input`, or None.
    ignore_index: the label that counts neither in the sum nor in the denominator; for indices only. Default: -100.
    reduction: `'none'` | `'mean'` | `'sum'`. Default: `'mean'`.
    label_smoothing: s, in [0, 1]. Default: 0.0.
    backend: None, or for class indices the kernels of `xloss.kernels`: `'triton'` in PyTorch, `'pallas'` in JAX.
        Where more than reverse mode by `input` is asked, plain operations are taken. Default: None.

Returns: shape () for `'mean'` and `'sum'`, that of `input` without its class axis for `'none'`; the dtype of `input`
(for probabilities the widest of `input`, `target` and `weight`).

Domain: all reals; a logit of minus infinity gives its class probability 0; where that of the target, or the class
weight, is 0 too, the class is left out: value and gradients (by target and weight, too) are the limit, where torch has
0 * inf = NaN. Gradient, without weight and smoothing: p - onehot(y), of which the target's entry is computed as minus
the sum of the other p: so value (about e^-gap, where log_softmax gives 0) and gradient of a confident prediction keep
their relative accuracy.
Errors: `ValueError` for shapes, reductions, smoothing, an `ignore_index` set along with probabilities, and for labels
outside [0, C) where their values are known (concrete, on the CPU); elsewhere value and gradient of such a row are NaN.
`TypeError` for dtypes. What an ignored row holds, NaN and infinities too, reaches neither value nor gradient. If all
labels are ignored, `'mean'` is 0/0 = NaN with gradient 0, as in torch; if only the weights of the labels are 0, under
smoothing, it is infinite.
Identities: `nll_loss` of `log_softmax`; for two classes `binary_cross_entropy_with_logits` of the difference of logits.

>>> import numpy as np, xloss.jax
>>> x, y = np.float32([[0, 0, 0], [9, 0, 0], [9, 9, 9]]), np.int32([0, -100, 1])
>>> print(f"{xloss.jax.cross_entropy(x, y):.3f} {np.log(3):.3f}")  # a mean over the two rows that are not ignored
1.099 1.099

Source: torch.nn.functional.cross_entropy; smoothing: Szegedy et al. 2015, arXiv:1512.00567.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from xloss import crossed, third_party
from xloss.catalog import Arguments, ClassForm, Difference, Domain, Loss, Variant, ruled_out_class
from xloss.ops import arguments
from xloss.ops.types import Array, ArrayLike, Reduction, Tensor


def torch_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100,
                        reduction: Reduction = "mean", label_smoothing: float = 0.0, *,
                        backend: str | None = None) -> Tensor:  # fmt: skip
    from xloss.ops import fused_torch as fused
    from xloss.ops import torch as ops

    arguments.check_reduction(reduction)
    ignore_index = arguments.check_integer("ignore_index", ignore_index)
    axis = ops.validate_target(input, target, weight, ignore_index)
    if backend is not None:
        from xloss.kernels import torch as kernels

        plain = functools.partial(torch_cross_entropy, target=target, ignore_index=ignore_index,
                                  label_smoothing=label_smoothing)  # fmt: skip
        given = input, target, weight, ignore_index, reduction, label_smoothing, axis
        return kernels.cross_entropy(backend, plain, *given)
    if target.is_floating_point():
        input, target, weight, dtype = ops.validate_and_upcast(
            input=input, target=target, weight=weight, optional=("weight",)
        )
        label_smoothing = ops.option("label_smoothing", label_smoothing, input, least=0, most=1)
        return fused.soft_cross_entropy(input, target, weight, label_smoothing, axis, reduction, dtype)
    input, weight, dtype = ops.validate_and_upcast(same_dtype=True, input=input, weight=weight, optional=("weight",))
    label_smoothing = ops.option("label_smoothing", label_smoothing, input, least=0, most=1)
    labels, ignored, outside, axis = ops.validate_classes(input, target, weight, ignore_index)
    return fused.cross_entropy(input, labels, ignored, outside, weight, label_smoothing, axis, reduction, dtype)


def jax_cross_entropy(input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, ignore_index: int = -100,
                      reduction: Reduction = "mean", label_smoothing: float = 0.0, *,
                      backend: str | None = None) -> Array:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import fused_jax as fused
    from xloss.ops import jax as ops

    arguments.check_reduction(reduction)
    ignore_index = arguments.check_integer("ignore_index", ignore_index)
    input, target = ops.as_array("input", input), ops.as_array("target", target)
    axis = ops.validate_target(input, target, weight, ignore_index)
    if backend is not None:
        from xloss.kernels import jax as kernels

        plain = functools.partial(jax_cross_entropy, target=target, ignore_index=ignore_index,
                                  label_smoothing=label_smoothing)  # fmt: skip
        given = input, target, weight, ignore_index, reduction, label_smoothing, axis
        return kernels.cross_entropy(backend, plain, *given)
    if jnp.issubdtype(target.dtype, jnp.floating):
        input, target, weight, dtype = ops.validate_and_upcast(
            input=input, target=target, weight=weight, optional=("weight",)
        )
        label_smoothing = ops.option("label_smoothing", label_smoothing, input, least=0, most=1)
        return fused.soft_cross_entropy(input, target, weight, label_smoothing, axis, reduction, dtype)
    input, weight, dtype = ops.validate_and_upcast(same_dtype=True, input=input, weight=weight, optional=("weight",))
    label_smoothing = ops.option("label_smoothing", label_smoothing, input, least=0, most=1)
    labels, ignored, outside, axis = ops.validate_classes(input, target, weight, ignore_index)
    return fused.cross_entropy(input, labels, ignored, outside, weight, label_smoothing, axis, reduction, dtype)


def truth(t, input, target, weight=None, ignore_index=-100, label_smoothing=0.0):
    axis = arguments.class_axis(input.shape)
    classes = input.shape[axis]
    s = t.const(label_smoothing)
    log_total = np.log(t.sum(np.exp(input), axis, keepdims=True))
    log_p = input - log_total
    w = 1 if weight is None else weight.reshape((classes,) + (1,) * (input.ndim - axis - 1))
    # What is smoothed: its slope 1 / C - p cancels where the logits are alike.
    smooth = s / classes * t.sum(w * (input - t.subtrahend(log_total)), axis) if label_smoothing else 0
    if target.dtype == object:
        return -(t.sum(w * (1 - s) * target * log_p, axis) + smooth)
    counted = target != ignore_index
    labels = np.where(counted, target, 0)
    weights = t.where(counted, 1 if weight is None else weight[labels], 0)
    hard = weights * np.take_along_axis(log_p, np.expand_dims(labels, axis), axis).squeeze(axis)
    loss = (1 - s) * hard + smooth
    return t.where(counted, -loss, 0), weights


def inputs(draw):
    axis = arguments.class_axis(draw.shape)
    classes = draw.shape[axis]
    ignore_index = draw.variant.options.get("ignore_index", -100)
    target = draw.labels(draw.shape[:axis] + draw.shape[axis + 1 :], classes, ignore_index)
    favoured = target
    if draw.variant.probabilities:
        target = draw.simplex(draw.shape, axis)
        favoured = target.argmax(axis) if target.size else favoured
    input = draw.logits(draw.shape, axis, favoured)
    return draw.arrays(input=input, target=target, weight=draw.optional("weight", (classes,)))


def optax_labels(optax, input, target, label_smoothing=0.0):
    axis = arguments.class_axis(input.shape)
    if target.dtype == input.dtype and target.shape == input.shape:
        if label_smoothing:
            target = optax.losses.smooth_labels(target, label_smoothing)
        return optax.losses.softmax_cross_entropy(input, target, axis=axis)
    if label_smoothing:
        raise third_party.Unsupported("optax has no label smoothing for class indices")
    return optax.losses.softmax_cross_entropy_with_integer_labels(input, target, axis=axis)


def keras_labels(losses, label_smoothing=0.0):
    def call(target, input):
        if input.ndim != 2:
            raise third_party.Unsupported("Keras takes the classes along the last axis")
        if target.ndim == input.ndim:
            return losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)(target, input)
        if label_smoothing:
            raise third_party.Unsupported("Keras has no label smoothing for class indices")
        return losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-100)(target, input)

    return call


def confident(function):
    """Return the loss of class 0, whose logit is greater by 20, in float32."""
    import torch

    return float(function(input=torch.tensor([[20.0, 0.0, 0.0]]), target=torch.tensor([0])))


def outside(function):
    """Return the loss of label -1 among three classes, or the name of the error."""
    import jax.numpy as jnp

    logits = jnp.asarray([[3.0, 2.0, 1.0]], "float32")
    try:
        return float(function(input=logits, target=jnp.asarray([-1]), reduction="mean"))
    except ValueError as error:
        return type(error).__name__


def weightless(function):
    """Return the loss of a label whose class weight is 0, with smoothing, as text: NaN is not equal to NaN."""
    import torch

    logits, weight = torch.tensor([[0.0, 0.0]]), torch.tensor([0.0, 1.0])
    return str(float(function(input=logits, target=torch.tensor([0]), weight=weight, label_smoothing=0.5)))


FUNCTIONAL = third_party.functional("cross_entropy")
OPTAX = third_party.optax(optax_labels, same_shape=False)

LOSS = Loss(
    name="cross_entropy",
    summary="cross entropy of logits with class indices or probabilities",
    torch=torch_cross_entropy,
    jax=jax_cross_entropy,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((6, 5), (2, 3, 4), (2, 3, 2, 2))),
        Variant("unbatched", unbatched=True, shapes=((5,),)),
        Variant("weight+ignored", tensors=("weight",), ignored=True, shapes=((6, 5), (2, 3, 4))),
        Variant("smoothing", options={"label_smoothing": 0.125}, ignored=True, shapes=((6, 4),)),
        Variant("weight+smoothing", options={"label_smoothing": 0.125}, tensors=("weight",), shapes=((6, 4),)),
        Variant("probabilities", probabilities=True, shapes=((5, 3), (2, 3, 2))),
        Variant("probabilities+weight+smoothing", options={"label_smoothing": 0.125}, tensors=("weight",),
                probabilities=True, shapes=((5, 3),)),
    ),
    arguments=Arguments(class_axes=lambda _argument, rank: 0 if rank == 1 else 1, weights=("weight",)),
    domain=Domain(regimes=("all_ignored", "zero_weight")),
    crossed=(
        crossed.tensor("weight"), crossed.option("ignore_index", 0, 2, -1, -1000),
        crossed.option("label_smoothing", 0.0625, 0.375, 1.0),
        crossed.either(crossed.flag("ignored", ignored=True), crossed.flag("probabilities", probabilities=True)),
    ),
    excluded=lambda variant: variant.probabilities and "ignore_index" in variant.options,
    peers=(FUNCTIONAL, OPTAX, third_party.keras(keras_labels)),
    differences=(
        Difference.between("cross_entropy/confident", "logits (20, 0, 0), class 0, float32; exactly 4.12230723e-09",
                           "torch.nn.functional", confident, torch_cross_entropy, FUNCTIONAL.call,
                           (4.12230723e-09, 0.0), "torch 2.13.0"),
        Difference.between("cross_entropy/label-outside", "logits (3, 2, 1), label -1", "optax", outside,
                           jax_cross_entropy, OPTAX.call, ("ValueError", 2.40760596), "optax 0.2.8"),
        Difference.between("cross_entropy/weightless",
                           "labels whose class weights are all 0, with smoothing: c / 0, or 0 / 0 + c / 0",
                           "torch.nn.functional", weightless, torch_cross_entropy, FUNCTIONAL.call, ("inf", "nan"),
                           "torch 2.13.0"),
        Difference.between("cross_entropy/ruled-out",
                           "a class of logit -inf and probability 0: left out, or 0 * inf",
                           "torch.nn.functional",
                           third_party.sum_as_text("torch", input=[[-math.inf, 0.0, 0.0]], target=[[0.0, 0.5, 0.5]]),
                           torch_cross_entropy, FUNCTIONAL.call, ("0.6931", "nan"), "torch 2.13.0"),
    ),
    class_form=ClassForm("CrossEntropyLoss"),
    workloads={"published": (32768, 4096), "vocabulary": (4096, 128256)},
    adds_nothing=ruled_out_class,
    latex=(
        r"\log p_{n,c} = x_{n,c} - \log \sum_{k} e^{x_{n,k}}",
        r"\ell_n = \begin{cases} -(1 - s)\, w_{y_n} \log p_{n, y_n} - \frac{s}{C} \sum_{c} w_c \log p_{n,c} & y_n "
        r"\ne \mathrm{ignore\_index} \\ 0 & y_n = \mathrm{ignore\_index} \end{cases}",
        r"\operatorname{mean} = \frac{\sum_n \ell_n}{\sum_{n:\; y_n \ne \mathrm{ignore\_index}} w_{y_n}}",
        r"\ell_n = -\sum_{c} w_c \left( (1 - s)\, q_{n,c} + \frac{s}{C} \right) \log p_{n,c}, \qquad "
        r"\operatorname{mean} = \frac{1}{N} \sum_n \ell_n \qquad \text{(class probabilities } q \text{)}",
    ),
    source="torch.nn.functional.cross_entropy",
)  # fmt: skip
