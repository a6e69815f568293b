"""A notebook that introduces loss functions and then follows ``backward`` through PyTorch of its day."""

from collections.abc import Mapping
from typing import Any

from xloss.claims import figures
from xloss.claims.experiments import notebook_backward as run
from xloss.claims.experiments import notebook_losses as losses
from xloss.claims.model import Claim, Numbers, Seed, Verdict, decide, each, near

#: As the notebook prints them, to the digits that the summary of a float32 can bear.
_PRINTED = {
    "'L1 Loss', large error": 0.5196,
    "L2 Loss, large error": 0.2700,
    "Log Loss, large error": 0.6931,
    "'L1 Loss', small error": 0.1732,
    "L2 Loss, small error": 0.0300,
    "Log Loss, small error": 0.1054,
}


def _printed(n: Any) -> Verdict:
    return decide(all(near(n[name], value, abs=5e-5) for name, value in _PRINTED.items()))


def _is_l1(n: Any) -> Verdict:
    rows = ("large error", "small error")
    return decide(all(near(n[f"'L1 Loss', {row}"], n[f"sum of |y - p|, {row}"]) for row in rows))


def _outliers(n: Any) -> Verdict:
    """From the small error to the large one L2 must grow by more than either reading of "L1"."""
    growth = {
        name: n[f"{name}, large error"] / n[f"{name}, small error"]
        for name in ("L2 Loss", "'L1 Loss'", "sum of |y - p|")
    }
    return decide(growth["L2 Loss"] > max(growth["'L1 Loss'"], growth["sum of |y - p|"]))


def _log_penalty(n: Any) -> Verdict:
    larger = all(a > b for a, b in zip(n["log loss"], n["squared loss"], strict=True))
    steeper = all(a > b for a, b in zip(n["log slope"], n["squared slope"], strict=True))
    grows = n["log growth from p = 0.9 to 0.5"] > n["squared growth from p = 0.9 to 0.5"]
    return decide(
        grows and larger and steeper,
        larger and steeper,
        "values or slopes are compared, not growth: from p = 0.9 to 0.5 the squared error grows more",
    )


def _multilabel(n: Any) -> Verdict:
    def notices(name: str) -> bool:
        before, after = n[f"{name}, before and after"]
        return after > before + 1e-3

    return decide(
        notices("log loss") and notices("binary cross-entropy"),
        notices("log loss of p / sum(p)") and notices("binary cross-entropy"),
        "exactly one class is true and the certainties sum to 1; several labels need binary cross-entropy",
    )


def _gradient_argument(n: Any) -> Verdict:
    given, plain = n["gradient given LossDelta"], n["gradient given nothing"]
    return decide(
        near(given, plain),
        near(given, [n["LossDelta"] * g for g in plain]),
        "that change times the derivative is wanted: the derivative itself takes the gradient 1",
    )


def _custom_square(n: Any) -> Verdict:
    explained = near(n["custom / right"], n["1 / (2 norm)"]) and near(n["that norm"], 0.5)
    return decide(
        near(n["custom / right"], 1),
        explained and near(n["custom / right where the norm is 0.5"], 1),
        "the norm happens to be 1/2; elsewhere it is off by 1 / (2 norm)",
    )


def _accumulates(evidence: Mapping[str, Numbers]) -> Verdict:
    """PyTorch's field adds up; in JAX each call returns the one gradient, and adding is up to the caller."""
    by_rule = all(near(n["added up over the calls"], [1, 2, 3]) for n in evidence.values())
    return decide(by_rule and all(near(n["returned by each call"], 1) for n in evidence.values()))


CLAIMS = (
    Claim(
        id="notebook-backward/printed-values",
        statement="The losses are 0.5196, 0.2700, 0.6931 and, for the smaller error, 0.1732, 0.0300, 0.1054.",
        question="Do the numbers that the notebook prints come out today?",
        torch=losses.printed_torch,
        jax=losses.printed_jax,
        judge=each(_printed),
        expected="holds",
        explanation="All six come out to the printed digits in both frameworks, for instance "
        "{torch['L1 Loss', large error]:.7f} in PyTorch and {jax['L1 Loss', large error]:.7f} in JAX. The notebook's "
        "0.5196162050938572 is the norm taken in double precision, as norm() did then; today's is its float32 "
        "rounding.",
        faults={"a loss that changed": {"Log Loss, small error": 0.1055}},
    ),
    Claim(
        id="notebook-backward/l1-loss",
        statement="(Y - P).norm() is the L1 loss.",
        question="Is what the notebook calls L1 the sum of absolute differences?",
        torch=losses.printed_torch,
        jax=losses.printed_jax,
        judge=each(_is_l1),
        expected="fails",
        explanation="norm() is the Euclidean norm, {torch['L1 Loss', large error]:.4f} here; the L1 loss, the sum of "
        "absolute differences, is {torch[sum of |y - p|, large error]:.4f}. The notebook's L2 is the square of its "
        '"L1", which is how the mistake shows.',
        faults={
            "norm() being the L1 norm": {"'L1 Loss', large error": 0.7010000348, "'L1 Loss', small error": 0.3010000288}
        },
    ),
    Claim(
        id="notebook-backward/outliers",
        statement="L2 weights outliers more heavily than L1.",
        question="Does a large error count for more under the squared loss than under the absolute one?",
        torch=losses.printed_torch,
        jax=losses.printed_jax,
        judge=each(_outliers),
        expected="holds",
        explanation="From the small to the large error L2 grows from {torch[L2 Loss, small error]:.3f} to "
        "{torch[L2 Loss, large error]:.3f}, nine times, where the sum of absolute differences grows from "
        "{torch[sum of |y - p|, small error]:.3f} to {torch[sum of |y - p|, large error]:.3f}. It weights them more "
        "relative to small errors; in absolute terms an error below 1 costs less squared than not.",
        faults={"a squared loss that grows slowly": {"L2 Loss, large error": 0.05}},
    ),
    Claim(
        id="notebook-backward/log-penalty",
        statement="Log loss penalizes highly incorrect values even more than L2.",
        question="Is the log loss harsher on a confident mistake than the squared error?",
        torch=losses.penalties_torch,
        jax=losses.penalties_jax,
        judge=each(_log_penalty),
        expected="holds only if",
        explanation="At p = 0.0001 for the true class the log loss is {torch[log loss][4]:.3g} with slope "
        "{torch[log slope][4]:.3g}, and the squared error, which cannot pass 1, is {torch[squared loss][4]:.3g} with "
        "slope {torch[squared slope][4]:.3g}. Between the notebook's own two rows, p = 0.9 and 0.5, it is the squared "
        "error of that class that grows more, {torch[squared growth from p = 0.9 to 0.5]:.3g} times against "
        "{torch[log growth from p = 0.9 to 0.5]:.3g}.",
        faults={
            "a log loss that grows faster": {"log growth from p = 0.9 to 0.5": 30.0},
            "a log loss that saturates": {"log loss": [0.1, 0.2, 0.3, 0.4, 0.5]},
            "a slope that saturates": {"log slope": [0.1, 0.2, 0.3, 0.4, 0.5]},
        },
        figure=figures.penalties,
    ),
    Claim(
        id="notebook-backward/multi-label",
        statement="The log loss - sum y log p applies to a multi-label problem.",
        question="Can this log loss score several independent yes-or-no labels?",
        torch=losses.multilabel_torch,
        jax=losses.multilabel_jax,
        judge=each(_multilabel),
        expected="holds only if",
        explanation="When the certainty of a wrong class rises from 0.001 to 0.999, this loss stays at "
        "{torch[log loss, before and after][1]:.4f}, while binary cross-entropy goes from "
        "{torch[binary cross-entropy, before and after][0]:.3f} to "
        "{torch[binary cross-entropy, before and after][1]:.3f}. It notices wrong classes only through certainties "
        "that sum to 1, and the notebook's sum to {torch[sum of the notebook's p]:.3f}.",
        faults={
            "a log loss that sees wrong classes": {"log loss, before and after": [0.69, 7.6]},
            "a loss blind even to shares": {"log loss of p / sum(p), before and after": [0.34, 0.34]},
        },
    ),
    Claim(
        id="notebook-backward/loss-delta",
        statement="LossDelta is 0.0475, and backward(gradient=LossDelta) gives [9.5e-05, -0.04275, 0.0095, 0.0095].",
        question="Do the notebook's change of the loss and its gradient come out today?",
        torch=run.cotangent_torch,
        jax=run.cotangent_jax,
        judge=each(
            lambda n: decide(
                near(n["LossDelta"], 0.0475, abs=5e-7)
                and near(n["gradient given LossDelta"], [9.5e-05, -4.275e-02, 9.5e-03, 9.5e-03], rel=1e-5)
            )
        ),
        expected="holds",
        explanation="PyTorch gives LossDelta {torch[LossDelta]:.6f} and the second gradient "
        "{torch[gradient given LossDelta][1]:.6f}; jax.vjp, which is what backward(gradient=...) computes, gives "
        "{jax[LossDelta]:.6f} and {jax[gradient given LossDelta][1]:.6f}. The differences in the eighth digit are "
        "float32 rounding in the subtraction of two close losses.",
        faults={
            "another delta": {"LossDelta": 0.0476},
            "a gradient of another sign": {"gradient given LossDelta": [-9.5e-05, 4.275e-02, -9.5e-03, -9.5e-03]},
        },
    ),
    Claim(
        id="notebook-backward/gradient-argument",
        statement="Passing the change of the loss to backward updates all derivatives.",
        question="Is the change of the loss what backward() should be given?",
        torch=run.cotangent_torch,
        jax=run.cotangent_jax,
        judge=each(_gradient_argument),
        expected="holds only if",
        explanation="The argument only multiplies: given LossDelta the second entry is "
        "{torch[gradient given LossDelta][1]:.5f}, given nothing (that is, 1) it is the derivative itself, "
        "{torch[gradient given nothing][1]:.4f}, and the ratio is {torch[ratio][1]:.4f} throughout. It is the "
        "cotangent of a vector-Jacobian product, the same that jax.vjp's function takes.",
        faults={
            "an argument that is ignored": {"gradient given LossDelta": [0.002, -0.9, 0.2, 0.2]},
            "an argument that is added": {"gradient given LossDelta": [0.0495, -0.8525, 0.2475, 0.2475]},
        },
    ),
    Claim(
        id="notebook-backward/custom-square",
        statement="A custom square whose backward returns the incoming gradient nearly matches the built-in one.",
        question="Why was the notebook's own square function nearly right, but not quite?",
        torch=run.custom_torch,
        jax=run.custom_jax,
        judge=each(_custom_square),
        expected="holds only if",
        explanation="Its backward leaves out the factor 2i of the derivative of i^2, so the result is off by exactly "
        "1 / (2 norm): {torch[custom / right]:.4f} measured, {torch[1 / (2 norm)]:.4f} predicted, in JAX "
        "{jax[custom / right]:.4f}. It looked nearly right because the norm was close to 1/2, where the ratio is "
        "{torch[custom / right where the norm is 0.5]:g}.",
        faults={
            "the right backward": {"custom / right": 1.0},
            "another factor": {"custom / right": 2.0},
            "a coincidence gone": {"custom / right where the norm is 0.5": 0.9},
        },
    ),
    Claim(
        id="notebook-backward/custom-can-match",
        statement="The built-in function can be replaced by one defined in Python.",
        question="With the right backward, does a function of one's own match the built-in?",
        torch=run.right_torch,
        jax=run.right_jax,
        judge=each(lambda n: decide(near(n["own"], n["built in"]))),
        expected="holds",
        explanation="With the input saved and 2 * i * grad_output returned, value, first and second derivative at 3 "
        "are {torch[own]} as for the built-in. torch.autograd.Function and jax.custom_vjp both do it, second "
        "derivative included.",
        faults={"a backward without its factor": {"own": [9.0, 1.0, 0.0]}},
    ),
    Claim(
        id="notebook-backward/accumulates",
        statement="Each backward adds its gradient to what is there.",
        question="What happens if the gradient is not zeroed between calls?",
        torch=run.repeated_torch,
        jax=run.repeated_jax,
        judge=_accumulates,
        expected="holds",
        explanation="After one, two and three calls .grad is {torch[added up over the calls][0]:.3g}, "
        "{torch[added up over the calls][1]:.3g} and {torch[added up over the calls][2]:.3g} times the gradient, "
        "while torch.autograd.grad and jax.grad return it once each time. JAX stores nothing, so there accumulating "
        "is an addition one writes, total = total + g.",
        faults={
            "a backward that overwrites": {"added up over the calls": [1.0, 1.0, 1.0]},
            "a backward that averages": {"added up over the calls": [1.0, 1.5, 2.0]},
            "a function that remembers": {"returned by each call": [1.0, 2.0, 3.0]},
        },
    ),
    Claim(
        id="notebook-backward/accumulation-averages",
        statement="Accumulation serves to average the gradient over a minibatch.",
        question="Does adding up the gradients of micro-batches give their average?",
        torch=run.averaging_torch,
        jax=run.averaging_jax,
        judge=each(
            lambda n: decide(
                near(n["added / whole batch"], 1, rel=1e-5),
                near(n["added, each divided by 4 / whole batch"], 1, rel=1e-5),
                "each loss is divided by the number of micro-batches: accumulation sums",
            )
        ),
        expected="holds only if",
        explanation="Four micro-batches of mean losses add up to {torch[added / whole batch]:.4g} times the gradient "
        "of the whole batch; with each divided by 4 the factor is "
        "{torch[added, each divided by 4 / whole batch]:.4g}. Even that needs micro-batches of equal weight, see "
        "four-averages/mean-of-means.",
        faults={
            "an accumulation that averages": {"added / whole batch": 1.0},
            "a division that does not help": {"added, each divided by 4 / whole batch": 0.25},
        },
    ),
    Claim(
        id="notebook-backward/variable",
        statement="Tensors are wrapped in Variable to get gradients.",
        question="Does one still need Variable, and ctx.saved_variables, to get gradients?",
        torch=run.wrapper_torch,
        jax=run.wrapper_jax,
        judge=each(lambda n: decide(not near(n["gradient of a plain tensor"], n["true gradient"]))),
        expected="fails",
        explanation="A plain tensor with requires_grad=True gives {torch[gradient of a plain tensor]:g}, and "
        "Variable(...) returns a plain tensor; about ctx.saved_variables, now ctx.saved_tensors, PyTorch warns: "
        "{torch[saved_variables warns]}. In JAX nothing is wrapped, and what a backward needs is passed to it as "
        "ordinary values.",
        faults={"plain tensors without gradients": {"gradient of a plain tensor": 0.0}},
    ),
    Claim(
        id="notebook-backward/hidden-backward",
        statement="The backward of built-in functions is in C and inaccessible to Python.",
        question="Can one look at, and call, the backward of a built-in function?",
        torch=run.inside_torch,
        jax=run.inside_jax,
        judge=each(
            lambda n: decide(
                n["steps that Python can see"] < 1
                or not near(n["backward called by hand"], n["what the chain rule wants"])
            )
        ),
        expected="fails",
        explanation="In PyTorch the graph can be walked ({torch[their names]}), its saved values read, and a single "
        "step called by hand: {torch[backward called by hand]:g}, as the chain rule wants. In JAX the backward is a "
        "program that jax.make_jaxpr prints ({jax[their names]}).",
        faults={
            "no steps to see": {"steps that Python can see": 0},
            "a step that cannot be called": {"backward called by hand": 0.0},
        },
    ),
)

SEED = Seed(
    1,
    "notebook-backward",
    "A notebook of losses and backward",
    "A notebook that computes three losses by hand and follows backward() through built-in and custom functions.",
    CLAIMS,
)
