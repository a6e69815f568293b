"""Judge a notebook that introduces loss functions and then follows ``backward`` through PyTorch of its day."""

from collections.abc import Mapping
from typing import Any

from xloss.claims.model import Claim, Numbers, Source, Verdict, decide, each, near

_ROWS = ("large error", "small error")
#: As the notebook prints them, to the digits that float32 can bear.
_PRINTED = {"'L1 Loss'": (0.5196, 0.1732), "L2 Loss": (0.2700, 0.0300), "Log Loss": (0.6931, 0.1054)}


def _printed(n: Any) -> Verdict:
    return decide(all(near([n[f"{name}, {row}"] for row in _ROWS], two, abs=5e-5) for name, two in _PRINTED.items()))


def _loss_delta(n: Any) -> Verdict:
    printed = near(n["LossDelta"], 0.0475, abs=5e-7) and near(n["loss after the step"], 0.2225, abs=5e-5)
    return decide(printed and near(n["gradient given LossDelta"], [9.5e-05, -4.275e-02, 9.5e-03, 9.5e-03], rel=1e-5))


def _gradient_argument(n: Any) -> Verdict:
    given, plain = n["gradient given LossDelta"], n["gradient given nothing"]
    return decide(
        near(given, plain),
        near(given, [n["LossDelta"] * g for g in plain]),
        "that change times the derivative is wanted: the derivative itself takes the gradient 1",
    )


def _custom_square(n: Any) -> Verdict:
    coincidence = near(n["custom / right where the norm is 0.5"], 1)
    return decide(
        near(n["custom / right"], 1),
        near(n["custom / right"], n["1 / (2 norm)"]) and coincidence,
        "the norm happens to be 1/2; elsewhere it is off by 1 / (2 norm)",
    )


def _accumulates(evidence: Mapping[str, Numbers]) -> Verdict:
    """PyTorch's field adds up; in JAX each call returns the one gradient, and adding is up to the caller."""
    added = all(near(n["added up over the calls"], [1, 2, 3]) for n in evidence.values())
    return decide(added and all(near(n["returned by each call"], 1) for n in evidence.values()))


CLAIMS = (
    Claim(
        id="notebook-backward/printed-values",
        statement="The losses are 0.5196, 0.2700, 0.6931 and, for the smaller error, 0.1732, 0.0300, 0.1054.",
        experiment="printed",
        judge=each(_printed),
        expected="holds",
        explanation="All six come out to the printed digits in both frameworks, for instance "
        "{torch['L1 Loss', large error]:.7f} in PyTorch and {jax['L1 Loss', large error]:.7f} in JAX. The notebook's "
        "0.5196162050938572 is the norm taken in double precision, as norm() did then.",
        faults={"a loss that changed": {"Log Loss, small error": 0.1055}},
    ),
    Claim(
        id="notebook-backward/l1-loss",
        statement="(Y - P).norm() is the L1 loss.",
        experiment="printed",
        judge=each(lambda n: decide(all(near(n[f"'L1 Loss', {row}"], n[f"sum of |y - p|, {row}"]) for row in _ROWS))),
        expected="fails",
        explanation="norm() is the Euclidean norm, {torch['L1 Loss', large error]:.4f} here; the L1 loss, the sum of "
        "absolute differences, is {torch[sum of |y - p|, large error]:.4f}. Relative to small errors L2 does weight "
        "large ones more: it grows from {torch[L2 Loss, small error]:.2f} to {torch[L2 Loss, large error]:.2f}, the "
        "sum from {torch[sum of |y - p|, small error]:.2f}.",
        faults={
            "norm() being the L1 norm": {"'L1 Loss', large error": 0.7010000348, "'L1 Loss', small error": 0.3010000288}
        },
    ),
    Claim(
        id="notebook-backward/loss-delta",
        statement="LossDelta is 0.0475, and backward(gradient=LossDelta) gives [9.5e-05, -0.04275, 0.0095, 0.0095].",
        experiment="cotangent",
        judge=each(_loss_delta),
        expected="holds",
        explanation="PyTorch gives LossDelta {torch[LossDelta]:.6f}, the loss {torch[loss after the step]:.4f} and the "
        "second gradient {torch[gradient given LossDelta][1]:.6f}; jax.vjp, which is what backward(gradient=...) "
        "computes, gives {jax[LossDelta]:.6f} and {jax[gradient given LossDelta][1]:.6f}. The differences in the "
        "eighth digit are float32 rounding in the subtraction of two close losses.",
        faults={
            "another delta": {"LossDelta": 0.0476},
            "another loss": {"loss after the step": 0.2226},
            "a gradient of another sign": {"gradient given LossDelta": [-9.5e-05, 4.275e-02, -9.5e-03, -9.5e-03]},
        },
    ),
    Claim(
        id="notebook-backward/gradient-argument",
        statement="Passing the change of the loss to backward updates all derivatives.",
        experiment="cotangent",
        judge=each(_gradient_argument),
        expected="holds only if",
        explanation="The argument only multiplies: given LossDelta the second entry is "
        "{torch[gradient given LossDelta][1]:.5f}, given nothing (that is, 1) it is the derivative itself, "
        "{torch[gradient given nothing][1]:.4f}. It is the cotangent of a vector-Jacobian product, the same that "
        "jax.vjp's function takes.",
        faults={
            "an argument that is ignored": {"gradient given LossDelta": [0.002, -0.9, 0.2, 0.2]},
            "an argument that is added": {"gradient given LossDelta": [0.0495, -0.8525, 0.2475, 0.2475]},
        },
    ),
    Claim(
        id="notebook-backward/custom-square",
        statement="A custom square whose backward returns the incoming gradient nearly matches the built-in one.",
        experiment="custom",
        judge=each(_custom_square),
        expected="holds only if",
        explanation="Its backward leaves out the factor 2i of the derivative of i^2, so the result, "
        "{torch[custom gradient][1]:.6f}, is off by exactly 1 / (2 norm): {torch[custom / right]:.4f} measured, "
        "{torch[1 / (2 norm)]:.4f} predicted. It looked nearly right because the norm was close to 1/2, where the "
        "ratio is {torch[custom / right where the norm is 0.5]:g}.",
        faults={
            "the right backward": {"custom / right": 1.0},
            "another factor": {"custom / right": 2.0},
            "a coincidence gone": {"custom / right where the norm is 0.5": 0.9},
        },
    ),
    Claim(
        id="notebook-backward/accumulates",
        statement="Each backward adds its gradient to what is there.",
        experiment="custom",
        judge=_accumulates,
        expected="holds",
        explanation="Without zeroing, the second entry of .grad is {torch[custom gradient][1]:.6f}, "
        "{torch[after two calls][1]:.5f} and {torch[after three calls][1]:.4f} after one, two and three calls, while "
        "torch.autograd.grad and jax.grad return the same gradient each time. JAX stores nothing, so accumulating is "
        "an addition one writes, total = total + g.",
        faults={
            "a backward that overwrites": {"added up over the calls": [1.0, 1.0, 1.0]},
            "a backward that averages": {"added up over the calls": [1.0, 1.5, 2.0]},
            "a function that remembers": {"returned by each call": [1.0, 2.0, 3.0]},
        },
    ),
    Claim(
        id="notebook-backward/accumulation-averages",
        statement="Accumulation serves to average the gradient over a minibatch.",
        experiment="micro",
        judge=each(
            lambda n: decide(
                near(n["plain: means added / whole batch"], 1, rel=1e-5),
                n["plain: mean of means"] < 1e-5,
                "each loss is divided by the number of micro-batches: accumulation sums",
            )
        ),
        expected="holds only if",
        explanation="Two micro-batches of mean losses add up to {torch[plain: means added / whole batch]:.4g} times "
        "the gradient of the whole batch; divided by 2 they agree with it to {torch[plain: mean of means]:.0e}. Even "
        "that needs micro-batches of equal weight, see four-averages/mean-of-means.",
        faults={
            "an accumulation that averages": {"plain: means added / whole batch": 1.0},
            "a division that does not help": {"plain: mean of means": 0.5},
        },
    ),
)

SOURCE = Source(
    "notebook-backward",
    "A notebook of losses and backward",
    "A notebook that computes three losses by hand and follows backward() through built-in and custom functions.",
    CLAIMS,
)
