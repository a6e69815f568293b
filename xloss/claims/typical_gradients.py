"""A text about typical losses and their gradients: norms, mse_loss, and two ways to ask PyTorch for a gradient."""

from collections.abc import Mapping
from typing import Any

from xloss.claims import figures
from xloss.claims.experiments import typical_gradients as run
from xloss.claims.model import Claim, Numbers, Seed, Verdict, decide, each, near

_REFUSED = "element 0 of tensors does not require grad and does not have a grad_fn"


def _norm_squared(evidence: Mapping[str, Numbers]) -> Verdict:
    """Frameworks may differ at the zero residual, where a norm has no derivative, and nowhere else."""

    def same(n: Numbers, where: str) -> bool:
        values, apart = n[f"values {where}"], n[f"gradients apart {where}, where finite"]
        return near(values[0], values[1]) and apart == 0 and bool(n[f"gradient of norm^2 is finite {where}"])

    elsewhere = all(same(n, "at a residual") for n in evidence.values())
    at_zero = {framework: same(n, "at zero") for framework, n in evidence.items()}
    labels = {"torch": "PyTorch", "jax": "JAX"}
    fine = " and ".join(labels[framework] for framework, ok in at_zero.items() if not ok)
    condition = f"the residual is not zero: there {fine} gives no gradient of norm^2"
    return decide(elsewhere and all(at_zero.values()), elsewhere, condition)


def _p_norm(n: Any) -> Verdict:
    """A norm must obey the triangle inequality besides giving lengths."""
    formula = near(n["norm"], n["formula"], rel=1e-5)
    norms = [excess <= 1e-6 for excess in n["norm of a sum less sum of norms"]]
    proper = [ok for ok, p in zip(norms, n["p"], strict=True) if p >= 1]
    return decide(formula and all(norms), formula and all(proper), "p >= 1: below, a detour would be shorter")


def _root(n: Any) -> Verdict:
    """Whether the root is what mse_loss computed must show in values and slopes, at w = 2 and elsewhere."""
    two = n["w"].index(2.0)
    root, slope = n["sqrt((1 - w)^2)"], n["gradient of sqrt((1 - w)^2)"]
    everywhere = near(root, n["mse_loss"]) and near(slope, n["gradient of mse_loss"])
    there = near(slope[two], n["gradient of mse_loss"][two]) and near(root[two], n["mse_loss"][two])
    return decide(everywhere, there, "w = 2")


def _needs_grad(evidence: Mapping[str, Numbers]) -> Verdict:
    """The claimed words in PyTorch; in JAX the nearest mistake is to hand jax.grad a computed loss."""
    torch, jax = evidence["torch"], evidence["jax"]
    fails = not torch["works before w is marked"] and torch["says before w is marked"] == _REFUSED
    return decide(fails and not jax["works on a computed loss"])


def _rebuild(evidence: Mapping[str, Numbers]) -> Verdict:
    """A loss computed before is of no use afterwards: in PyTorch the old graph, in JAX any computed value."""
    torch, jax = evidence["torch"], evidence["jax"]
    stale = not torch["works after requires_grad_(), same loss"] and not jax["works on a computed loss"]
    fresh = near(torch["gradient after recomputing the loss"], 2) and near(jax["gradient, nothing marked"], 2)
    if not fresh:
        return Verdict("fails")
    return decide(stale)


def _two_ways(evidence: Mapping[str, Numbers]) -> Verdict:
    """First calls must agree with the hand calculation; that second calls add up in backward is another claim."""
    torch, jax = evidence["torch"], evidence["jax"]
    firsts = [torch["autograd.grad, two calls"][0], torch["backward, two calls"][0]]
    firsts += [jax["jax.grad, two calls"][0], jax["jax.vjp, two calls"][0]]
    return decide(near(firsts, 2) and near(torch["by hand"], 2) and near(jax["by hand"], 2))


def _swapped(n: Any) -> Verdict:
    same = {name: near(*n[name]) for name in ("binary cross-entropy", "kl_div", "mse", "l1")}
    return decide(
        all(same.values()),
        same["mse"] and same["l1"],
        "the loss is symmetric, as MSE and L1 are; binary cross-entropy and KL divergence are not",
    )


CLAIMS = (
    Claim(
        id="typical-gradients/mse-is-a-sum",
        statement="MSE is sum (y - y_hat)^2.",
        question="Is the mean squared error the sum of the squared errors?",
        torch=run.sum_or_mean_torch,
        jax=run.sum_or_mean_jax,
        judge=each(
            lambda n: decide(
                near(n["sum (y - y_hat)^2"], n["mse_loss"]),
                near(n["sum / mse_loss, one prediction"], 1)
                and near(n["sum (y - y_hat)^2"], n["mse_loss, reduction='sum'"]),
                "there is one prediction, or reduction='sum' is asked for",
            )
        ),
        expected="holds only if",
        explanation="For four predictions the sum is {torch[sum (y - y_hat)^2]:g} and mse_loss {torch[mse_loss]:g}, a "
        "factor of {torch[sum / mse_loss, four predictions]:g}, the number of predictions. The text's examples have "
        "one prediction each, where the factor is {torch[sum / mse_loss, one prediction]:g}.",
        faults={
            "a mean that sums": {"mse_loss": 5.25},
            "a sum that is off": {"mse_loss, reduction='sum'": 1.3125},
            "one prediction divided": {"sum / mse_loss, one prediction": 2.0},
        },
    ),
    Claim(
        id="typical-gradients/norm-squared",
        statement="loss = norm(y - (xw + b))^2.",
        question="Is the squared norm of the residual the same loss, gradients included?",
        torch=run.norm_squared_torch,
        jax=run.norm_squared_jax,
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
        id="typical-gradients/p-norm",
        statement="For a p-norm, ||x||_p = (sum |x_i|^p)^(1/p).",
        question="Does this formula define a norm for every p?",
        torch=run.p_norm_torch,
        jax=run.p_norm_jax,
        judge=each(_p_norm),
        expected="holds only if",
        explanation="The formula matches the framework's norm at p = 0.5, 1, 2 and 3; for (3, -4, 1) the L1 norm is "
        "{torch[norm][1]:g} and the L2 norm {torch[norm][2]:.4f}. At p = 0.5 the length of a sum of two unit vectors "
        "exceeds the sum of their lengths by {torch[norm of a sum less sum of norms][0]:g}, which no norm may.",
        faults={
            "a triangle inequality at every p": {"norm of a sum less sum of norms": [0.0, 0.0, -0.6, -0.7]},
            "a formula that is off": {"formula": [1.0, 1.0, 1.0, 1.0]},
        },
    ),
    Claim(
        id="typical-gradients/derivative-sign",
        statement="The gradient of sum [y - f(x)]^2 is 2 sum [y - f(x)] * df/dtheta.",
        question="Is the stated derivative of the squared loss right?",
        torch=run.stated_torch,
        jax=run.stated_jax,
        judge=each(lambda n: decide(near(n["as stated"], n["autodiff"]))),
        expected="fails",
        explanation="The stated formula gives {torch[as stated]:g} where autodiff gives {torch[autodiff]:g}: the "
        "ratio is exactly {torch[stated / autodiff]:g}, the inner derivative of y - f being -df. The text's own "
        "calculation further down, 2 * (1 - 2) * (-1) = 2, has the sign right.",
        faults={"autodiff agreeing with the formula": {"autodiff": -30.0}},
    ),
    Claim(
        id="typical-gradients/value-one",
        statement="mse_loss of x*w = 2 against 1 is 1.",
        question="Is the loss in the first example 1?",
        torch=run.value_torch,
        jax=run.value_jax,
        judge=each(lambda n: decide(n["mse_loss"][n["w"].index(2.0)] == 1)),
        expected="holds",
        explanation="The loss at w = 2 is {torch[mse_loss][4]:g} in both frameworks. What is squared and averaged is "
        "the single error 2 - 1.",
        faults={"a loss of another value": {"mse_loss": [4.0, 1.0, 0.25, 0.25, 0.5, 4.0, 9.0]}},
    ),
    Claim(
        id="typical-gradients/square-root",
        statement="That value was computed as sqrt((1 - 2)^2).",
        question="Is there a square root in mse_loss?",
        torch=run.value_torch,
        jax=run.value_jax,
        judge=each(_root),
        expected="fails",
        explanation="With the root the value is 1 as well, but only because 1 is its own square root: at w = 3 "
        "mse_loss is {torch[mse_loss][5]:g} and the root {torch[sqrt((1 - w)^2)][5]:g}. Even at w = 2 the slopes tell "
        "them apart, {torch[gradient of mse_loss][4]:g} against {torch[gradient of sqrt((1 - w)^2)][4]:g}.",
        faults={
            "a root with the slope of the square": {
                "gradient of sqrt((1 - w)^2)": [-4.0, -2.0, -1.0, 1.0, 2.0, 4.0, 6.0]
            },
        },
        figure=figures.root,
    ),
    Claim(
        id="typical-gradients/full-is-a-float",
        statement="torch.full([1], 2, requires_grad=True) makes w = tensor([2.]).",
        question="Does the text's code for w still run?",
        torch=run.integer_torch,
        jax=run.integer_jax,
        judge=each(lambda n: decide(bool(n["runs"]) and bool(n["is a float"]))),
        expected="fails",
        explanation='Without a decimal point it is {torch[its type]} now, and PyTorch says "{torch[says]}"; '
        "jnp.full([1], 2) is {jax[its type]} and jax.grad refuses it likewise. torch.full([1], 2.0) and jnp.full([1], "
        "2.0) are what the text means.",
        faults={"a float after all": {"is a float": True, "runs": True}},
    ),
    Claim(
        id="typical-gradients/does-not-require-grad",
        statement=f"Without requires_grad, autograd.grad says: {_REFUSED}.",
        question="What happens if one asks for a gradient that was never announced?",
        torch=run.no_grad_torch,
        jax=run.no_grad_jax,
        judge=_needs_grad,
        expected="holds",
        explanation="PyTorch says it in the same words today. In JAX nothing needs announcing and the gradient is "
        "{jax[gradient, nothing marked]:g} at once; what fails there is to ask for the gradient of a computed loss "
        'instead of a function ("{jax[says on a computed loss]}").',
        faults={
            "a gradient without announcing": {"works before w is marked": True},
            "other words": {"says before w is marked": "no"},
            "computed losses with gradients": {"works on a computed loss": True},
        },
    ),
    Claim(
        id="typical-gradients/rebuild-graph",
        statement="After requires_grad_() the graph must be built anew.",
        question="Is it enough to mark w, or must the loss be computed again?",
        torch=run.no_grad_torch,
        jax=run.no_grad_jax,
        judge=_rebuild,
        expected="holds",
        explanation="The loss computed before w was marked still refuses after it; computed again it gives "
        "{torch[gradient after recomputing the loss]:g}. JAX keeps no graph with a value at all: jax.grad runs the "
        "function anew each time, and gives {jax[gradient, nothing marked]:g}.",
        faults={
            "a graph that updates itself": {"works after requires_grad_(), same loss": True},
            "recomputing that does not help": {"gradient after recomputing the loss": 0.0},
            "a gradient that is off in JAX": {"gradient, nothing marked": 1.0},
        },
    ),
    Claim(
        id="typical-gradients/grad-and-backward",
        statement="autograd.grad and backward both give 2 * (1 - 2) * (-1) = 2.",
        question="Do the two ways to ask for a gradient give the same?",
        torch=run.two_ways_torch,
        jax=run.two_ways_jax,
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
    Claim(
        id="typical-gradients/either-order",
        statement="x*w may be the input or the target of mse_loss.",
        question="Does it matter which argument is the prediction?",
        torch=run.swapped_torch,
        jax=run.swapped_jax,
        judge=each(_swapped),
        expected="holds only if",
        explanation="MSE is {torch[mse][0]:.2f} either way and L1 {torch[l1][0]:.2f}, but binary cross-entropy is "
        "{torch[binary cross-entropy][0]:.4f} one way and {torch[binary cross-entropy][1]:.4f} the other. The text "
        "swaps the arguments between its examples, and calls the prediction the label, without harm.",
        faults={
            "losses that are all symmetric": {"binary cross-entropy": [0.7, 0.7], "kl_div": [0.2, 0.2]},
            "an MSE that is not symmetric": {"mse": [0.09, 0.1]},
        },
    ),
)

SEED = Seed(
    2,
    "typical-gradients",
    "Typical losses and their gradients",
    "A blog text about norms, mse_loss, and autograd.grad beside backward().",
    CLAIMS,
)
