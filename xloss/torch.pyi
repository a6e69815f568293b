"""The losses of `xloss.torch` and their types; written by `python -m xloss.modules.stubs`."""

from collections.abc import Callable, Sequence
from typing import ParamSpec

import torch

from xloss.losses.adaptive_log_softmax_with_loss import AdaptiveLogSoftmax
from xloss.losses.linear_cross_entropy import ChunkOptions
from xloss.modules.parametric_torch import AdaptiveLogSoftmaxWithLoss as AdaptiveLogSoftmaxWithLoss
from xloss.modules.parametric_torch import LinearCrossEntropyLoss as LinearCrossEntropyLoss
from xloss.ops.types import BatchReduction, Reduction, Tensor

_P = ParamSpec("_P")

def adaptive_log_softmax_with_loss(
    input: Tensor,
    target: Tensor,
    head_weight: Tensor,
    tail_weights: Sequence[Sequence[Tensor]],
    cutoffs: Sequence[int],
    head_bias: Tensor | None = None,
) -> AdaptiveLogSoftmax:
    """Log-probability of one of many classes, the rare ones in clusters."""

def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Binary cross entropy of probabilities."""

def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross entropy of logits."""

def charbonnier_loss(input: Tensor, target: Tensor, eps: float = 0.001, reduction: Reduction = "mean") -> Tensor:
    """The absolute error, rounded off near 0."""

def circle_loss(
    input: Tensor, target: Tensor, m: float = 0.4, gamma: float = 80.0, reduction: Reduction = "mean"
) -> Tensor:
    """Of pairs of embeddings, weighted by how far their cosine is from its optimum."""

def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, reduction: Reduction = "mean"
) -> Tensor:
    """1 - cosine of similar pairs, cosine above a margin of dissimilar ones."""

def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    *,
    backend: str | None = None,
) -> Tensor:
    """Cross entropy of logits with class indices or probabilities."""

def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: Reduction = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Connectionist temporal classification: minus the log-probability of a target, over all alignments."""

def detached_squared_error(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """The error times itself held constant: the value of mse_loss, half its gradient."""

def dice_loss(
    input: Tensor, target: Tensor, reduction: Reduction = "mean", smooth: float = 1.0, from_logits: bool = False
) -> Tensor:
    """One minus the Dice coefficient of a mask."""

def dpo_loss(
    policy_chosen_logps: Tensor,
    policy_rejected_logps: Tensor,
    reference_chosen_logps: Tensor,
    reference_rejected_logps: Tensor,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Direct preference optimization: log-sigmoid of what two answers gained over a reference model."""

def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-06,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative log-likelihood under normal distributions of given means and variances."""

def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: Reduction = "mean") -> Tensor:
    """A distance, or the amount by which it falls short of a margin."""

def hinge_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """The amount by which the product of score and sign falls short of 1."""

def huber_loss(
    input: Tensor, target: Tensor, reduction: Reduction = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Half the squared error up to delta, linear beyond."""

def jensen_shannon_loss(
    input: Tensor, target: Tensor, reduction: BatchReduction = "mean", log_target: bool = False, beta: float = 0.5
) -> Tensor:
    """Generalized Jensen-Shannon divergence from log-probabilities."""

def kl_div(input: Tensor, target: Tensor, reduction: BatchReduction = "mean", log_target: bool = False) -> Tensor:
    """Kullback-Leibler divergence from log-probabilities."""

def l1_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean", weight: Tensor | None = None) -> Tensor:
    """Absolute error."""

def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: ChunkOptions | None = None,
    chunk_size: int | None = None,
    backend: str | None = None,
) -> Tensor:
    """Cross entropy of a linear map's logits, which are never held whole."""

def log_cosh_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Logarithm of the hyperbolic cosine of the error."""

def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, reduction: Reduction = "mean"
) -> Tensor:
    """By how much the order of two inputs fails a margin."""

def mse_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean", weight: Tensor | None = None) -> Tensor:
    """Squared error."""

def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Multi-class hinge: how much closer than the margin the other classes come to the target's."""

def multilabel_margin_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Multi-label hinge: how much closer than 1 the classes that are not labels come to those that are."""

def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Binary cross entropy of logits, averaged over the classes."""

def negative_cosine_stopgrad_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Minus the cosine of a prediction and a target that is held constant."""

def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100, reduction: Reduction = "mean"
) -> Tensor:
    """Minus the log-probability of the target's class."""

def ntxent_loss(input: Tensor, target: Tensor, temperature: float = 0.07, reduction: Reduction = "mean") -> Tensor:
    """Cross entropy of the cosines of an embedding's positive pair among those of its negatives."""

def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-08,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative log-likelihood of counts under a Poisson distribution."""

def poly_loss(
    input: Tensor, target: Tensor, ignore_index: int = -100, reduction: Reduction = "mean", epsilon: float = 1.0
) -> Tensor:
    """Cross entropy whose term 1 - p counts epsilon more."""

def quantile_loss(input: Tensor, target: Tensor, quantile: float = 0.5, reduction: Reduction = "mean") -> Tensor:
    """Absolute error, weighted by q or 1 - q according to its sign."""

def self_distillation_loss(
    input: Tensor, target: Tensor, reduction: Reduction = "mean", temperature: float = 1.0
) -> Tensor:
    """KL divergence of a student's softmax from a constant teacher's, at a temperature."""

def sigmoid_focal_loss(
    input: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: Reduction = "mean"
) -> Tensor:
    """Binary cross entropy of logits times (1 - p_t)^gamma, balanced by alpha."""

def smooth_l1_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean", beta: float = 1.0) -> Tensor:
    """Squared error below beta, absolute error above."""

def soft_margin_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Logistic loss of a score and a label of 1 or -1."""

def softmax_focal_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    gamma: float = 2.0,
) -> Tensor:
    """Cross entropy times (1 - p)^gamma: easy examples count less."""

def sparsemax_loss(input: Tensor, target: Tensor, ignore_index: int = -100, reduction: Reduction = "mean") -> Tensor:
    """What cross entropy is to softmax, for the projection onto the probability simplex."""

def squared_hinge_loss(input: Tensor, target: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Square of the hinge loss of a score and a label of 1 or -1."""

def td_semi_gradient_loss(
    input: Tensor,
    reward: Tensor,
    next_value: Tensor,
    done: Tensor | None = None,
    discount: float = 0.99,
    reduction: Reduction = "mean",
) -> Tensor:
    """Half the squared temporal-difference error, its bootstrapped target held constant."""

def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-06,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """Asks that an anchor be nearer to a positive example than to a negative one, by a margin."""

def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """The triplet margin loss with a distance function that the caller passes."""

def tversky_loss(
    input: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
    from_logits: bool = False,
) -> Tensor:
    """One minus the Tversky index of a mask: Dice with a weight for each kind of error."""

def vq_commitment_loss(input: Tensor, quantized: Tensor, beta: float = 0.25, reduction: Reduction = "mean") -> Tensor:
    """The two squared errors of vector quantization, codes and encoder held constant in turn."""

def wing_loss(
    input: Tensor, target: Tensor, omega: float = 10.0, epsilon: float = 2.0, reduction: Reduction = "mean"
) -> Tensor:
    """Logarithmic in the error up to omega, linear beyond."""

def z_loss(
    input: Tensor, target: Tensor, ignore_index: int = -100, reduction: Reduction = "mean", z_weight: float = 0.0001
) -> Tensor:
    """Cross entropy plus z_weight times the square of logsumexp."""

def sum_and_denominator(loss: Callable[_P, Tensor], *args: _P.args, **kwargs: _P.kwargs) -> tuple[Tensor, Tensor]:
    """Return the two parts of a loss's mean, `sum` and `denominator`, in the dtype of computation (>= float32)."""

class BCELoss(torch.nn.Module):
    """Binary cross entropy of probabilities."""

    weight: Tensor | None
    reduction: Reduction
    def __init__(self, weight: Tensor | None = None, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class BCEWithLogitsLoss(torch.nn.Module):
    """Binary cross entropy of logits."""

    weight: Tensor | None
    reduction: Reduction
    pos_weight: Tensor | None
    def __init__(
        self, weight: Tensor | None = None, reduction: Reduction = "mean", pos_weight: Tensor | None = None
    ) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class CharbonnierLoss(torch.nn.Module):
    """The absolute error, rounded off near 0."""

    eps: float
    reduction: Reduction
    def __init__(self, eps: float = 0.001, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class CircleLoss(torch.nn.Module):
    """Of pairs of embeddings, weighted by how far their cosine is from its optimum."""

    m: float
    gamma: float
    reduction: Reduction
    def __init__(self, m: float = 0.4, gamma: float = 80.0, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class CosineEmbeddingLoss(torch.nn.Module):
    """1 - cosine of similar pairs, cosine above a margin of dissimilar ones."""

    margin: float
    reduction: Reduction
    def __init__(self, margin: float = 0, reduction: Reduction = "mean") -> None: ...
    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor: ...

class CrossEntropyLoss(torch.nn.Module):
    """Cross entropy of logits with class indices or probabilities."""

    weight: Tensor | None
    ignore_index: int
    reduction: Reduction
    label_smoothing: float
    backend: str | None
    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
        *,
        backend: str | None = None,
    ) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class CTCLoss(torch.nn.Module):
    """Connectionist temporal classification: minus the log-probability of a target, over all alignments."""

    blank: int
    reduction: Reduction
    zero_infinity: bool
    def __init__(self, blank: int = 0, reduction: Reduction = "mean", zero_infinity: bool = False) -> None: ...
    def forward(
        self,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Tensor | Sequence[int],
        target_lengths: Tensor | Sequence[int],
    ) -> Tensor: ...
    def __call__(
        self,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Tensor | Sequence[int],
        target_lengths: Tensor | Sequence[int],
    ) -> Tensor: ...

class DetachedSquaredError(torch.nn.Module):
    """The error times itself held constant: the value of mse_loss, half its gradient."""

    reduction: Reduction
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class DiceLoss(torch.nn.Module):
    """One minus the Dice coefficient of a mask."""

    reduction: Reduction
    smooth: float
    from_logits: bool
    def __init__(self, reduction: Reduction = "mean", smooth: float = 1.0, from_logits: bool = False) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class DpoLoss(torch.nn.Module):
    """Direct preference optimization: log-sigmoid of what two answers gained over a reference model."""

    beta: float
    label_smoothing: float
    reduction: Reduction
    def __init__(self, beta: float = 0.1, label_smoothing: float = 0.0, reduction: Reduction = "mean") -> None: ...
    def forward(
        self,
        policy_chosen_logps: Tensor,
        policy_rejected_logps: Tensor,
        reference_chosen_logps: Tensor,
        reference_rejected_logps: Tensor,
    ) -> Tensor: ...
    def __call__(
        self,
        policy_chosen_logps: Tensor,
        policy_rejected_logps: Tensor,
        reference_chosen_logps: Tensor,
        reference_rejected_logps: Tensor,
    ) -> Tensor: ...

class GaussianNLLLoss(torch.nn.Module):
    """Negative log-likelihood under normal distributions of given means and variances."""

    full: bool
    eps: float
    reduction: Reduction
    def __init__(self, *, full: bool = False, eps: float = 1e-06, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor: ...

class HingeEmbeddingLoss(torch.nn.Module):
    """A distance, or the amount by which it falls short of a margin."""

    margin: float
    reduction: Reduction
    def __init__(self, margin: float = 1.0, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class HingeLoss(torch.nn.Module):
    """The amount by which the product of score and sign falls short of 1."""

    reduction: Reduction
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class HuberLoss(torch.nn.Module):
    """Half the squared error up to delta, linear beyond."""

    reduction: Reduction
    delta: float
    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None: ...
    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor: ...

class JensenShannonLoss(torch.nn.Module):
    """Generalized Jensen-Shannon divergence from log-probabilities."""

    reduction: BatchReduction
    log_target: bool
    beta: float
    def __init__(self, reduction: BatchReduction = "mean", log_target: bool = False, beta: float = 0.5) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class KLDivLoss(torch.nn.Module):
    """Kullback-Leibler divergence from log-probabilities."""

    reduction: BatchReduction
    log_target: bool
    def __init__(self, reduction: BatchReduction = "mean", log_target: bool = False) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class L1Loss(torch.nn.Module):
    """Absolute error."""

    reduction: Reduction
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor: ...

class LogCoshLoss(torch.nn.Module):
    """Logarithm of the hyperbolic cosine of the error."""

    reduction: Reduction
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class MarginRankingLoss(torch.nn.Module):
    """By how much the order of two inputs fails a margin."""

    margin: float
    reduction: Reduction
    def __init__(self, margin: float = 0, reduction: Reduction = "mean") -> None: ...
    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor: ...

class MSELoss(torch.nn.Module):
    """Squared error."""

    reduction: Reduction
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor: ...

class MultiMarginLoss(torch.nn.Module):
    """Multi-class hinge: how much closer than the margin the other classes come to the target's."""

    p: int
    margin: float
    weight: Tensor | None
    reduction: Reduction
    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Tensor | None = None, reduction: Reduction = "mean"
    ) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class MultiLabelMarginLoss(torch.nn.Module):
    """Multi-label hinge: how much closer than 1 the classes that are not labels come to those that are."""

    reduction: Reduction
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class MultiLabelSoftMarginLoss(torch.nn.Module):
    """Binary cross entropy of logits, averaged over the classes."""

    weight: Tensor | None
    reduction: Reduction
    def __init__(self, weight: Tensor | None = None, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class NegativeCosineStopgradLoss(torch.nn.Module):
    """Minus the cosine of a prediction and a target that is held constant."""

    reduction: Reduction
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class NLLLoss(torch.nn.Module):
    """Minus the log-probability of the target's class."""

    weight: Tensor | None
    ignore_index: int
    reduction: Reduction
    def __init__(
        self, weight: Tensor | None = None, ignore_index: int = -100, reduction: Reduction = "mean"
    ) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class NTXentLoss(torch.nn.Module):
    """Cross entropy of the cosines of an embedding's positive pair among those of its negatives."""

    temperature: float
    reduction: Reduction
    def __init__(self, temperature: float = 0.07, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class PoissonNLLLoss(torch.nn.Module):
    """Negative log-likelihood of counts under a Poisson distribution."""

    log_input: bool
    full: bool
    eps: float
    reduction: Reduction
    def __init__(
        self, log_input: bool = True, full: bool = False, eps: float = 1e-08, reduction: Reduction = "mean"
    ) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class PolyLoss(torch.nn.Module):
    """Cross entropy whose term 1 - p counts epsilon more."""

    ignore_index: int
    reduction: Reduction
    epsilon: float
    def __init__(self, ignore_index: int = -100, reduction: Reduction = "mean", epsilon: float = 1.0) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class QuantileLoss(torch.nn.Module):
    """Absolute error, weighted by q or 1 - q according to its sign."""

    quantile: float
    reduction: Reduction
    def __init__(self, quantile: float = 0.5, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class SelfDistillationLoss(torch.nn.Module):
    """KL divergence of a student's softmax from a constant teacher's, at a temperature."""

    reduction: Reduction
    temperature: float
    def __init__(self, reduction: Reduction = "mean", temperature: float = 1.0) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class SigmoidFocalLoss(torch.nn.Module):
    """Binary cross entropy of logits times (1 - p_t)^gamma, balanced by alpha."""

    alpha: float
    gamma: float
    reduction: Reduction
    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class SmoothL1Loss(torch.nn.Module):
    """Squared error below beta, absolute error above."""

    reduction: Reduction
    beta: float
    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class SoftMarginLoss(torch.nn.Module):
    """Logistic loss of a score and a label of 1 or -1."""

    reduction: Reduction
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class SoftmaxFocalLoss(torch.nn.Module):
    """Cross entropy times (1 - p)^gamma: easy examples count less."""

    weight: Tensor | None
    ignore_index: int
    reduction: Reduction
    gamma: float
    def __init__(
        self, weight: Tensor | None = None, ignore_index: int = -100, reduction: Reduction = "mean", gamma: float = 2.0
    ) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class SparsemaxLoss(torch.nn.Module):
    """What cross entropy is to softmax, for the projection onto the probability simplex."""

    ignore_index: int
    reduction: Reduction
    def __init__(self, ignore_index: int = -100, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class SquaredHingeLoss(torch.nn.Module):
    """Square of the hinge loss of a score and a label of 1 or -1."""

    reduction: Reduction
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class TdSemiGradientLoss(torch.nn.Module):
    """Half the squared temporal-difference error, its bootstrapped target held constant."""

    done: Tensor | None
    discount: float
    reduction: Reduction
    def __init__(self, done: Tensor | None = None, discount: float = 0.99, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, reward: Tensor, next_value: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, reward: Tensor, next_value: Tensor) -> Tensor: ...

class TripletMarginLoss(torch.nn.Module):
    """Asks that an anchor be nearer to a positive example than to a negative one, by a margin."""

    margin: float
    p: float
    eps: float
    swap: bool
    reduction: Reduction
    def __init__(
        self, margin: float = 1.0, p: float = 2, eps: float = 1e-06, swap: bool = False, reduction: Reduction = "mean"
    ) -> None: ...
    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor: ...
    def __call__(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor: ...

class TripletMarginWithDistanceLoss(torch.nn.Module):
    """The triplet margin loss with a distance function that the caller passes."""

    distance_function: Callable[[Tensor, Tensor], Tensor] | None
    margin: float
    swap: bool
    reduction: Reduction
    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: Reduction = "mean",
    ) -> None: ...
    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor: ...
    def __call__(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor: ...

class TverskyLoss(torch.nn.Module):
    """One minus the Tversky index of a mask: Dice with a weight for each kind of error."""

    reduction: Reduction
    alpha: float
    beta: float
    smooth: float
    from_logits: bool
    def __init__(
        self,
        reduction: Reduction = "mean",
        alpha: float = 0.5,
        beta: float = 0.5,
        smooth: float = 1.0,
        from_logits: bool = False,
    ) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class VqCommitmentLoss(torch.nn.Module):
    """The two squared errors of vector quantization, codes and encoder held constant in turn."""

    beta: float
    reduction: Reduction
    def __init__(self, beta: float = 0.25, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, quantized: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, quantized: Tensor) -> Tensor: ...

class WingLoss(torch.nn.Module):
    """Logarithmic in the error up to omega, linear beyond."""

    omega: float
    epsilon: float
    reduction: Reduction
    def __init__(self, omega: float = 10.0, epsilon: float = 2.0, reduction: Reduction = "mean") -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

class ZLoss(torch.nn.Module):
    """Cross entropy plus z_weight times the square of logsumexp."""

    ignore_index: int
    reduction: Reduction
    z_weight: float
    def __init__(self, ignore_index: int = -100, reduction: Reduction = "mean", z_weight: float = 0.0001) -> None: ...
    def forward(self, input: Tensor, target: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...
