"""Judge a question about four ways to average a gradient that disagreed, and the answer it was given."""

from collections.abc import Mapping
from typing import Any

from xloss.claims.model import Claim, Numbers, Source, Verdict, decide, each, near

_ROUNDING = 1e-6


def _pattern(six: list[float]) -> bool:
    """None and one-by-one agree, sum and mean agree, and the two pairs differ, as the question found."""
    none_sum, none_mean, none_one, sum_mean, sum_one, mean_one = six
    apart, together = (none_sum, none_mean, sum_one, mean_one), (none_one, sum_mean)
    return min(apart) > 1e-3 and max(together) < _ROUNDING


def _as_run(evidence: Mapping[str, Numbers]) -> Verdict:
    """Seen always, or only where the first stored gradient is overwritten; JAX has no such place to look."""
    torch, jax = evidence["torch"], evidence["jax"]
    elsewhere = torch["set to None, as today"], torch["zeroed in place, clone() stored"], jax["nothing to zero"]
    return decide(
        any(_pattern(six) for six in elsewhere),
        _pattern(torch["zeroed in place"]) and all(max(six) < _ROUNDING for six in elsewhere),
        "gradients are zeroed in place while a view of the first one is kept; else all four agree",
    )


def _overwritten(evidence: Mapping[str, Numbers]) -> Verdict:
    torch, jax = evidence["torch"], evidence["jax"]
    predicted = torch["max |g_1 - g_0| / n"]
    exact = torch["in place: distance from averaging g_1, g_1, g_2, ..."] == 0
    size = near(torch["zeroed in place"][0], predicted) and near(predicted, jax["max |g_1 - g_0| / n"])
    return decide(exact and size)


def _immutable(evidence: Mapping[str, Numbers]) -> Verdict:
    """Only where the bug can be shown in PyTorch does its absence in JAX say anything."""
    torch, jax = evidence["torch"], evidence["jax"]
    shown = torch["stored gradient, then zeroed in place"] != torch["what was stored"]
    kept = jax["stored gradient after the attempts"] == jax["what was stored"]
    return decide(shown and kept and not jax["an array can be written into"])


def _retain(evidence: Mapping[str, Numbers]) -> Verdict:
    """retain_graph is to blame if it makes a difference, all else equal."""
    torch, jax = evidence["torch"], evidence["jax"]
    pairs = [(torch["zeroed in place"][1], torch["fresh graphs, zeroed in place"])]
    pairs.append((torch["set to None, as today"][1], torch["fresh graphs, set to None"]))
    pairs.append((jax["nothing to zero"][1], jax["fresh graphs, nothing to zero"]))
    return decide(any(abs(retained - fresh) > _ROUNDING for retained, fresh in pairs))


def _not_linear(n: Any) -> Verdict:
    size = n["size of the gradient"]
    names = ("gradient of the sum", "gradient of the mean times n")
    return decide(any(n[f"{name}, from the sum of gradients"] > 1e-5 * size for name in names))


def _mean_of_means(n: Any) -> Verdict:
    cases = ("class weights", "ignore_index", "plain")
    cured = all(n[f"{case}: sums / whole denominator"] < 1e-5 for case in cases)
    means = {case: n[f"{case}: mean of means"] < 1e-5 for case in cases}
    condition = "all micro-batches have the same denominator; with class weights or ignored labels, divide sums once"
    return decide(all(means.values()), means["plain"] and cured, condition)


def _one_at_a_time(n: Any) -> Verdict:
    same = {name: n[f"{name}: fed in pairs"] < 1e-5 for name in ("batch norm", "no coupling", "batch norm, frozen")}
    sliced = all(n[f"{name}: fed whole, then sliced"] < 1e-5 for name in same)
    condition = "no layer couples the samples: batch normalisation in training does, frozen it does not"
    return decide(all(same.values()), same["no coupling"] and same["batch norm, frozen"] and sliced, condition)


CLAIMS = (
    Claim(
        id="four-averages/as-run",
        statement="none and one-by-one agree, sum and mean agree, and the two pairs differ.",
        experiment="four_ways",
        judge=_as_run,
        expected="holds only if",
        explanation="Run as written with gradients zeroed in place, the default then, the pairs are "
        "{torch[zeroed in place][0]:.4f} apart; with clone(), or set to None as today, "
        "{torch[set to None, as today][0]:.1e}, and in JAX {jax[nothing to zero][0]:.1e}. The mathematics of the four "
        "is the same, and what differed was the bookkeeping.",
        faults={
            "a discrepancy that stays": {"set to None, as today": [0.15, 0.15, 0.0, 0.0, 0.15, 0.15]},
            "no discrepancy even in place": {"zeroed in place": [1e-8] * 6},
            "a discrepancy in JAX": {"nothing to zero": [0.15, 0.15, 0.0, 0.0, 0.15, 0.15]},
        },
    ),
    Claim(
        id="four-averages/first-is-overwritten",
        statement="The discrepancy is max|g_1 - g_0| / n: the first stored gradient is a view of .grad.",
        experiment="four_ways",
        judge=_overwritten,
        expected="holds",
        explanation="Storing param.grad.view(-1, 1) keeps a window on .grad, so zeroing in place and the second "
        "backward turn the stored g_0 into g_1: averaging g_1, g_1, g_2 and so on gives the same numbers bitwise. The "
        "predicted discrepancy is {torch[max |g_1 - g_0| / n]:.6f}, the measured one {torch[zeroed in place][0]:.6f}; "
        "later gradients are safe because torch.cat copies.",
        faults={
            "another cause": {"in place: distance from averaging g_1, g_1, g_2, ...": 0.01},
            "another size": {"max |g_1 - g_0| / n": 0.2},
        },
    ),
    Claim(
        id="four-averages/retain-graph",
        statement="The discrepancy may be due to retain_graph=True.",
        experiment="four_ways",
        judge=_retain,
        expected="fails",
        explanation="With a fresh graph for every sample and zeroing in place the discrepancy is "
        "{torch[fresh graphs, zeroed in place]:.4f}, as with one retained graph; with .grad set to None it is "
        "{torch[fresh graphs, set to None]:.1e} either way. In JAX one linearization used eight times gives what eight "
        "fresh ones give.",
        faults={
            "fresh graphs that cure it": {"fresh graphs, zeroed in place": 1e-8},
            "fresh graphs that harm": {"fresh graphs, set to None": 0.15},
        },
    ),
    Claim(
        id="four-averages/not-linear",
        statement="Cross-entropy is not linear, so the gradient of a sum or mean only approximates the individual "
        "ones.",
        experiment="linear",
        judge=each(_not_linear),
        expected="fails",
        explanation="The gradient of the sum and the sum of the gradients are "
        "{torch[gradient of the sum, from the sum of gradients]:.1e} apart at a size of "
        "{torch[size of the gradient]:.3g}: differentiation is linear whatever the loss is. The inequality that the "
        "answer displays sums the inputs instead, which is another loss "
        "({torch[gradient at the summed inputs, from the sum of gradients]:.3g} apart) and not what a reduction does.",
        faults={
            "a sum with another gradient": {"gradient of the sum, from the sum of gradients": 0.3},
            "a mean with another gradient": {"gradient of the mean times n, from the sum of gradients": 0.3},
        },
    ),
    Claim(
        id="four-averages/sum-is-n-means",
        statement="The gradient of the sum is n times the gradient of the mean.",
        experiment="linear",
        judge=each(lambda n: decide(near(n["gradient of the sum / gradient of the mean"], n["n"], rel=1e-5))),
        expected="holds",
        explanation="With n = {torch[n]} the ratio is {torch[gradient of the sum / gradient of the mean][0]:g} in "
        "every entry. It needs a mean that divides by n; class weights and ignored labels change the denominator, see "
        "four-averages/mean-of-means.",
        faults={"a mean over something else": {"gradient of the sum / gradient of the mean": [6.0, 6.0, 6.0, 6.0]}},
    ),
    Claim(
        id="four-averages/mean-ignores-batch-size",
        statement="mean keeps the gradient constant regardless of the batch size, for the same data.",
        experiment="batch_size",
        judge=each(lambda n: decide(near(n["mean: gradient at four times the batch / at once"], 1, rel=1e-5))),
        expected="holds",
        explanation="With the same data four times over the mean's gradient changes by a factor of "
        "{torch[mean: gradient at four times the batch / at once]:g}. The sum's changes by "
        "{torch[sum: gradient at four times the batch / at once]:g}.",
        faults={"a mean that grows": {"mean: gradient at four times the batch / at once": 4.0}},
    ),
    Claim(
        id="four-averages/jax-immutable",
        statement="In JAX the bug cannot be written.",
        experiment="stored",
        judge=_immutable,
        expected="holds",
        explanation="PyTorch turns the stored {torch[what was stored]} into "
        "{torch[stored gradient, then zeroed in place]} when .grad is zeroed in place. In JAX a gradient is a value "
        "and no field: it stays {jax[stored gradient after the attempts]}, and who tries to write into it reads "
        '"{jax[says]}".',
        faults={
            "an array that can be written into": {"an array can be written into": True},
            "a value that changed": {"stored gradient after the attempts": [0.0, 0.0]},
            "a view that is a copy": {"stored gradient, then zeroed in place": [3.0, 5.0]},
        },
    ),
    Claim(
        id="four-averages/mean-of-means",
        statement="The mean over a batch is the mean of the means over its parts.",
        experiment="micro",
        judge=each(_mean_of_means),
        expected="holds only if",
        explanation="For equal parts the gradients agree to {torch[plain: mean of means]:.0e}, but with class weights "
        "the mean of means is off by {torch[class weights: mean of means]:.0%} and with ignored labels by "
        "{torch[ignore_index: mean of means]:.0%}, for each part divided by its own denominator. Adding up sums and "
        "dividing once by the denominator of the whole batch cures both, to "
        "{torch[ignore_index: sums / whole denominator]:.0e}.",
        faults={
            "a mean that counts rows": {"class weights: mean of means": 0.0, "ignore_index: mean of means": 0.0},
            "a plain mean that is off": {"plain: mean of means": 0.1},
            "a cure that does not help": {"ignore_index: sums / whole denominator": 0.5},
        },
    ),
    Claim(
        id="four-averages/one-at-a-time",
        statement="Feeding the data points one at a time gives the same average.",
        experiment="coupled",
        judge=each(_one_at_a_time),
        expected="holds only if",
        explanation="Without coupling, feeding in pairs changes the gradient by "
        "{torch[no coupling: fed in pairs]:.0e}; behind a batch normalisation by "
        "{torch[batch norm: fed in pairs]:.0%}, and with it frozen by {torch[batch norm, frozen: fed in pairs]:.0e}. "
        "The question's code feeds the batch whole and slices the output, which is exact in any case "
        "({torch[batch norm: fed whole, then sliced]:.0e}).",
        faults={
            "a batch norm that does not couple": {"batch norm: fed in pairs": 0.0},
            "a plain model that couples": {"no coupling: fed in pairs": 0.1},
            "slicing that changes something": {"batch norm: fed whole, then sliced": 0.1},
        },
    ),
)

SOURCE = Source(
    "four-averages",
    "Four ways to average a gradient",
    "A question whose four averages of one gradient disagreed, and the accepted answer.",
    CLAIMS,
)
