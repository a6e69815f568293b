"""The losses of `xloss.jax` and their types; written by `python -m xloss.modules.stubs`."""

from collections.abc import Callable, Sequence
from typing import Final, ParamSpec

from xloss.losses.adaptive_log_softmax_with_loss import AdaptiveLogSoftmax
from xloss.losses.linear_cross_entropy import ChunkOptions
from xloss.modules.parametric_jax import AdaptiveLogSoftmaxWithLoss as AdaptiveLogSoftmaxWithLoss
from xloss.modules.parametric_jax import LinearCrossEntropyLoss as LinearCrossEntropyLoss
from xloss.ops.types import Array, ArrayLike, BatchReduction, Reduction

_P = ParamSpec("_P")

def adaptive_log_softmax_with_loss(
    input: ArrayLike,
    target: ArrayLike,
    head_weight: ArrayLike,
    tail_weights: Sequence[Sequence[ArrayLike]],
    cutoffs: Sequence[int],
    head_bias: ArrayLike | None = None,
) -> AdaptiveLogSoftmax:
    """Log-probability of one of many classes, the rare ones in clusters."""

def binary_cross_entropy(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: Reduction = "mean"
) -> Array:
    """Binary cross entropy of probabilities."""

def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    pos_weight: ArrayLike | None = None,
) -> Array:
    """Binary cross entropy of logits."""

def charbonnier_loss(input: ArrayLike, target: ArrayLike, eps: float = 0.001, reduction: Reduction = "mean") -> Array:
    """The absolute error, rounded off near 0."""

def circle_loss(
    input: ArrayLike, target: ArrayLike, m: float = 0.4, gamma: float = 80.0, reduction: Reduction = "mean"
) -> Array:
    """Of pairs of embeddings, weighted by how far their cosine is from its optimum."""

def cosine_embedding_loss(
    input1: ArrayLike, input2: ArrayLike, target: ArrayLike, margin: float = 0, reduction: Reduction = "mean"
) -> Array:
    """1 - cosine of similar pairs, cosine above a margin of dissimilar ones."""

def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
    *,
    backend: str | None = None,
) -> Array:
    """Cross entropy of logits with class indices or probabilities."""

def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike | Sequence[int],
    target_lengths: ArrayLike | Sequence[int],
    blank: int = 0,
    reduction: Reduction = "mean",
    zero_infinity: bool = False,
) -> Array:
    """Connectionist temporal classification: minus the log-probability of a target, over all alignments."""

def detached_squared_error(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    """The error times itself held constant: the value of mse_loss, half its gradient."""

def dice_loss(
    input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", smooth: float = 1.0, from_logits: bool = False
) -> Array:
    """One minus the Dice coefficient of a mask."""

def dpo_loss(
    policy_chosen_logps: ArrayLike,
    policy_rejected_logps: ArrayLike,
    reference_chosen_logps: ArrayLike,
    reference_rejected_logps: ArrayLike,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Array:
    """Direct preference optimization: log-sigmoid of what two answers gained over a reference model."""

def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike | float,
    full: bool = False,
    eps: float = 1e-06,
    reduction: Reduction = "mean",
) -> Array:
    """Negative log-likelihood under normal distributions of given means and variances."""

def hinge_embedding_loss(
    input: ArrayLike, target: ArrayLike, margin: float = 1.0, reduction: Reduction = "mean"
) -> Array:
    """A distance, or the amount by which it falls short of a margin."""

def hinge_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    """The amount by which the product of score and sign falls short of 1."""

def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    reduction: Reduction = "mean",
    delta: float = 1.0,
    weight: ArrayLike | None = None,
) -> Array:
    """Half the squared error up to delta, linear beyond."""

def jensen_shannon_loss(
    input: ArrayLike, target: ArrayLike, reduction: BatchReduction = "mean", log_target: bool = False, beta: float = 0.5
) -> Array:
    """Generalized Jensen-Shannon divergence from log-probabilities."""

def kl_div(input: ArrayLike, target: ArrayLike, reduction: BatchReduction = "mean", log_target: bool = False) -> Array:
    """Kullback-Leibler divergence from log-probabilities."""

def l1_loss(
    input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", weight: ArrayLike | None = None
) -> Array:
    """Absolute error."""

def linear_cross_entropy(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: ChunkOptions | None = None,
    chunk_size: int | None = None,
    backend: str | None = None,
) -> Array:
    """Cross entropy of a linear map's logits, which are never held whole."""

def log_cosh_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    """Logarithm of the hyperbolic cosine of the error."""

def margin_ranking_loss(
    input1: ArrayLike, input2: ArrayLike, target: ArrayLike, margin: float = 0, reduction: Reduction = "mean"
) -> Array:
    """By how much the order of two inputs fails a margin."""

def mse_loss(
    input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", weight: ArrayLike | None = None
) -> Array:
    """Squared error."""

def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    p: int = 1,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> Array:
    """Multi-class hinge: how much closer than the margin the other classes come to the target's."""

def multilabel_margin_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    """Multi-label hinge: how much closer than 1 the classes that are not labels come to those that are."""

def multilabel_soft_margin_loss(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: Reduction = "mean"
) -> Array:
    """Binary cross entropy of logits, averaged over the classes."""

def negative_cosine_stopgrad_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    """Minus the cosine of a prediction and a target that is held constant."""

def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
) -> Array:
    """Minus the log-probability of the target's class."""

def ntxent_loss(input: ArrayLike, target: ArrayLike, temperature: float = 0.07, reduction: Reduction = "mean") -> Array:
    """Cross entropy of the cosines of an embedding's positive pair among those of its negatives."""

def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-08,
    reduction: Reduction = "mean",
) -> Array:
    """Negative log-likelihood of counts under a Poisson distribution."""

def poly_loss(
    input: ArrayLike, target: ArrayLike, ignore_index: int = -100, reduction: Reduction = "mean", epsilon: float = 1.0
) -> Array:
    """Cross entropy whose term 1 - p counts epsilon more."""

def quantile_loss(input: ArrayLike, target: ArrayLike, quantile: float = 0.5, reduction: Reduction = "mean") -> Array:
    """Absolute error, weighted by q or 1 - q according to its sign."""

def self_distillation_loss(
    input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", temperature: float = 1.0
) -> Array:
    """KL divergence of a student's softmax from a constant teacher's, at a temperature."""

def sigmoid_focal_loss(
    input: ArrayLike, target: ArrayLike, alpha: float = 0.25, gamma: float = 2.0, reduction: Reduction = "mean"
) -> Array:
    """Binary cross entropy of logits times (1 - p_t)^gamma, balanced by alpha."""

def smooth_l1_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", beta: float = 1.0) -> Array:
    """Squared error below beta, absolute error above."""

def soft_margin_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    """Logistic loss of a score and a label of 1 or -1."""

def softmax_focal_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    gamma: float = 2.0,
) -> Array:
    """Cross entropy times (1 - p)^gamma: easy examples count less."""

def sparsemax_loss(
    input: ArrayLike, target: ArrayLike, ignore_index: int = -100, reduction: Reduction = "mean"
) -> Array:
    """What cross entropy is to softmax, for the projection onto the probability simplex."""

def squared_hinge_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    """Square of the hinge loss of a score and a label of 1 or -1."""

def td_semi_gradient_loss(
    input: ArrayLike,
    reward: ArrayLike,
    next_value: ArrayLike,
    done: ArrayLike | None = None,
    discount: float = 0.99,
    reduction: Reduction = "mean",
) -> Array:
    """Half the squared temporal-difference error, its bootstrapped target held constant."""

def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-06,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> Array:
    """Asks that an anchor be nearer to a positive example than to a negative one, by a margin."""

def triplet_margin_with_distance_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    distance_function: Callable[[Array, Array], Array] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> Array:
    """The triplet margin loss with a distance function that the caller passes."""

def tversky_loss(
    input: ArrayLike,
    target: ArrayLike,
    reduction: Reduction = "mean",
    alpha: float = 0.5,
    beta: float = 0.5,
    smooth: float = 1.0,
    from_logits: bool = False,
) -> Array:
    """One minus the Tversky index of a mask: Dice with a weight for each kind of error."""

def vq_commitment_loss(
    input: ArrayLike, quantized: ArrayLike, beta: float = 0.25, reduction: Reduction = "mean"
) -> Array:
    """The two squared errors of vector quantization, codes and encoder held constant in turn."""

def wing_loss(
    input: ArrayLike, target: ArrayLike, omega: float = 10.0, epsilon: float = 2.0, reduction: Reduction = "mean"
) -> Array:
    """Logarithmic in the error up to omega, linear beyond."""

def z_loss(
    input: ArrayLike,
    target: ArrayLike,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    z_weight: float = 0.0001,
) -> Array:
    """Cross entropy plus z_weight times the square of logsumexp."""

def sum_and_denominator(loss: Callable[_P, Array], *args: _P.args, **kwargs: _P.kwargs) -> tuple[Array, Array]:
    """Return the two parts of a loss's mean, `sum` and `denominator`, in the dtype of computation (>= float32)."""

class BCELoss:
    """Binary cross entropy of probabilities."""

    weight: Final[ArrayLike | None]
    reduction: Final[Reduction]
    def __init__(self, weight: ArrayLike | None = None, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class BCEWithLogitsLoss:
    """Binary cross entropy of logits."""

    weight: Final[ArrayLike | None]
    reduction: Final[Reduction]
    pos_weight: Final[ArrayLike | None]
    def __init__(
        self, weight: ArrayLike | None = None, reduction: Reduction = "mean", pos_weight: ArrayLike | None = None
    ) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class CharbonnierLoss:
    """The absolute error, rounded off near 0."""

    eps: Final[float]
    reduction: Final[Reduction]
    def __init__(self, eps: float = 0.001, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class CircleLoss:
    """Of pairs of embeddings, weighted by how far their cosine is from its optimum."""

    m: Final[float]
    gamma: Final[float]
    reduction: Final[Reduction]
    def __init__(self, m: float = 0.4, gamma: float = 80.0, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class CosineEmbeddingLoss:
    """1 - cosine of similar pairs, cosine above a margin of dissimilar ones."""

    margin: Final[float]
    reduction: Final[Reduction]
    def __init__(self, margin: float = 0, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike) -> Array: ...

class CrossEntropyLoss:
    """Cross entropy of logits with class indices or probabilities."""

    weight: Final[ArrayLike | None]
    ignore_index: Final[int]
    reduction: Final[Reduction]
    label_smoothing: Final[float]
    backend: Final[str | None]
    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
        *,
        backend: str | None = None,
    ) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class CTCLoss:
    """Connectionist temporal classification: minus the log-probability of a target, over all alignments."""

    blank: Final[int]
    reduction: Final[Reduction]
    zero_infinity: Final[bool]
    def __init__(self, blank: int = 0, reduction: Reduction = "mean", zero_infinity: bool = False) -> None: ...
    def __call__(
        self,
        log_probs: ArrayLike,
        targets: ArrayLike,
        input_lengths: ArrayLike | Sequence[int],
        target_lengths: ArrayLike | Sequence[int],
    ) -> Array: ...

class DetachedSquaredError:
    """The error times itself held constant: the value of mse_loss, half its gradient."""

    reduction: Final[Reduction]
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class DiceLoss:
    """One minus the Dice coefficient of a mask."""

    reduction: Final[Reduction]
    smooth: Final[float]
    from_logits: Final[bool]
    def __init__(self, reduction: Reduction = "mean", smooth: float = 1.0, from_logits: bool = False) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class DpoLoss:
    """Direct preference optimization: log-sigmoid of what two answers gained over a reference model."""

    beta: Final[float]
    label_smoothing: Final[float]
    reduction: Final[Reduction]
    def __init__(self, beta: float = 0.1, label_smoothing: float = 0.0, reduction: Reduction = "mean") -> None: ...
    def __call__(
        self,
        policy_chosen_logps: ArrayLike,
        policy_rejected_logps: ArrayLike,
        reference_chosen_logps: ArrayLike,
        reference_rejected_logps: ArrayLike,
    ) -> Array: ...

class GaussianNLLLoss:
    """Negative log-likelihood under normal distributions of given means and variances."""

    full: Final[bool]
    eps: Final[float]
    reduction: Final[Reduction]
    def __init__(self, *, full: bool = False, eps: float = 1e-06, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike, var: ArrayLike | float) -> Array: ...

class HingeEmbeddingLoss:
    """A distance, or the amount by which it falls short of a margin."""

    margin: Final[float]
    reduction: Final[Reduction]
    def __init__(self, margin: float = 1.0, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class HingeLoss:
    """The amount by which the product of score and sign falls short of 1."""

    reduction: Final[Reduction]
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class HuberLoss:
    """Half the squared error up to delta, linear beyond."""

    reduction: Final[Reduction]
    delta: Final[float]
    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None) -> Array: ...

class JensenShannonLoss:
    """Generalized Jensen-Shannon divergence from log-probabilities."""

    reduction: Final[BatchReduction]
    log_target: Final[bool]
    beta: Final[float]
    def __init__(self, reduction: BatchReduction = "mean", log_target: bool = False, beta: float = 0.5) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class KLDivLoss:
    """Kullback-Leibler divergence from log-probabilities."""

    reduction: Final[BatchReduction]
    log_target: Final[bool]
    def __init__(self, reduction: BatchReduction = "mean", log_target: bool = False) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class L1Loss:
    """Absolute error."""

    reduction: Final[Reduction]
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None) -> Array: ...

class LogCoshLoss:
    """Logarithm of the hyperbolic cosine of the error."""

    reduction: Final[Reduction]
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class MarginRankingLoss:
    """By how much the order of two inputs fails a margin."""

    margin: Final[float]
    reduction: Final[Reduction]
    def __init__(self, margin: float = 0, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike) -> Array: ...

class MSELoss:
    """Squared error."""

    reduction: Final[Reduction]
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None) -> Array: ...

class MultiMarginLoss:
    """Multi-class hinge: how much closer than the margin the other classes come to the target's."""

    p: Final[int]
    margin: Final[float]
    weight: Final[ArrayLike | None]
    reduction: Final[Reduction]
    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None, reduction: Reduction = "mean"
    ) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class MultiLabelMarginLoss:
    """Multi-label hinge: how much closer than 1 the classes that are not labels come to those that are."""

    reduction: Final[Reduction]
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class MultiLabelSoftMarginLoss:
    """Binary cross entropy of logits, averaged over the classes."""

    weight: Final[ArrayLike | None]
    reduction: Final[Reduction]
    def __init__(self, weight: ArrayLike | None = None, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class NegativeCosineStopgradLoss:
    """Minus the cosine of a prediction and a target that is held constant."""

    reduction: Final[Reduction]
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class NLLLoss:
    """Minus the log-probability of the target's class."""

    weight: Final[ArrayLike | None]
    ignore_index: Final[int]
    reduction: Final[Reduction]
    def __init__(
        self, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: Reduction = "mean"
    ) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class NTXentLoss:
    """Cross entropy of the cosines of an embedding's positive pair among those of its negatives."""

    temperature: Final[float]
    reduction: Final[Reduction]
    def __init__(self, temperature: float = 0.07, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class PoissonNLLLoss:
    """Negative log-likelihood of counts under a Poisson distribution."""

    log_input: Final[bool]
    full: Final[bool]
    eps: Final[float]
    reduction: Final[Reduction]
    def __init__(
        self, log_input: bool = True, full: bool = False, eps: float = 1e-08, reduction: Reduction = "mean"
    ) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class PolyLoss:
    """Cross entropy whose term 1 - p counts epsilon more."""

    ignore_index: Final[int]
    reduction: Final[Reduction]
    epsilon: Final[float]
    def __init__(self, ignore_index: int = -100, reduction: Reduction = "mean", epsilon: float = 1.0) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class QuantileLoss:
    """Absolute error, weighted by q or 1 - q according to its sign."""

    quantile: Final[float]
    reduction: Final[Reduction]
    def __init__(self, quantile: float = 0.5, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class SelfDistillationLoss:
    """KL divergence of a student's softmax from a constant teacher's, at a temperature."""

    reduction: Final[Reduction]
    temperature: Final[float]
    def __init__(self, reduction: Reduction = "mean", temperature: float = 1.0) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class SigmoidFocalLoss:
    """Binary cross entropy of logits times (1 - p_t)^gamma, balanced by alpha."""

    alpha: Final[float]
    gamma: Final[float]
    reduction: Final[Reduction]
    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class SmoothL1Loss:
    """Squared error below beta, absolute error above."""

    reduction: Final[Reduction]
    beta: Final[float]
    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class SoftMarginLoss:
    """Logistic loss of a score and a label of 1 or -1."""

    reduction: Final[Reduction]
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class SoftmaxFocalLoss:
    """Cross entropy times (1 - p)^gamma: easy examples count less."""

    weight: Final[ArrayLike | None]
    ignore_index: Final[int]
    reduction: Final[Reduction]
    gamma: Final[float]
    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        gamma: float = 2.0,
    ) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class SparsemaxLoss:
    """What cross entropy is to softmax, for the projection onto the probability simplex."""

    ignore_index: Final[int]
    reduction: Final[Reduction]
    def __init__(self, ignore_index: int = -100, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class SquaredHingeLoss:
    """Square of the hinge loss of a score and a label of 1 or -1."""

    reduction: Final[Reduction]
    def __init__(self, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class TdSemiGradientLoss:
    """Half the squared temporal-difference error, its bootstrapped target held constant."""

    done: Final[ArrayLike | None]
    discount: Final[float]
    reduction: Final[Reduction]
    def __init__(
        self, done: ArrayLike | None = None, discount: float = 0.99, reduction: Reduction = "mean"
    ) -> None: ...
    def __call__(self, input: ArrayLike, reward: ArrayLike, next_value: ArrayLike) -> Array: ...

class TripletMarginLoss:
    """Asks that an anchor be nearer to a positive example than to a negative one, by a margin."""

    margin: Final[float]
    p: Final[float]
    eps: Final[float]
    swap: Final[bool]
    reduction: Final[Reduction]
    def __init__(
        self, margin: float = 1.0, p: float = 2, eps: float = 1e-06, swap: bool = False, reduction: Reduction = "mean"
    ) -> None: ...
    def __call__(self, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> Array: ...

class TripletMarginWithDistanceLoss:
    """The triplet margin loss with a distance function that the caller passes."""

    distance_function: Final[Callable[[Array, Array], Array] | None]
    margin: Final[float]
    swap: Final[bool]
    reduction: Final[Reduction]
    def __init__(
        self,
        *,
        distance_function: Callable[[Array, Array], Array] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: Reduction = "mean",
    ) -> None: ...
    def __call__(self, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> Array: ...

class TverskyLoss:
    """One minus the Tversky index of a mask: Dice with a weight for each kind of error."""

    reduction: Final[Reduction]
    alpha: Final[float]
    beta: Final[float]
    smooth: Final[float]
    from_logits: Final[bool]
    def __init__(
        self,
        reduction: Reduction = "mean",
        alpha: float = 0.5,
        beta: float = 0.5,
        smooth: float = 1.0,
        from_logits: bool = False,
    ) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class VqCommitmentLoss:
    """The two squared errors of vector quantization, codes and encoder held constant in turn."""

    beta: Final[float]
    reduction: Final[Reduction]
    def __init__(self, beta: float = 0.25, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, quantized: ArrayLike) -> Array: ...

class WingLoss:
    """Logarithmic in the error up to omega, linear beyond."""

    omega: Final[float]
    epsilon: Final[float]
    reduction: Final[Reduction]
    def __init__(self, omega: float = 10.0, epsilon: float = 2.0, reduction: Reduction = "mean") -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...

class ZLoss:
    """Cross entropy plus z_weight times the square of logsumexp."""

    ignore_index: Final[int]
    reduction: Final[Reduction]
    z_weight: Final[float]
    def __init__(self, ignore_index: int = -100, reduction: Reduction = "mean", z_weight: float = 0.0001) -> None: ...
    def __call__(self, input: ArrayLike, target: ArrayLike) -> Array: ...
