"""The losses of `xloss.jax` and their types; written by `python -m xloss.modules.stubs`."""

from collections.abc import Callable
from typing import Any, Final, ParamSpec

from xloss.modules.parametric_jax import AdaptiveLogSoftmaxWithLoss as AdaptiveLogSoftmaxWithLoss
from xloss.modules.parametric_jax import LinearCrossEntropyLoss as LinearCrossEntropyLoss
from xloss.ops.types import Array, ArrayLike, Reduction

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
    input: ArrayLike,
    target: ArrayLike,
    reduction: Reduction = "mean",
    delta: float = 1.0,
    weight: ArrayLike | None = None,
) -> Array:
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

def sum_and_denominator(loss: Callable[_P, Array], *args: _P.args, **kwargs: _P.kwargs) -> tuple[Array, Array]:
    """Give the two parts of a loss's mean, `sum` and `denominator`, in the dtype of computation (float32 at least)."""

class BCELoss:
    """Binary cross entropy of probabilities."""

    weight: Final[Any]
    reduction: Final[Any]
    def __init__(self, weight: Any = None, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class BCEWithLogitsLoss:
    """Binary cross entropy of logits."""

    weight: Final[Any]
    reduction: Final[Any]
    pos_weight: Final[Any]
    def __init__(self, weight: Any = None, reduction: Any = "mean", pos_weight: Any = None) -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class CharbonnierLoss:
    """The absolute error, rounded off near 0."""

    eps: Final[Any]
    reduction: Final[Any]
    def __init__(self, eps: Any = 0.001, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class CircleLoss:
    """Of pairs of embeddings, weighted by how far each is from where it ought to be."""

    m: Final[Any]
    gamma: Final[Any]
    reduction: Final[Any]
    def __init__(self, m: Any = 0.4, gamma: Any = 80.0, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class CosineEmbeddingLoss:
    """1 - cosine of vectors that ought to be alike, cosine above a margin of others."""

    margin: Final[Any]
    reduction: Final[Any]
    def __init__(self, margin: Any = 0, reduction: Any = "mean") -> None: ...
    def __call__(self, input1: Any, input2: Any, target: Any) -> Any: ...

class CrossEntropyLoss:
    """Cross entropy of logits with class indices or probabilities."""

    weight: Final[Any]
    ignore_index: Final[Any]
    reduction: Final[Any]
    label_smoothing: Final[Any]
    def __init__(
        self, weight: Any = None, ignore_index: Any = -100, reduction: Any = "mean", label_smoothing: Any = 0.0
    ) -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class CTCLoss:
    """Connectionist temporal classification: minus the log-probability of a target, over all alignments."""

    blank: Final[Any]
    reduction: Final[Any]
    zero_infinity: Final[Any]
    def __init__(self, blank: Any = 0, reduction: Any = "mean", zero_infinity: Any = False) -> None: ...
    def __call__(self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any) -> Any: ...

class DetachedSquaredError:
    """The error times itself held constant: the value of mse_loss, half its gradient."""

    reduction: Final[Any]
    def __init__(self, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class DiceLoss:
    """One minus the Dice coefficient of a mask."""

    reduction: Final[Any]
    smooth: Final[Any]
    from_logits: Final[Any]
    def __init__(self, reduction: Any = "mean", smooth: Any = 1.0, from_logits: Any = False) -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class DpoLoss:
    """Direct preference optimization: log-sigmoid of what two answers gained over a reference model."""

    beta: Final[Any]
    label_smoothing: Final[Any]
    reduction: Final[Any]
    def __init__(self, beta: Any = 0.1, label_smoothing: Any = 0.0, reduction: Any = "mean") -> None: ...
    def __call__(
        self,
        policy_chosen_logps: Any,
        policy_rejected_logps: Any,
        reference_chosen_logps: Any,
        reference_rejected_logps: Any,
    ) -> Any: ...

class GaussianNLLLoss:
    """Negative log-likelihood under normal distributions of given means and variances."""

    full: Final[Any]
    eps: Final[Any]
    reduction: Final[Any]
    def __init__(self, *, full: Any = False, eps: Any = 1e-06, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any, var: Any) -> Any: ...

class HingeEmbeddingLoss:
    """A distance, or by how much it fails a margin."""

    margin: Final[Any]
    reduction: Final[Any]
    def __init__(self, margin: Any = 1.0, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class HingeLoss:
    """By how much the product of score and sign fails 1."""

    reduction: Final[Any]
    def __init__(self, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class HuberLoss:
    """Half the squared error up to delta, linear beyond."""

    reduction: Final[Reduction]
    delta: Final[float]
    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None) -> Array: ...

class JensenShannonLoss:
    """Generalized Jensen-Shannon divergence from log-probabilities."""

    reduction: Final[Any]
    log_target: Final[Any]
    beta: Final[Any]
    def __init__(self, reduction: Any = "mean", log_target: Any = False, beta: Any = 0.5) -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class KLDivLoss:
    """Kullback-Leibler divergence from log-probabilities."""

    reduction: Final[Any]
    log_target: Final[Any]
    def __init__(self, reduction: Any = "mean", log_target: Any = False) -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class L1Loss:
    """Absolute error."""

    reduction: Final[Any]
    def __init__(self, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any, weight: Any = None) -> Any: ...

class LogCoshLoss:
    """Logarithm of the hyperbolic cosine of the error."""

    reduction: Final[Any]
    def __init__(self, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class MarginRankingLoss:
    """By how much the order of two inputs fails a margin."""

    margin: Final[Any]
    reduction: Final[Any]
    def __init__(self, margin: Any = 0, reduction: Any = "mean") -> None: ...
    def __call__(self, input1: Any, input2: Any, target: Any) -> Any: ...

class MSELoss:
    """Squared error."""

    reduction: Final[Any]
    def __init__(self, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any, weight: Any = None) -> Any: ...

class MultiMarginLoss:
    """Multi-class hinge: how much closer than the margin the other classes come to the target's."""

    p: Final[Any]
    margin: Final[Any]
    weight: Final[Any]
    reduction: Final[Any]
    def __init__(self, p: Any = 1, margin: Any = 1.0, weight: Any = None, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class MultiLabelMarginLoss:
    """Multi-label hinge: how much closer than 1 the classes that are not labels come to those that are."""

    reduction: Final[Any]
    def __init__(self, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class MultiLabelSoftMarginLoss:
    """Binary cross entropy of logits, averaged over the classes."""

    weight: Final[Any]
    reduction: Final[Any]
    def __init__(self, weight: Any = None, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class NegativeCosineStopgradLoss:
    """Minus the cosine of a prediction and a target that is held constant."""

    reduction: Final[Any]
    def __init__(self, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class NLLLoss:
    """Minus the log-probability of the target's class."""

    weight: Final[Any]
    ignore_index: Final[Any]
    reduction: Final[Any]
    def __init__(self, weight: Any = None, ignore_index: Any = -100, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class NTXentLoss:
    """Cross entropy of the cosines of an embedding's positive pair among those of its negatives."""

    temperature: Final[Any]
    reduction: Final[Any]
    def __init__(self, temperature: Any = 0.07, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class PoissonNLLLoss:
    """Negative log-likelihood of counts under a Poisson distribution."""

    log_input: Final[Any]
    full: Final[Any]
    eps: Final[Any]
    reduction: Final[Any]
    def __init__(self, log_input: Any = True, full: Any = False, eps: Any = 1e-08, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class PolyLoss:
    """Cross entropy whose term 1 - p counts epsilon more."""

    ignore_index: Final[Any]
    reduction: Final[Any]
    epsilon: Final[Any]
    def __init__(self, ignore_index: Any = -100, reduction: Any = "mean", epsilon: Any = 1.0) -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class QuantileLoss:
    """Absolute error with a weight for either side."""

    quantile: Final[Any]
    reduction: Final[Any]
    def __init__(self, quantile: Any = 0.5, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SelfDistillationLoss:
    """Divergence of a student's logits from a teacher's, held constant, at a temperature."""

    reduction: Final[Any]
    temperature: Final[Any]
    def __init__(self, reduction: Any = "mean", temperature: Any = 1.0) -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SigmoidFocalLoss:
    """Binary cross entropy of logits times (1 - p_t)^gamma, balanced by alpha."""

    alpha: Final[Any]
    gamma: Final[Any]
    reduction: Final[Any]
    def __init__(self, alpha: Any = 0.25, gamma: Any = 2.0, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SmoothL1Loss:
    """Squared error below beta, absolute error above."""

    reduction: Final[Any]
    beta: Final[Any]
    def __init__(self, reduction: Any = "mean", beta: Any = 1.0) -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SoftMarginLoss:
    """Logistic loss of a score and a sign."""

    reduction: Final[Any]
    def __init__(self, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SoftmaxFocalLoss:
    """Cross entropy times (1 - p)^gamma: what is right already counts less."""

    weight: Final[Any]
    ignore_index: Final[Any]
    reduction: Final[Any]
    gamma: Final[Any]
    def __init__(
        self, weight: Any = None, ignore_index: Any = -100, reduction: Any = "mean", gamma: Any = 2.0
    ) -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SparsemaxLoss:
    """What cross entropy is to softmax, for the projection onto the simplex."""

    ignore_index: Final[Any]
    reduction: Final[Any]
    def __init__(self, ignore_index: Any = -100, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class SquaredHingeLoss:
    """Square of by how much the product of score and sign fails 1."""

    reduction: Final[Any]
    def __init__(self, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class TdSemiGradientLoss:
    """Half the squared temporal-difference error, its bootstrapped target held constant."""

    done: Final[Any]
    discount: Final[Any]
    reduction: Final[Any]
    def __init__(self, done: Any = None, discount: Any = 0.99, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, reward: Any, next_value: Any) -> Any: ...

class TripletMarginLoss:
    """By how much a positive example fails to be nearer than a negative one."""

    margin: Final[Any]
    p: Final[Any]
    eps: Final[Any]
    swap: Final[Any]
    reduction: Final[Any]
    def __init__(
        self, margin: Any = 1.0, p: Any = 2, eps: Any = 1e-06, swap: Any = False, reduction: Any = "mean"
    ) -> None: ...
    def __call__(self, anchor: Any, positive: Any, negative: Any) -> Any: ...

class TripletMarginWithDistanceLoss:
    """The triplet loss with a distance of one's own."""

    distance_function: Final[Any]
    margin: Final[Any]
    swap: Final[Any]
    reduction: Final[Any]
    def __init__(
        self, *, distance_function: Any = None, margin: Any = 1.0, swap: Any = False, reduction: Any = "mean"
    ) -> None: ...
    def __call__(self, anchor: Any, positive: Any, negative: Any) -> Any: ...

class TverskyLoss:
    """One minus the Tversky index of a mask: Dice with a weight for each kind of error."""

    reduction: Final[Any]
    alpha: Final[Any]
    beta: Final[Any]
    smooth: Final[Any]
    from_logits: Final[Any]
    def __init__(
        self, reduction: Any = "mean", alpha: Any = 0.5, beta: Any = 0.5, smooth: Any = 1.0, from_logits: Any = False
    ) -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class VqCommitmentLoss:
    """The two squared errors of vector quantization, codes and encoder held in turn."""

    beta: Final[Any]
    reduction: Final[Any]
    def __init__(self, beta: Any = 0.25, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, quantized: Any) -> Any: ...

class WingLoss:
    """Logarithmic in the error up to omega, linear beyond."""

    omega: Final[Any]
    epsilon: Final[Any]
    reduction: Final[Any]
    def __init__(self, omega: Any = 10.0, epsilon: Any = 2.0, reduction: Any = "mean") -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...

class ZLoss:
    """Cross entropy plus z_weight times the square of logsumexp."""

    ignore_index: Final[Any]
    reduction: Final[Any]
    z_weight: Final[Any]
    def __init__(self, ignore_index: Any = -100, reduction: Any = "mean", z_weight: Any = 0.0001) -> None: ...
    def __call__(self, input: Any, target: Any) -> Any: ...
