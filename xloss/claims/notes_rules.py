"""How the notes' claims are judged; see `xloss.claims.notes_on_losses`."""

from typing import Any

from xloss.claims.model import Rule, Verdict, decide, near

#: Rounding of the operations that a formula is made of, in units in the last place of the result.
ULPS = 4


def formulas(*losses: str) -> Rule:
    """Each loss, under each reduction, within the rounding of float32."""
    names = [f"{loss}, {reduction}: ulps" for loss in losses for reduction in ("none", "sum", "mean")]
    return lambda n: decide(max([n[name] for name in names]) <= ULPS)


def l1_is_mae(n: Any) -> Verdict:
    """The mean absolute error must come out as the vector, the sum and the mean, or as the mean alone."""
    wanted = n["mean absolute error"]
    return decide(
        near(n["none"], wanted) and near(n["sum"], wanted),
        near(n["mean"], wanted),
        "the reduction is 'mean'; the vector of the formula holds absolute errors, and their sum is n times the mean",
    )


def outliers(n: Any) -> Verdict:
    """The outlier at 100 must not move L1's minimizer, and must move L2's."""
    moved = {name: abs(n[f"{name} on 0, 0, 100"] - n[f"{name} on 0, 0, 1"]) for name in ("L1", "L2")}
    return decide(moved["L1"] < 1e-3 < moved["L2"])


def blur(n: Any) -> Verdict:
    """The minimizers are the mean, which is no pixel of the data, and the median, which is one."""
    mean, median = n["mean and median of 0, 0, 1"]
    return decide(near(n["L2 on 0, 0, 1"], mean, rel=1e-4) and near(n["L1 on 0, 0, 1"], median, abs=1e-4))


def kink(n: Any) -> Verdict:
    """Differentiable at every nonzero error, however small, and not at 0, where the one-sided slopes differ."""
    left, right = n["slope of |e| left and right of 0"]
    slopes = [g for g, e in zip(n["gradient of L1"], n["error"], strict=True) if e]
    small = near(slopes, 1)
    return decide(not small and left != right, left != right, "the error is exactly 0: at 1e-30 the slope is still 1")


def constant(n: Any) -> Verdict:
    """Constant loss, or constant gradient alone."""
    values, slopes = n["L1"], [g for g, e in zip(n["gradient of L1"], n["error"], strict=True) if e]
    return decide(near(values, values[0]), near(slopes, slopes[0]), "it is said of the gradient; the loss shrinks to 0")


def huber(n: Any) -> Verdict:
    """Ratio 1 at every beta, or beta itself at every error."""
    betas, low, high = n["beta = delta"], n["smallest ratio"], n["largest ratio"]
    return decide(
        near(low, 1) and near(high, 1),
        near(low, betas) and near(high, betas),
        "beta = 1: Huber's loss with delta = beta is beta times SmoothL1",
    )


def elastic(n: Any) -> Verdict:
    """The two penalties must agree at both ends, at 0 and far out, or at one."""
    jumps = near(n["elastic net: jump of the slope at 0"], n["smooth L1: jump of the slope at 0"], abs=1e-3)
    grows = near(
        n["elastic net: slope at 100 over slope at 10"], n["smooth L1: slope at 100 over slope at 10"], rel=0.01
    )
    return decide(jumps and grows, jumps or grows, "one looks at one end of the error only")


def like_mse(n: Any) -> Verdict:
    """Slopes like MSE's below the threshold and L1's above, exactly or up to the formula's factor."""
    below, above, half = n["below: smooth / MSE"], n["above: smooth / L1"], [0.5 / beta for beta in n["beta"]]
    condition = "one allows for the factor 1 / (2 beta), which is 1 at beta = 0.5"
    return decide(near(below, 1) and near(above, 1), near(below, half) and near(above, 1), condition)


def probabilities(n: Any) -> Verdict:
    """Given probabilities, the loss must be their negative logarithm."""
    return decide(near(n["nll_loss of probabilities"], n["-log of the probability"], rel=1e-3))


def not_enforced(n: Any) -> Verdict:
    """Not enforced: no error, and a number that is wrong (a negative loss)."""
    return decide(not n["raised an error"] and max(n["nll_loss of probabilities"]) < 0)


def weighted_nll(n: Any) -> Verdict:
    """The mean must be the sum over the sum of weights."""
    return decide(near(n["nll_loss, labels"], n["sum / sum of weights"], rel=1e-5))


def weighted_ce(n: Any) -> Verdict:
    """The same for labels and one-hot rows, or for labels alone."""
    truth = n["sum / sum of weights"]
    return decide(
        near(n["cross_entropy, one-hot"], truth, rel=1e-5) and near(n["cross_entropy, labels"], truth, rel=1e-5),
        near(n["cross_entropy, labels"], truth, rel=1e-5)
        and near(n["cross_entropy, one-hot"], n["sum / number of rows"], rel=1e-5),
        "targets are class labels: with the same targets as one-hot rows the mean divides by their number",
    )


def good_nll(n: Any) -> Verdict:
    """The same as NLL of the same input, or of its log_softmax."""
    condition = "NLLLoss gets the log_softmax of the same input"
    return decide(n["distance from nll_loss of the same input"] < 1e-5, n["largest distance"] < 1e-5, condition)


def exclude(n: Any) -> Verdict:
    """Neither rows nor logit of the class are trained, or the rows alone are not."""
    ways = ("ignore_index", "weight 0")
    rows = all(
        n[f"{way}: largest gradient in rows of class 0"] == 0 and n[f"{way}: distance from leaving the rows out"] < 1e-6
        for way in ways
    )
    logit = all(n[f"{way}: largest gradient of logit 0 in other rows"] == 0 for way in ways)
    return decide(logit and rows, rows, "samples of a class are meant: its logit stays in everybody's softmax")


def named(n: Any) -> Verdict:
    """Every name, or all but those that are missing."""
    missing = n["missing"]
    return decide(n["implemented"] == n["named"], n["implemented"] > 0, f"these are left out: {missing}")
