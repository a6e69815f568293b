r"""Adaptive log-softmax: log-probabilities of many classes, the rare ones in clusters with fewer features.

Formula, with head = input head_weight^T + head_bias and tail_i = (input projection_i^T) weight_i^T: output =
log softmax(head)[y] for a target y < cutoffs[0]; for one in cluster i, cutoffs[i] <= y < cutoffs[i + 1], output =
log softmax(head)[cutoffs[0] + i] + log softmax(tail_i)[y - cutoffs[i]]. loss = -mean(output).

Args:
    input: features, shape (H) or (N, H).
    target: class indices y, the frequent classes first, shape () or (N); torch: int64 or uint8, JAX: any integer dtype.
    head_weight: shape (cutoffs[0] + clusters, H); all floating arguments have the dtype of `input`.
    tail_weights: for each cluster a pair of projection_i, shape (H_i, H), and weight_i, shape (its classes, H_i).
    cutoffs: the first class of each cluster, then the number of classes, as the `cutoffs` attribute of torch's module.
    head_bias: shape (cutoffs[0] + clusters), or None.

Returns: a named tuple: `output`, the log-probability of the target, shape () or (N), and `loss`, minus its mean, shape
(); both in the dtype of `input`.

Domain: all reals. Gradient: to every floating argument; small losses keep their relative accuracy, as in
`cross_entropy`. A cluster is evaluated only for the rows whose target is in it, or for all rows where shapes must not
depend on values (JAX; PyTorch under compilation and `vmap`, and on an accelerator). Logits are computed in chunks of
rows, as in `linear_cross_entropy`.
Errors: `ValueError` for shapes and cutoffs, and for labels outside [0, classes) where their values are known (concrete,
on the CPU); elsewhere output and gradient of such a row are NaN. `TypeError` for dtypes.
Identities: exp(output), summed over all targets, is 1.

>>> import numpy as np, xloss.jax
>>> x, w = np.ones((2, 1), np.float32), np.zeros((2, 1), np.float32)
>>> out = xloss.jax.adaptive_log_softmax_with_loss(x, np.int32([0, 2]), w, [(w[:1], w)], cutoffs=(1, 3))
>>> print(f"{out.output[1]:.4f} {out.loss:.4f}")
-1.3863 1.0397

Source: torch.nn.AdaptiveLogSoftmaxWithLoss; Grave et al. 2017, arXiv:1609.04309.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from xloss import crossed
from xloss.catalog import LOSSES, Arguments, ClassForm, Difference, Loss, Peer, Variant
from xloss.ops import arguments
from xloss.ops import linear as shapes
from xloss.ops.types import ArrayLike, Tensor


class AdaptiveLogSoftmax(NamedTuple):
    """Hold the log-probability of each target, and minus their mean."""

    output: Any
    loss: Any


def torch_adaptive_log_softmax_with_loss(input: Tensor, target: Tensor, head_weight: Tensor,
                                         tail_weights: Sequence[Sequence[Tensor]], cutoffs: Sequence[int],
                                         head_bias: Tensor | None = None) -> AdaptiveLogSoftmax:  # fmt: skip
    import torch

    from xloss.ops import linear_torch as linear
    from xloss.ops import torch as ops

    tensors = shapes.name_tensors(input, target, head_weight, tail_weights, head_bias)
    tensors = ops.as_arrays(("head_bias",), **tensors)
    shapes.check_projections(tensors, cutoffs)
    target, short, unbatched = tensors.pop("target"), cutoffs[0], tensors["input"].ndim == 1
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}  # no head_bias, perhaps
    labels, _, outside = ops.validate_labels(target, cutoffs[-1], None)
    input, head_weight, *rest, dtype = ops.validate_and_upcast(same_dtype=True, **tensors)
    tails, bias = rest[: 2 * len(cutoffs) - 2], rest[2 * len(cutoffs) - 2 :]
    input, labels = (input[None], labels[None]) if unbatched else (input, labels)
    in_head, loss = labels, torch.zeros_like(labels, dtype=input.dtype)
    for i, low in enumerate(cutoffs[:-1]):
        inside = (labels >= low) & (labels < cutoffs[i + 1])
        in_head = torch.where(inside, short + i, in_head)
        loss = linear.add_cluster_nll(inside, loss, input, labels - low, tails[2 * i], tails[2 * i + 1])
    chunk = linear.rows_per_chunk(input.shape[0], head_weight.shape[0])
    loss = loss + linear.nll_of_rows(input, in_head, chunk, head_weight, *bias)
    loss = ops.nan_where(loss.squeeze(0) if unbatched else loss, outside)
    return AdaptiveLogSoftmax(ops.reduce(-loss, "none", dtype), ops.reduce(loss, "mean", dtype))


def jax_adaptive_log_softmax_with_loss(input: ArrayLike, target: ArrayLike, head_weight: ArrayLike,
                                       tail_weights: Sequence[Sequence[ArrayLike]], cutoffs: Sequence[int],
                                       head_bias: ArrayLike | None = None) -> AdaptiveLogSoftmax:  # fmt: skip
    import jax.numpy as jnp

    from xloss.ops import jax as ops
    from xloss.ops import linear_jax as linear

    tensors = shapes.name_tensors(input, target, head_weight, tail_weights, head_bias)
    tensors = ops.as_arrays(("head_bias",), **tensors)
    shapes.check_projections(tensors, cutoffs)
    target, short, unbatched = tensors.pop("target"), cutoffs[0], tensors["input"].ndim == 1
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}  # no head_bias, perhaps
    labels, _, outside = ops.validate_labels(target, cutoffs[-1], None)
    input, head_weight, *rest, dtype = ops.validate_and_upcast(same_dtype=True, **tensors)
    tails, bias = rest[: 2 * len(cutoffs) - 2], rest[2 * len(cutoffs) - 2 :]
    input, labels = (input[None], labels[None]) if unbatched else (input, labels)
    in_head, loss = labels, jnp.zeros_like(labels, dtype=input.dtype)
    for i, low in enumerate(cutoffs[:-1]):
        inside = (labels >= low) & (labels < cutoffs[i + 1])
        in_head = jnp.where(inside, short + i, in_head)
        loss = linear.add_cluster_nll(inside, loss, input, labels - low, tails[2 * i], tails[2 * i + 1])
    chunk = linear.rows_per_chunk(input.shape[0], head_weight.shape[0])
    loss = loss + linear.nll_of_rows(input, in_head, chunk, head_weight, *bias)
    loss = ops.nan_where(loss.squeeze(0) if unbatched else loss, outside)
    return AdaptiveLogSoftmax(ops.reduce(-loss, "none", dtype), ops.reduce(loss, "mean", dtype))


def truth(t, input, target, head_weight, tail0_projection, tail0_weight, tail1_projection=None, tail1_weight=None,
          head_bias=None, cutoffs=(1, 3)):  # fmt: skip
    def log_softmax(z):
        return z - np.log(t.sum(np.exp(z), 1, keepdims=True))

    rows, labels = np.atleast_2d(input), np.atleast_1d(target)
    head = log_softmax(rows @ head_weight.T + (0 if head_bias is None else head_bias))
    out = [head[:, : cutoffs[0]]]
    for i, tail in enumerate([(tail0_projection, tail0_weight), (tail1_projection, tail1_weight)][: len(cutoffs) - 1]):
        out.append(head[:, cutoffs[0] + i : cutoffs[0] + i + 1] + log_softmax(rows @ tail[0].T @ tail[1].T))
    loss = -np.take_along_axis(np.concatenate(out, axis=1), labels[:, None], 1).squeeze(1)
    return loss.reshape(np.shape(target))


def inputs(draw):
    cutoffs = draw.variant.options.get("cutoffs", (1, 3))
    clusters, features = len(cutoffs) - 1, draw.shape[-1]
    out = {"input": draw.real(draw.shape), "target": draw.labels(draw.shape[:-1], cutoffs[-1])}
    out["head_weight"] = draw.real((cutoffs[0] + clusters, features))
    for i in range(clusters):
        out[f"tail{i}_projection"] = draw.real((1, features))
        out[f"tail{i}_weight"] = draw.real((cutoffs[i + 1] - cutoffs[i], 1))
    if draw.has("head_bias"):
        out["head_bias"] = draw.real((cutoffs[0] + clusters,))
    if draw.regime in ("confident", "badly_wrong"):
        out["input"] = draw.round(8 * out["input"].astype(np.float64))
        given = {name: array.astype(np.float64) for name, array in out.items() if name != "target"}
        loss = np.stack([truth(Floats, **given, target=np.full(draw.shape[:-1], label), cutoffs=cutoffs)
                         for label in range(cutoffs[-1])])  # fmt: skip
        out["target"] = np.asarray((loss if draw.regime == "confident" else -loss).argmin(0))
    return draw.arrays(**out)


class Floats:
    """Stand in for the tape in `truth`, in floating point: it calls no more than `sum`."""

    sum = staticmethod(np.sum)


def sum_and_count(function: Callable[..., Any], framework: str) -> Callable[..., Any]:
    """Return the function that gives the parts of the mean: the loss has no `reduction` by which to ask for them."""

    def parts(*args: Any, **kwargs: Any) -> Any:
        output = function(*args, **kwargs).output
        ops = importlib.import_module(f"xloss.ops.{framework}")
        (output, _) = ops.validate_and_upcast(output=output)
        return ops.reduce(-output, arguments.PARTS, None)

    return parts


def of_catalogue(framework: str) -> Callable[..., Any]:
    """Return a function that calls the public loss, which the catalogue makes of the one here."""
    return lambda *args, **kwargs: getattr(LOSSES["adaptive_log_softmax_with_loss"], framework)(*args, **kwargs)


_TWINS = {"torch": torch_adaptive_log_softmax_with_loss, "jax": jax_adaptive_log_softmax_with_loss}
for _framework, _function in _TWINS.items():
    vars(_function)["__xloss_parts__"] = sum_and_count(of_catalogue(_framework), _framework)


def wrap_call(function, framework):
    def call(input, target, head_weight, tail0_projection, tail0_weight, tail1_projection=None, tail1_weight=None,
             head_bias=None, cutoffs=(1, 3), reduction="mean"):  # fmt: skip
        """Take the clusters' arrays by name; the sum is the mean times the number of rows."""
        tails = [(tail0_projection, tail0_weight), (tail1_projection, tail1_weight)][: len(cutoffs) - 1]
        output, loss = function(input, target, head_weight, tails, cutoffs, head_bias)
        if reduction == "none":
            return -output
        rows = input.shape[0] if input.ndim > 1 else 1
        total = loss * rows if rows else output.sum()
        if reduction is arguments.PARTS:
            return total, 0 * loss.sum() + rows
        return total if reduction == "sum" else loss

    # `sum_and_denominator` recognizes a loss by this.
    call.__xloss__ = "adaptive_log_softmax_with_loss"  # type: ignore[attr-defined]
    return call


def confident(function):
    """Return the loss of class 0, whose logit in the head is greater by 20, in float32."""
    import torch

    weight = torch.tensor([[20.0], [0.0]])
    tail = (torch.zeros(1, 1), torch.zeros(2, 1))
    return -float(function(torch.ones(1, 1), torch.tensor([0]), weight, [tail], (1, 3)).output)


def torch_module(input, target, head_weight, tail_weights, cutoffs, head_bias=None):
    """Call torch.nn's module with these parameters."""
    import torch

    module = torch.nn.AdaptiveLogSoftmaxWithLoss(
        head_weight.shape[1], cutoffs[-1], cutoffs[:-1], div_value=1.0, head_bias=head_bias is not None
    )
    given = {"head.weight": head_weight, **({} if head_bias is None else {"head.bias": head_bias})}
    for i, (projection, weight) in enumerate(tail_weights):
        # In the module H_i follows from div_value; here it is free.
        module.tail[i][0] = torch.nn.Linear(projection.shape[1], projection.shape[0], bias=False)
        module.tail[i][1] = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        given |= {f"tail.{i}.0.weight": projection, f"tail.{i}.1.weight": weight}
    return torch.func.functional_call(module, given, (input, target))


LOSS = Loss(
    name="adaptive_log_softmax_with_loss",
    summary="log-probability of one of many classes, the rare ones in clusters",
    torch=torch_adaptive_log_softmax_with_loss,
    jax=jax_adaptive_log_softmax_with_loss,
    truth=truth,
    inputs=inputs,
    variants=(
        Variant(shapes=((4, 2),)),
        Variant("clusters", options={"cutoffs": (1, 3, 5)}, tensors=("head_bias",), shapes=((4, 1),)),
        Variant("unbatched", unbatched=True, shapes=((2,),)),
    ),
    arguments=Arguments(
        wrt=("input", "head_weight", "head_bias", "tail0_projection", "tail0_weight", "tail1_projection",
             "tail1_weight"),
        class_axes=lambda argument, rank: rank - 1 if argument == "input" else None,
    ),
    large=((1100, 2),),
    crossed=(crossed.tensor("head_bias"), crossed.option("cutoffs", (2, 4), (1, 2))),
    reductions=("none", "mean"),
    wrap_call=wrap_call,
    peers=(Peer("torch.nn", "torch", wrap_call(torch_module, "torch")),),
    differences=(
        Difference.between("adaptive_log_softmax_with_loss/confident",
                           "logits of the head (20, 0), class 0, float32; exactly 2.06115362e-09",
                           "torch.nn.AdaptiveLogSoftmaxWithLoss", confident, torch_adaptive_log_softmax_with_loss,
                           torch_module, (2.06115362e-09, 0.0), "torch 2.13.0"),
    ),
    class_form=ClassForm("AdaptiveLogSoftmaxWithLoss", parametric=True),
    latex=(
        r"h = \mathrm{input}\,W_{\mathrm{head}}^{\mathsf T} + b_{\mathrm{head}}, \qquad t_i = "
        r"\left(\mathrm{input}\,P_i^{\mathsf T}\right) W_i^{\mathsf T}",
        r"\mathrm{output} = \begin{cases} \log\operatorname{softmax}(h)_{y} & y < c_0 \\ "
        r"\log\operatorname{softmax}(h)_{c_0 + i} + \log\operatorname{softmax}(t_i)_{y - c_i} & c_i \le y < "
        r"c_{i+1} \end{cases}",
        r"\mathrm{loss} = -\frac{1}{N} \sum_{n} \mathrm{output}_n",
    ),
    source="torch.nn.AdaptiveLogSoftmaxWithLoss",
)  # fmt: skip
