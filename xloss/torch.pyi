"""The losses of `xloss.torch` and their types; written by `python -m xloss.modules.stubs`."""

from collections.abc import Callable
from typing import Any, ParamSpec

import torch

from xloss.modules.parametric_torch import AdaptiveLogSoftmaxWithLoss as AdaptiveLogSoftmaxWithLoss
from xloss.modules.parametric_torch import LinearCrossEntropyLoss as LinearCrossEntropyLoss
from xloss.ops.types import Reduction, Tensor

_P = ParamSpec("_P")

def adaptive_log_softmax_with_loss(
    input: Any, target: Any, head_weight: Any, tail_weights: Any, cutoffs: Any, head_bias: Any = None
) -> Any:
    """Log-probability of one of many classes, the rare ones in clusters."""

def binary_cross_entropy(input: Any, target: Any, weight: Any = None, reduction: Any = "mean") -> Any:
    """Binary cross entropy of probabilities."""

def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: Any = "mean", pos_weight: Any = None
) -> Any:
    """Binary cross entropy of logits."""

def charbonnier_loss(input: Any, target: Any, eps: Any = 0.001, reduction: Any = "mean") -> Any:
    """The absolute error, rounded off near 0."""

def circle_loss(input: Any, target: Any, m: Any = 0.4, gamma: Any = 80.0, reduction: Any = "mean") -> Any:
    """Of pairs of embeddings, weighted by how far each is from where it ought to be."""

def cosine_embedding_loss(input1: Any, input2: Any, target: Any, margin: Any = 0, reduction: Any = "mean") -> Any:
    """1 - cosine of vectors that ought to be alike, cosine above a margin of others."""

def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: Any = -100,
    reduction: Any = "mean",
    label_smoothing: Any = 0.0,
) -> Any:
    """Cross entropy of logits with class indices or probabilities."""

def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: Any = 0,
    reduction: Any = "mean",
    zero_infinity: Any = False,
) -> Any:
    """Connectionist temporal classification: minus the log-probability of a target, over all alignments."""

def detached_squared_error(input: Any, target: Any, reduction: Any = "mean") -> Any:
    """The error times itself held constant: the value of mse_loss, half its gradient."""

def dice_loss(input: Any, target: Any, reduction: Any = "mean", smooth: Any = 1.0, from_logits: Any = False) -> Any:
    """One minus the Dice coefficient of a mask."""

def dpo_loss(
    policy_chosen_logps: Any,
    policy_rejected_logps: Any,
    reference_chosen_logps: Any,
    reference_rejected_logps: Any,
    beta: Any = 0.1,
    label_smoothing: Any = 0.0,
    reduction: Any = "mean",
) -> Any:
    """Direct preference optimization: log-sigmoid of what two answers gained over a reference model."""

def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: Any = False, eps: Any = 1e-06, reduction: Any = "mean"
) -> Any:
    """Negative log-likelihood under normal distributions of given means and variances."""

def hinge_embedding_loss(input: Any, target: Any, margin: Any = 1.0, reduction: Any = "mean") -> Any:
    """A distance, or by how much it fails a margin."""

def hinge_loss(input: Any, target: Any, reduction: Any = "mean") -> Any:
    """By how much the product of score and sign fails 1."""

def huber_loss(
    input: Tensor, target: Tensor, reduction: Reduction = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Half the squared error up to delta, linear beyond."""

def jensen_shannon_loss(
    input: Any, target: Any, reduction: Any = "mean", log_target: Any = False, beta: Any = 0.5
) -> Any:
    """Generalized Jensen-Shannon divergence from log-probabilities."""

def kl_div(input: Any, target: Any, reduction: Any = "mean", log_target: Any = False) -> Any:
    """Kullback-Leibler divergence from log-probabilities."""

def l1_loss(input: Any, target: Any, reduction: Any = "mean", weight: Any = None) -> Any:
    """Absolute error."""

def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: Any = "mean",
    ignore_index: Any = None,
    label_smoothing: Any = 0.0,
    options: Any = None,
    chunk_size: Any = None,
) -> Any:
    """Cross entropy of a linear map's logits, which are never held whole."""

def log_cosh_loss(input: Any, target: Any, reduction: Any = "mean") -> Any:
    """Logarithm of the hyperbolic cosine of the error."""

def margin_ranking_loss(input1: Any, input2: Any, target: Any, margin: Any = 0, reduction: Any = "mean") -> Any:
    """By how much the order of two inputs fails a margin."""

def mse_loss(input: Any, target: Any, reduction: Any = "mean", weight: Any = None) -> Any:
    """Squared error."""

def multi_margin_loss(
    input: Any, target: Any, p: Any = 1, margin: Any = 1.0, weight: Any = None, reduction: Any = "mean"
) -> Any:
    """Multi-class hinge: how much closer than the margin the other classes come to the target's."""

def multilabel_margin_loss(input: Any, target: Any, reduction: Any = "mean") -> Any:
    """Multi-label hinge: how much closer than 1 the classes that are not labels come to those that are."""

def multilabel_soft_margin_loss(input: Any, target: Any, weight: Any = None, reduction: Any = "mean") -> Any:
    """Binary cross entropy of logits, averaged over the classes."""

def negative_cosine_stopgrad_loss(input: Any, target: Any, reduction: Any = "mean") -> Any:
    """Minus the cosine of a prediction and a target that is held constant."""

def nll_loss(input: Any, target: Any, weight: Any = None, ignore_index: Any = -100, reduction: Any = "mean") -> Any:
    """Minus the log-probability of the target's class."""

def ntxent_loss(input: Any, target: Any, temperature: Any = 0.07, reduction: Any = "mean") -> Any:
    """Cross entropy of the cosines of an embedding's positive pair among those of its negatives."""

def poisson_nll_loss(
    input: Any, target: Any, log_input: Any = True, full: Any = False, eps: Any = 1e-08, reduction: Any = "mean"
) -> Any:
    """Negative log-likelihood of counts under a Poisson distribution."""

def poly_loss(input: Any, target: Any, ignore_index: Any = -100, reduction: Any = "mean", epsilon: Any = 1.0) -> Any:
    """Cross entropy whose term 1 - p counts epsilon more."""

def quantile_loss(input: Any, target: Any, quantile: Any = 0.5, reduction: Any = "mean") -> Any:
    """Absolute error with a weight for either side."""

def self_distillation_loss(input: Any, target: Any, reduction: Any = "mean", temperature: Any = 1.0) -> Any:
    """Divergence of a student's logits from a teacher's, held constant, at a temperature."""

def sigmoid_focal_loss(input: Any, target: Any, alpha: Any = 0.25, gamma: Any = 2.0, reduction: Any = "mean") -> Any:
    """Binary cross entropy of logits times (1 - p_t)^gamma, balanced by alpha."""

def smooth_l1_loss(input: Any, target: Any, reduction: Any = "mean", beta: Any = 1.0) -> Any:
    """Squared error below beta, absolute error above."""

def soft_margin_loss(input: Any, target: Any, reduction: Any = "mean") -> Any:
    """Logistic loss of a score and a sign."""

def softmax_focal_loss(
    input: Any, target: Any, weight: Any = None, ignore_index: Any = -100, reduction: Any = "mean", gamma: Any = 2.0
) -> Any:
    """Cross entropy times (1 - p)^gamma: what is right already counts less."""

def sparsemax_loss(input: Any, target: Any, ignore_index: Any = -100, reduction: Any = "mean") -> Any:
    """What cross entropy is to softmax, for the projection onto the simplex."""

def squared_hinge_loss(input: Any, target: Any, reduction: Any = "mean") -> Any:
    """Square of by how much the product of score and sign fails 1."""

def td_semi_gradient_loss(
    input: Any, reward: Any, next_value: Any, done: Any = None, discount: Any = 0.99, reduction: Any = "mean"
) -> Any:
    """Half the squared temporal-difference error, its bootstrapped target held constant."""

def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: Any = 1.0,
    p: Any = 2,
    eps: Any = 1e-06,
    swap: Any = False,
    reduction: Any = "mean",
) -> Any:
    """By how much a positive example fails to be nearer than a negative one."""

def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Any = None,
    margin: Any = 1.0,
    swap: Any = False,
    reduction: Any = "mean",
) -> Any:
    """The triplet loss with a distance of one's own."""

def tversky_loss(
    input: Any,
    target: Any,
    reduction: Any = "mean",
    alpha: Any = 0.5,
    beta: Any = 0.5,
    smooth: Any = 1.0,
    from_logits: Any = False,
) -> Any:
    """One minus the Tversky index of a mask: Dice with a weight for each kind of error."""

def vq_commitment_loss(input: Any, quantized: Any, beta: Any = 0.25, reduction: Any = "mean") -> Any:
    """The two squared errors of vector quantization, codes and encoder held in turn."""

def wing_loss(input: Any, target: Any, omega: Any = 10.0, epsilon: Any = 2.0, reduction: Any = "mean") -> Any:
    """Logarithmic in the error up to omega, linear beyond."""

def z_loss(input: Any, target: Any, ignore_index: Any = -100, reduction: Any = "mean", z_weight: Any = 0.0001) -> Any:
    """Cross entropy plus z_weight times the square of logsumexp."""

def sum_and_denominator(loss: Callable[_P, Tensor], *args: _P.args, **kwargs: _P.kwargs) -> tuple[Tensor, Tensor]:
    """Give the two parts of a loss's mean, `sum` and `denominator`, in the dtype of computation (float32 at least)."""

class BCELoss(torch.nn.Module):
    """Binary cross entropy of probabilities."""

    weight: Any
    reduction: Any
    def __init__(self, weight: Any = None, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class BCEWithLogitsLoss(torch.nn.Module):
    """Binary cross entropy of logits."""

    weight: Any
    reduction: Any
    pos_weight: Any
    def __init__(self, weight: Any = None, reduction: Any = "mean", pos_weight: Any = None) -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class CharbonnierLoss(torch.nn.Module):
    """The absolute error, rounded off near 0."""

    eps: Any
    reduction: Any
    def __init__(self, eps: Any = 0.001, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class CircleLoss(torch.nn.Module):
    """Of pairs of embeddings, weighted by how far each is from where it ought to be."""

    m: Any
    gamma: Any
    reduction: Any
    def __init__(self, m: Any = 0.4, gamma: Any = 80.0, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class CosineEmbeddingLoss(torch.nn.Module):
    """1 - cosine of vectors that ought to be alike, cosine above a margin of others."""

    margin: Any
    reduction: Any
    def __init__(self, margin: Any = 0, reduction: Any = "mean") -> None: ...
    def forward(self, input1: Any, input2: Any, target: Any) -> Any: ...
    def __call__(self, input1: Any, input2: Any, target: Any) -> Any: ...

class CrossEntropyLoss(torch.nn.Module):
    """Cross entropy of logits with class indices or probabilities."""

    weight: Any
    ignore_index: Any
    reduction: Any
    label_smoothing: Any
    def __init__(
        self, weight: Any = None, ignore_index: Any = -100, reduction: Any = "mean", label_smoothing: Any = 0.0
    ) -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class CTCLoss(torch.nn.Module):
    """Connectionist temporal classification: minus the log-probability of a target, over all alignments."""

    blank: Any
    reduction: Any
    zero_infinity: Any
    def __init__(self, blank: Any = 0, reduction: Any = "mean", zero_infinity: Any = False) -> None: ...
    def forward(self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any) -> Any: ...
    def __call__(self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any) -> Any: ...

class DetachedSquaredError(torch.nn.Module):
    """The error times itself held constant: the value of mse_loss, half its gradient."""

    reduction: Any
    def __init__(self, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class DiceLoss(torch.nn.Module):
    """One minus the Dice coefficient of a mask."""

    reduction: Any
    smooth: Any
    from_logits: Any
    def __init__(self, reduction: Any = "mean", smooth: Any = 1.0, from_logits: Any = False) -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class DpoLoss(torch.nn.Module):
    """Direct preference optimization: log-sigmoid of what two answers gained over a reference model."""

    beta: Any
    label_smoothing: Any
    reduction: Any
    def __init__(self, beta: Any = 0.1, label_smoothing: Any = 0.0, reduction: Any = "mean") -> None: ...
    def forward(
        self,
        policy_chosen_logps: Any,
        policy_rejected_logps: Any,
        reference_chosen_logps: Any,
        reference_rejected_logps: Any,
    ) -> Any: ...
    def __call__(
        self,
        policy_chosen_logps: Any,
        policy_rejected_logps: Any,
        reference_chosen_logps: Any,
        reference_rejected_logps: Any,
    ) -> Any: ...

class GaussianNLLLoss(torch.nn.Module):
    """Negative log-likelihood under normal distributions of given means and variances."""

    full: Any
    eps: Any
    reduction: Any
    def __init__(self, *, full: Any = False, eps: Any = 1e-06, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any, var: Any) -> Any: ...
    def __call__(self, input: Any, target: Any, var: Any) -> Any: ...

class HingeEmbeddingLoss(torch.nn.Module):
    """A distance, or by how much it fails a margin."""

    margin: Any
    reduction: Any
    def __init__(self, margin: Any = 1.0, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class HingeLoss(torch.nn.Module):
    """By how much the product of score and sign fails 1."""

    reduction: Any
    def __init__(self, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class HuberLoss(torch.nn.Module):
    """Half the squared error up to delta, linear beyond."""

    reduction: Reduction
    delta: float
    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None: ...
    def forward(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor: ...
    def __call__(self, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor: ...

class JensenShannonLoss(torch.nn.Module):
    """Generalized Jensen-Shannon divergence from log-probabilities."""

    reduction: Any
    log_target: Any
    beta: Any
    def __init__(self, reduction: Any = "mean", log_target: Any = False, beta: Any = 0.5) -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class KLDivLoss(torch.nn.Module):
    """Kullback-Leibler divergence from log-probabilities."""

    reduction: Any
    log_target: Any
    def __init__(self, reduction: Any = "mean", log_target: Any = False) -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class L1Loss(torch.nn.Module):
    """Absolute error."""

    reduction: Any
    def __init__(self, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any, weight: Any = None) -> Any: ...
    def __call__(self, input: Any, target: Any, weight: Any = None) -> Any: ...

class LogCoshLoss(torch.nn.Module):
    """Logarithm of the hyperbolic cosine of the error."""

    reduction: Any
    def __init__(self, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class MarginRankingLoss(torch.nn.Module):
    """By how much the order of two inputs fails a margin."""

    margin: Any
    reduction: Any
    def __init__(self, margin: Any = 0, reduction: Any = "mean") -> None: ...
    def forward(self, input1: Any, input2: Any, target: Any) -> Any: ...
    def __call__(self, input1: Any, input2: Any, target: Any) -> Any: ...

class MSELoss(torch.nn.Module):
    """Squared error."""

    reduction: Any
    def __init__(self, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any, weight: Any = None) -> Any: ...
    def __call__(self, input: Any, target: Any, weight: Any = None) -> Any: ...

class MultiMarginLoss(torch.nn.Module):
    """Multi-class hinge: how much closer than the margin the other classes come to the target's."""

    p: Any
    margin: Any
    weight: Any
    reduction: Any
    def __init__(self, p: Any = 1, margin: Any = 1.0, weight: Any = None, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class MultiLabelMarginLoss(torch.nn.Module):
    """Multi-label hinge: how much closer than 1 the classes that are not labels come to those that are."""

    reduction: Any
    def __init__(self, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class MultiLabelSoftMarginLoss(torch.nn.Module):
    """Binary cross entropy of logits, averaged over the classes."""

    weight: Any
    reduction: Any
    def __init__(self, weight: Any = None, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class NegativeCosineStopgradLoss(torch.nn.Module):
    """Minus the cosine of a prediction and a target that is held constant."""

    reduction: Any
    def __init__(self, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class NLLLoss(torch.nn.Module):
    """Minus the log-probability of the target's class."""

    weight: Any
    ignore_index: Any
    reduction: Any
    def __init__(self, weight: Any = None, ignore_index: Any = -100, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class NTXentLoss(torch.nn.Module):
    """Cross entropy of the cosines of an embedding's positive pair among those of its negatives."""

    temperature: Any
    reduction: Any
    def __init__(self, temperature: Any = 0.07, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class PoissonNLLLoss(torch.nn.Module):
    """Negative log-likelihood of counts under a Poisson distribution."""

    log_input: Any
    full: Any
    eps: Any
    reduction: Any
    def __init__(self, log_input: Any = True, full: Any = False, eps: Any = 1e-08, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class PolyLoss(torch.nn.Module):
    """Cross entropy whose term 1 - p counts epsilon more."""

    ignore_index: Any
    reduction: Any
    epsilon: Any
    def __init__(self, ignore_index: Any = -100, reduction: Any = "mean", epsilon: Any = 1.0) -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class QuantileLoss(torch.nn.Module):
    """Absolute error with a weight for either side."""

    quantile: Any
    reduction: Any
    def __init__(self, quantile: Any = 0.5, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SelfDistillationLoss(torch.nn.Module):
    """Divergence of a student's logits from a teacher's, held constant, at a temperature."""

    reduction: Any
    temperature: Any
    def __init__(self, reduction: Any = "mean", temperature: Any = 1.0) -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SigmoidFocalLoss(torch.nn.Module):
    """Binary cross entropy of logits times (1 - p_t)^gamma, balanced by alpha."""

    alpha: Any
    gamma: Any
    reduction: Any
    def __init__(self, alpha: Any = 0.25, gamma: Any = 2.0, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SmoothL1Loss(torch.nn.Module):
    """Squared error below beta, absolute error above."""

    reduction: Any
    beta: Any
    def __init__(self, reduction: Any = "mean", beta: Any = 1.0) -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SoftMarginLoss(torch.nn.Module):
    """Logistic loss of a score and a sign."""

    reduction: Any
    def __init__(self, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SoftmaxFocalLoss(torch.nn.Module):
    """Cross entropy times (1 - p)^gamma: what is right already counts less."""

    weight: Any
    ignore_index: Any
    reduction: Any
    gamma: Any
    def __init__(
        self, weight: Any = None, ignore_index: Any = -100, reduction: Any = "mean", gamma: Any = 2.0
    ) -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SparsemaxLoss(torch.nn.Module):
    """What cross entropy is to softmax, for the projection onto the simplex."""

    ignore_index: Any
    reduction: Any
    def __init__(self, ignore_index: Any = -100, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SquaredHingeLoss(torch.nn.Module):
    """Square of by how much the product of score and sign fails 1."""

    reduction: Any
    def __init__(self, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class TdSemiGradientLoss(torch.nn.Module):
    """Half the squared temporal-difference error, its bootstrapped target held constant."""

    done: Any
    discount: Any
    reduction: Any
    def __init__(self, done: Any = None, discount: Any = 0.99, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, reward: Any, next_value: Any) -> Any: ...
    def __call__(self, input: Any, reward: Any, next_value: Any) -> Any: ...

class TripletMarginLoss(torch.nn.Module):
    """By how much a positive example fails to be nearer than a negative one."""

    margin: Any
    p: Any
    eps: Any
    swap: Any
    reduction: Any
    def __init__(
        self, margin: Any = 1.0, p: Any = 2, eps: Any = 1e-06, swap: Any = False, reduction: Any = "mean"
    ) -> None: ...
    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any: ...
    def __call__(self, anchor: Any, positive: Any, negative: Any) -> Any: ...

class TripletMarginWithDistanceLoss(torch.nn.Module):
    """The triplet loss with a distance of one's own."""

    distance_function: Any
    margin: Any
    swap: Any
    reduction: Any
    def __init__(
        self, *, distance_function: Any = None, margin: Any = 1.0, swap: Any = False, reduction: Any = "mean"
    ) -> None: ...
    def forward(self, anchor: Any, positive: Any, negative: Any) -> Any: ...
    def __call__(self, anchor: Any, positive: Any, negative: Any) -> Any: ...

class TverskyLoss(torch.nn.Module):
    """One minus the Tversky index of a mask: Dice with a weight for each kind of error."""

    reduction: Any
    alpha: Any
    beta: Any
    smooth: Any
    from_logits: Any
    def __init__(
        self, reduction: Any = "mean", alpha: Any = 0.5, beta: Any = 0.5, smooth: Any = 1.0, from_logits: Any = False
    ) -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class VqCommitmentLoss(torch.nn.Module):
    """The two squared errors of vector quantization, codes and encoder held in turn."""

    beta: Any
    reduction: Any
    def __init__(self, beta: Any = 0.25, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, quantized: Any) -> Any: ...
    def __call__(self, input: Any, quantized: Any) -> Any: ...

class WingLoss(torch.nn.Module):
    """Logarithmic in the error up to omega, linear beyond."""

    omega: Any
    epsilon: Any
    reduction: Any
    def __init__(self, omega: Any = 10.0, epsilon: Any = 2.0, reduction: Any = "mean") -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class ZLoss(torch.nn.Module):
    """Cross entropy plus z_weight times the square of logsumexp."""

    ignore_index: Any
    reduction: Any
    z_weight: Any
    def __init__(self, ignore_index: Any = -100, reduction: Any = "mean", z_weight: Any = 0.0001) -> None: ...
    def forward(self, input: Any, target: Any) -> Any: ...
    def __call__(self, input: Any, target: Any) -> Any: ...
