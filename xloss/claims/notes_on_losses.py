"""Judge somebody's notes on loss functions: formulas, what each is for, and what it takes."""

from typing import Any

from xloss.claims.model import Claim, Source, Verdict, decide, each, near


def _kink(n: Any) -> Verdict:
    """Differentiable at every nonzero error, however small, and not at 0, where the one-sided slopes differ."""
    left, right = n["slope of |e| left and right of 0"]
    small = near([g for g, e in zip(n["gradient of L1"], n["error"], strict=True) if e], 1)
    return decide(not small and left != right, left != right, "the error is exactly 0: at 1e-30 the slope is still 1")


def _huber(n: Any) -> Verdict:
    """Ratio 1 at every beta, or beta itself at every error."""
    ratios = n["smallest ratio"] + n["largest ratio"]
    condition = "beta = 1: Huber's loss with delta = beta is beta times SmoothL1"
    return decide(near(ratios, 1), near(ratios, 2 * n["beta = delta"]), condition)


def _like_mse(n: Any) -> Verdict:
    """Slopes like MSE's below the threshold and L1's above, exactly or up to the formula's factor."""
    below, above = n["below: smooth / MSE"], near(n["above: smooth / L1"], 1)
    condition = "one allows for the factor 1 / (2 beta), which is 1 at beta = 0.5"
    return decide(
        near(below, 1) and above, near(below, [0.5 / beta for beta in n["beta = delta"]]) and above, condition
    )


def _weighted(n: Any) -> Verdict:
    """The mean over labels divides by the weights; the one over one-hot rows does too, or divides by their number."""
    truth, one_hot = n["sum / sum of weights"], n["cross_entropy, one-hot"]
    labels = near([n["cross_entropy, labels"], n["nll_loss, labels"]], truth, rel=1e-5)
    return decide(
        labels and near(one_hot, truth, rel=1e-5),
        labels and near(one_hot, n["sum / number of rows"], rel=1e-5),
        "targets are class labels: with the same targets as one-hot rows the mean divides by their number",
    )


def _exclude(n: Any) -> Verdict:
    """Neither rows nor logit of the class are trained, or the rows alone are not."""
    ways = ("ignore_index", "weight 0")
    rows = [n[f"{way}: largest gradient in rows of class 0"] for way in ways]
    distances = [n[f"{way}: distance from leaving the rows out"] for way in ways]
    logits = [n[f"{way}: largest gradient of logit 0 in other rows"] for way in ways]
    left_out = near(rows, 0) and near(distances, 0, abs=1e-6)
    condition = "samples of a class are meant: its logit stays in every other sample's softmax"
    return decide(left_out and near(logits, 0), left_out, condition)


CLAIMS = (
    Claim(
        id="notes-on-losses/l1-not-differentiable",
        statement="L1 is not differentiable towards small values.",
        experiment="towards_zero",
        judge=each(_kink),
        expected="holds only if",
        explanation="At an error of 1e-30 the gradient is {torch[gradient of L1][3]:g} like everywhere else; only at "
        "0 do the slopes {torch[slope of |e| left and right of 0]} on the two sides differ. There a convention rules: "
        "autodiff of the absolute value gives {torch[gradient of L1][4]:g} in PyTorch and {jax[gradient of L1][4]:g} "
        "in JAX.",
        faults={
            "a slope that fades": {"gradient of L1": [1.0, 1.0, 0.01, 0.0, 0.0]},
            "no kink at all": {"slope of |e| left and right of 0": [0.0, 0.0]},
        },
    ),
    Claim(
        id="notes-on-losses/smooth-l1-is-huber",
        statement="SmoothL1 is also known as Huber.",
        experiment="huber",
        judge=each(_huber),
        expected="holds only if",
        explanation="For beta = delta = {torch[beta = delta]} the ratio of Huber to SmoothL1 is "
        "{torch[smallest ratio]} at every error, that is beta itself. They coincide at 1, the default of both, and "
        "elsewhere differ by a constant factor that acts like another learning rate.",
        faults={
            "the same at every beta": {"smallest ratio": [1.0, 1.0, 1.0], "largest ratio": [1.0, 1.0, 1.0]},
            "a ratio that depends on the error": {"largest ratio": [0.7, 1.0, 3.0]},
        },
    ),
    Claim(
        id="notes-on-losses/smooth-l1-like-mse",
        statement="SmoothL1 behaves like MSE under a threshold and like L1 otherwise.",
        experiment="huber",
        judge=each(_like_mse),
        expected="holds only if",
        explanation="Above the threshold its gradient is L1's, ratio {torch[above: smooth / L1]}. Below, for beta = "
        "{torch[beta = delta]}, it is {torch[below: smooth / MSE]} of MSE's: the formula has a factor 0.5 / beta that "
        "MSE has not.",
        faults={
            "MSE at every beta": {"below: smooth / MSE": [1.0, 1.0, 1.0]},
            "another slope far out": {"above: smooth / L1": [0.5, 0.5, 0.5]},
        },
    ),
    Claim(
        id="notes-on-losses/nll-takes-probabilities",
        statement="NLLLoss takes the probabilities of the classes.",
        experiment="probabilities",
        judge=each(lambda n: decide(near(n["nll_loss of probabilities"], n["-log of the probability"], rel=1e-3))),
        expected="fails",
        explanation="Given the probabilities 0.9 and 0.01 of the true class it returns "
        "{torch[nll_loss of probabilities][0]:.2f} and {torch[nll_loss of probabilities][5]:.2f}, and given their "
        "logarithms {torch[nll_loss of log-probabilities][0]:.3f} and {torch[nll_loss of log-probabilities][5]:.3f}. "
        "It only picks an entry and negates it; nothing enforces the logarithm, and a negative loss is the only sign.",
        faults={
            "a loss that takes the logarithm": {
                "nll_loss of probabilities": [0.1053605, 0.3566749, 0.6931472, 1.2039728, 2.3025851, 4.6051702]
            }
        },
    ),
    Claim(
        id="notes-on-losses/nll-weighted-mean",
        statement="NLLLoss's mean is the sum of l_n over the sum of w_n.",
        experiment="weighted",
        judge=each(lambda n: decide(near(n["nll_loss, labels"], n["sum / sum of weights"], rel=1e-5))),
        expected="holds",
        explanation="With weights 1, 2 and 5 nll_loss gives {torch[nll_loss, labels]:.6f}, the sum over the sum of "
        "weights, and not {torch[sum / number of rows]:.6f}, the sum over the number of rows. Repeating each row as "
        "often as its weight says gives the same, {torch[rows repeated]:.6f}.",
        faults={"a mean over the number of rows": {"nll_loss, labels": 1.7741146}},
    ),
    Claim(
        id="notes-on-losses/cross-entropy-weighted-mean",
        statement="CrossEntropyLoss's mean is the sum of l_n over the sum of w_n.",
        experiment="weighted",
        judge=each(_weighted),
        expected="holds only if",
        explanation="With class labels the mean is {torch[cross_entropy, labels]:.4f}; with the very same targets as "
        "one-hot rows it is {torch[cross_entropy, one-hot]:.4f}, since it then divides by the number of rows. In JAX "
        "it is a choice one writes down: jnp.average gives {jax[cross_entropy, labels]:.4f} and a plain mean "
        "{jax[cross_entropy, one-hot]:.4f}.",
        faults={
            "one-hot that divides by weights": {"cross_entropy, one-hot": 0.88705730},
            "labels that divide by rows": {"cross_entropy, labels": 1.7741146, "nll_loss, labels": 1.7741146},
        },
    ),
    Claim(
        id="notes-on-losses/exclude-classes",
        statement="Some classes can be excluded during training.",
        experiment="exclude",
        judge=each(_exclude),
        expected="holds only if",
        explanation="With ignore_index or a zero weight the rows of class 0 get the gradient "
        "{torch[ignore_index: largest gradient in rows of class 0]:g}, and the loss is that of the other rows alone. "
        "The logit of class 0 still gets a gradient of up to "
        "{torch[ignore_index: largest gradient of logit 0 in other rows]:.3f} from the other rows, which push it down.",
        faults={
            "a logit that is left alone": {
                "ignore_index: largest gradient of logit 0 in other rows": 0.0,
                "weight 0: largest gradient of logit 0 in other rows": 0.0,
            },
            "rows that count": {"weight 0: largest gradient in rows of class 0": 0.1},
            "a denominator that counts them": {"ignore_index: distance from leaving the rows out": 0.4},
        },
    ),
)

SOURCE = Source(
    "notes-on-losses",
    "Notes on loss functions",
    "Lecture notes that go through PyTorch's losses, with formulas and remarks.",
    CLAIMS,
)
