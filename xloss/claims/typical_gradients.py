"""Judge a text about typical losses and their gradients: norms, mse_loss, two ways to ask PyTorch for a gradient."""

from collections.abc import Mapping
from typing import Any

from xloss.claims.model import Claim, Numbers, Source, Verdict, decide, each, near

_REFUSED = "element 0 of tensors does not require grad and does not have a grad_fn"


def _norm_squared(evidence: Mapping[str, Numbers]) -> Verdict:
    """Frameworks may differ at the zero residual, where a norm has no derivative, and nowhere else."""

    def same(n: Numbers, where: str) -> bool:
        values, apart = n[f"values {where}"], n[f"gradients apart {where}, where finite"]
        return near(values[0], values[1]) and apart == 0 and bool(n[f"gradient of norm^2 is finite {where}"])

    elsewhere = all(same(n, "at a residual") for n in evidence.values())
    missing = [framework for framework, n in evidence.items() if not same(n, "at zero")]
    condition = f"the residual is not zero: there {' and '.join(missing)} gives no gradient of norm^2"
    return decide(elsewhere and not missing, elsewhere, condition)


def _root(n: Any) -> Verdict:
    """Whether the root is what mse_loss computed must show in values and slopes, at w = 2 and elsewhere."""
    root, mse = (list(zip(n[name], n[f"gradient of {name}"], strict=True)) for name in ("sqrt((1 - w)^2)", "mse_loss"))
    same = [near(a, b) for a, b in zip(root, mse, strict=True)]
    two = n["w"].index(2.0)
    if n["mse_loss"][two] != 1:
        return Verdict("fails")
    return decide(all(same), same[two], "w = 2")


def _needs_grad(evidence: Mapping[str, Numbers]) -> Verdict:
    """The claimed words in PyTorch, before and after marking w; in JAX the nearest mistake is a computed loss."""
    torch, jax = evidence["torch"], evidence["jax"]
    steps = ("before w is marked", "after requires_grad_(), same loss")
    refused = all(not torch[f"works {step}"] and torch[f"says {step}"] == _REFUSED for step in steps)
    fresh = near(torch["gradient after recomputing the loss"], 2) and near(jax["gradient, nothing marked"], 2)
    return decide(refused and fresh and not jax["works on a computed loss"])


def _two_ways(evidence: Mapping[str, Numbers]) -> Verdict:
    """First calls must agree with the hand calculation; that second calls add up in backward is another claim."""
    names = {"torch": ("autograd.grad", "backward"), "jax": ("jax.grad", "jax.vjp")}
    firsts = [evidence[framework][f"{way}, two calls"][0] for framework, ways in names.items() for way in ways]
    return decide(near(firsts, 2) and all(near(n["by hand"], 2) for n in evidence.values()))


def _sum(n: Any) -> Verdict:
    total, one = n["sum (y - y_hat)^2"], n["sum / mse_loss, one prediction"]
    condition = "there is one prediction, or reduction='sum' is asked for"
    return decide(near(total, n["mse_loss"]), near(one, 1) and near(total, n["mse_loss, reduction='sum'"]), condition)


CLAIMS = (
    Claim(
        id="typical-gradients/mse-is-a-sum",
        statement="MSE is sum (y - y_hat)^2.",
        experiment="sum_or_mean",
        judge=each(_sum),
        expected="holds only if",
        explanation="For four predictions the sum is {torch[sum (y - y_hat)^2]:g} and mse_loss {torch[mse_loss]:g}, "
        "four times less. The text's examples have one prediction each, where the factor is "
        "{torch[sum / mse_loss, one prediction]:g}.",
        faults={
            "a mean that sums": {"mse_loss": 5.25},
            "a sum that is off": {"mse_loss, reduction='sum'": 1.3125},
            "one prediction divided": {"sum / mse_loss, one prediction": 2.0},
        },
    ),
    Claim(
        id="typical-gradients/norm-squared",
        statement="loss = norm(y - (xw + b))^2.",
        experiment="norm_squared",
        judge=_norm_squared,
        expected="holds only if",
        explanation="Both give {torch[values at a residual][0]:g} with the same gradients at the residual (3, -4, "
        "12). At the zero residual, a perfect fit, the square root inside the norm has no slope: PyTorch takes 0 and "
        "JAX gives NaN, so in JAX write the sum of squares.",
        faults={
            "a norm that is finite at zero": {"gradient of norm^2 is finite at zero": True},
            "a norm of another kind": {"values at a residual": [361.0, 169.0]},
            "gradients that differ": {"gradients apart at a residual, where finite": 1.0},
        },
    ),
    Claim(
        id="typical-gradients/derivative-sign",
        statement="The gradient of sum [y - f(x)]^2 is 2 sum [y - f(x)] * df/dtheta.",
        experiment="stated",
        judge=each(lambda n: decide(near(n["as stated"], n["autodiff"]))),
        expected="fails",
        explanation="The stated formula gives {torch[as stated]:g} where autodiff gives {torch[autodiff]:g}: the "
        "ratio is exactly {torch[stated / autodiff]:g}, the inner derivative of y - f being -df. The text's own "
        "calculation further down, 2 * (1 - 2) * (-1) = 2, has the sign right.",
        faults={"autodiff agreeing with the formula": {"autodiff": -30.0}},
    ),
    Claim(
        id="typical-gradients/square-root",
        statement="mse_loss of x*w = 2 against 1 is 1, computed as sqrt((1 - 2)^2).",
        experiment="value",
        judge=each(_root),
        expected="fails",
        explanation="The loss at w = 2 is {torch[mse_loss][4]:g}, with the root as well, but only because 1 is its own "
        "square root: at w = 3 mse_loss is {torch[mse_loss][5]:g} and the root {torch[sqrt((1 - w)^2)][5]:g}. Even at "
        "w = 2 the slopes differ, {torch[gradient of mse_loss][4]:g} against "
        "{torch[gradient of sqrt((1 - w)^2)][4]:g}.",
        faults={
            "a root with the slope of the square": {
                "gradient of sqrt((1 - w)^2)": [-4.0, -2.0, -1.0, 1.0, 2.0, 4.0, 6.0]
            },
        },
    ),
    Claim(
        id="typical-gradients/full-is-a-float",
        statement="torch.full([1], 2, requires_grad=True) makes w = tensor([2.]).",
        experiment="integer",
        judge=each(lambda n: decide(bool(n["runs"]) and bool(n["is a float"]))),
        expected="fails",
        explanation='Without a decimal point it is {torch[its type]} now, and PyTorch says "{torch[says]}"; '
        "jnp.full([1], 2) is {jax[its type]} and jax.grad refuses it likewise. torch.full([1], 2.0) and jnp.full([1], "
        "2.0) are what the text means.",
        faults={"a float after all": {"is a float": True, "runs": True}},
    ),
    Claim(
        id="typical-gradients/does-not-require-grad",
        statement=f"Until w requires grad and the loss is computed anew, autograd.grad says: {_REFUSED}.",
        experiment="no_grad",
        judge=_needs_grad,
        expected="holds",
        explanation="PyTorch says it in the same words today, also for a loss from before w was marked; computed again "
        "it gives {torch[gradient after recomputing the loss]:g}. In JAX nothing is marked and the gradient is "
        "{jax[gradient, nothing marked]:g} at once; what fails there is to ask for the gradient of a computed loss "
        'instead of a function ("{jax[says on a computed loss]}").',
        faults={
            "a gradient without marking": {"works before w is marked": True},
            "other words": {"says before w is marked": "no"},
            "a graph that updates itself": {"works after requires_grad_(), same loss": True},
            "recomputing that does not help": {"gradient after recomputing the loss": 0.0},
            "a gradient that is off in JAX": {"gradient, nothing marked": 1.0},
            "computed losses with gradients": {"works on a computed loss": True},
        },
    ),
    Claim(
        id="typical-gradients/grad-and-backward",
        statement="autograd.grad and backward both give 2 * (1 - 2) * (-1) = 2.",
        experiment="two_ways",
        judge=_two_ways,
        expected="holds",
        explanation="Both give {torch[backward, two calls][0]:g}, and so do jax.grad and jax.vjp. A second call of "
        "backward adds to .grad and leaves {torch[backward, two calls][1]:g} there, where autograd.grad returns "
        "{torch[autograd.grad, two calls][1]:g} again.",
        faults={
            "a backward that differs": {"backward, two calls": [4.0, 8.0]},
            "a pullback that differs": {"jax.vjp, two calls": [1.0, 1.0]},
        },
    ),
)

SOURCE = Source(
    "typical-gradients",
    "Typical losses and their gradients",
    "A blog text about norms, mse_loss, and autograd.grad beside backward().",
    CLAIMS,
)
