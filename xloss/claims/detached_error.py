"""A question on a statistics site about ``error * error.detach()`` as a loss, its answer and the comments."""

from typing import Any

from xloss.claims import figures
from xloss.claims.experiments import detached_error as run
from xloss.claims.model import Claim, Seed, Verdict, decide, each, near


def _weighted(n: Any) -> Verdict:
    """MSE's gradient is the absolute error's times twice its magnitude, wherever the latter has a gradient."""
    rows = zip(n["gradient e*e"], n["gradient |e|"], n["e"], strict=True)
    return decide(all(near(g, 2 * abs(e) * sign) for g, sign, e in rows if e))


def _squared(n: Any) -> Verdict:
    """By what power the gradient grows as the error doubles from 1 to 2: 2 is linear, 4 is squared."""
    one, two = n["e"].index(1.0), n["e"].index(2.0)
    growth = n["gradient e*e"][two] / n["gradient e*e"][one]
    return decide(near(growth, 4), near(growth, 2) and near(n["loss e*e"][two], 4 * n["loss e*e"][one]), _LOSS_ONLY)


_LOSS_ONLY = "it is said of the loss: the gradient grows with the error itself"


def _pow(n: Any) -> Verdict:
    same = all(n[f"{what} e.pow(2)"] == n[f"{what} e*e"] for what in ("loss", "gradient"))
    return decide(same)


def _signs(n: Any) -> Verdict:
    """A loss misbehaves due to signs if, for some error, its gradient points away from MSE's."""
    return decide(n["sign for e*sg(e)"] != n["sign for e*e"])


def _signs_of_variants(n: Any) -> Verdict:
    """Both variants have the gradient |e|, which never changes sign."""
    size = [abs(e) for e in n["e"]]
    return decide(all(near(n[f"gradient {name}"], size) for name in ("|e|*sg(e)", "e*sg(|e|)")))


CLAIMS = (
    Claim(
        id="detached-error/mse-gradient",
        statement="The gradient of (y_hat - y)^2 is 2(y_hat - y).",
        question="What is the slope of the squared error?",
        torch=run.half_torch,
        jax=run.half_jax,
        judge=each(lambda n: decide(n["largest |MSE's gradient - 2(y_hat - y)|"] == 0)),
        expected="holds",
        explanation="Autodiff gives exactly 2(y_hat - y) for each of a thousand random errors in both frameworks; the "
        "largest deviation is {torch[largest |MSE's gradient - 2(y_hat - y)|]:g}. Under mean() every gradient is "
        "divided by the number of samples as well, which the formula leaves out.",
        faults={"a gradient that lost its factor": {"largest |MSE's gradient - 2(y_hat - y)|": 3.1}},
    ),
    Claim(
        id="detached-error/weighted-by-magnitude",
        statement="Squaring weights the errors by their magnitude.",
        question="Does the squared error pull harder on large errors than the absolute error does?",
        torch=run.surfaces_torch,
        jax=run.surfaces_jax,
        judge=each(_weighted),
        expected="holds",
        explanation="Away from zero the gradient of e*e is the gradient of |e| times 2|e|: at e = 2 it is "
        "{torch[gradient e*e][8]:g} where the absolute error has {torch[gradient |e|][8]:g}. At e = 0 itself the "
        "frameworks choose different slopes for |e|, PyTorch {torch[gradient |e|][4]:g} and JAX "
        "{jax[gradient |e|][4]:g}.",
        faults={"a squared error that forgot the magnitude": {"gradient e*e": [-1.0] * 4 + [0.0] + [1.0] * 4}},
        figure=figures.surfaces,
    ),
    Claim(
        id="detached-error/depends-on-square",
        statement="MSE's gradient depends on the error squared.",
        question="If an error doubles, does the gradient of the squared error quadruple?",
        torch=run.surfaces_torch,
        jax=run.surfaces_jax,
        judge=each(_squared),
        expected="holds only if",
        explanation="From e = 1 to e = 2 the loss grows from {torch[loss e*e][6]:g} to {torch[loss e*e][8]:g}, but "
        "the gradient only from {torch[gradient e*e][6]:g} to {torch[gradient e*e][8]:g}. The loss is quadratic in "
        "the error and its gradient linear.",
        faults={
            "a cubic loss": {"gradient e*e": [3 * (i - 4) ** 2 / 4 for i in range(9)]},
            "a loss of constant slope": {"gradient e*e": [-1.0] * 4 + [0.0] + [1.0] * 4},
        },
    ),
    Claim(
        id="detached-error/pow-works",
        statement="error.pow(2) also works.",
        question="Is error.pow(2) the same as error * error?",
        torch=run.surfaces_torch,
        jax=run.surfaces_jax,
        judge=each(_pow),
        expected="holds",
        explanation="Values and gradients of the two spellings are bitwise the same on the whole grid. At e = 2 both "
        "give the value {torch[loss e.pow(2)][8]:g} and the gradient {torch[gradient e.pow(2)][8]:g}.",
        faults={"a power that rounds differently": {"gradient e.pow(2)": [1e-7] * 9}},
    ),
    Claim(
        id="detached-error/detached-is-constant",
        statement="To autograd, error.detach() is a constant.",
        question="Does detaching a factor make autodiff treat it as a plain number?",
        torch=run.constant_torch,
        jax=run.constant_jax,
        judge=each(
            lambda n: decide(
                n["gradient with the detached error"] == n["gradient with the number 3 in its place"]
                and not near(n["gradient with the detached error"], n["slope of the value, by differences"], rel=1e-3)
            )
        ),
        expected="holds",
        explanation="At e = 3 the gradient is {torch[gradient with the detached error]:g}, the same as with the "
        "number 3 in place of the detached error. The value itself has slope "
        "{torch[slope of the value, by differences]:g} there, so what autodiff reports is no longer the derivative of "
        "the value that is printed.",
        faults={"a detach that does nothing": {"gradient with the detached error": 6.0}},
    ),
    Claim(
        id="detached-error/is-not-mse",
        statement="error * error.detach() is not MSE.",
        question="Is the loss with one factor detached a different loss from MSE?",
        torch=run.half_torch,
        jax=run.half_jax,
        judge=each(
            lambda n: decide(
                n["largest difference of the values"] > 0,
                n["smallest ratio of gradients"] != 1,
                "one looks at the gradient: the value is bitwise MSE's",
            )
        ),
        expected="holds only if",
        explanation="The two values differ by {torch[largest difference of the values]:g} over a thousand errors, so "
        "a logged loss curve cannot tell them apart. What differs is the gradient, "
        "{torch[smallest ratio of gradients]:g} of MSE's.",
        faults={
            "a value that changed": {"largest difference of the values": 0.5},
            "a detach that does nothing": {"smallest ratio of gradients": 1.0},
        },
    ),
    Claim(
        id="detached-error/half-gradient",
        statement="The proposed loss always has exactly half of MSE's gradient.",
        question="Is the gradient of error * error.detach() exactly half of MSE's, for every error?",
        torch=run.half_torch,
        jax=run.half_jax,
        judge=each(
            lambda n: decide(
                n["smallest ratio of gradients"] == n["largest ratio of gradients"] == 0.5
                and n["smallest ratio under mean()"] == n["largest ratio under mean()"] == 0.5
            )
        ),
        expected="holds",
        explanation="Over a thousand random errors, in PyTorch and in JAX, summed or averaged, the ratio of the two "
        "gradients is {torch[smallest ratio of gradients]:g} at the least and {torch[largest ratio of gradients]:g} "
        "at the most. It is bitwise one half because a product has two equal terms in its derivative and detaching "
        "drops one.",
        faults={
            "a detach that does nothing": {"smallest ratio of gradients": 1.0, "largest ratio of gradients": 1.0},
            "rounding in the mean": {"largest ratio under mean()": 0.50000006},
        },
    ),
    Claim(
        id="detached-error/signs",
        statement="The proposed loss misbehaves due to signs.",
        question="Does error * error.detach() push some predictions the wrong way?",
        torch=run.signs_torch,
        jax=run.signs_jax,
        judge=each(_signs),
        expected="fails",
        explanation="At the errors {torch[e]} the signs of its gradient are {torch[sign for e*sg(e)]}, the same as "
        "MSE's {torch[sign for e*e]}: the gradient is e, which knows on which side the prediction is. Variants with "
        "an absolute value on one factor do misbehave, {torch[sign for |e|*sg(e)]}, as the next claim shows.",
        faults={"a gradient without its sign": {"sign for e*sg(e)": [1.0, 1.0, 0.0, 1.0, 1.0]}},
    ),
    Claim(
        id="detached-error/signs-of-variants",
        statement="With the absolute value on one factor the signs do go wrong.",
        question="Which variants of the detached error would push predictions the wrong way?",
        torch=run.surfaces_torch,
        jax=run.surfaces_jax,
        judge=each(_signs_of_variants),
        expected="holds",
        explanation="Both e.abs() * e.detach() and e * e.abs().detach() have the gradient |e|, at e = -2 "
        "{torch[gradient |e|*sg(e)][0]:g} and {torch[gradient e*sg(|e|)][0]:g} where MSE has "
        "{torch[gradient e*e][0]:g}. Descent on them lowers every prediction without end, and their value is negative "
        "wherever the error is.",
        faults={"variants that keep the sign": {"gradient |e|*sg(e)": [(i - 4) / 2 for i in range(9)]}},
        figure=figures.signs,
    ),
    Claim(
        id="detached-error/same-updates",
        statement="The proposed loss will not produce the same updates as MSE.",
        question="Does training take other steps with the detached error than with MSE?",
        torch=run.training_torch,
        jax=run.training_jax,
        judge=each(
            lambda n: decide(
                n["SGD, rate doubled: apart after 200 steps"] > 0
                and not near(n["Adam, same rate: apart after 200 steps"], 0, abs=1e-5),
                n["SGD, same rate: apart after 1 step"] > 1e-3,
                "plain SGD keeps its learning rate: doubled, it takes bitwise the same steps, and Adam needs no change",
            )
        ),
        expected="holds only if",
        explanation="One step of SGD at the same rate ends {torch[SGD, same rate: apart after 1 step]:.3g} apart, but "
        "with the rate doubled the weights stay {torch[SGD, rate doubled: apart after 200 steps]:g} apart through 200 "
        "steps. Adam divides the gradient by its own size and so hardly notices the half (apart "
        "{torch[Adam, same rate: apart after 200 steps]:.2g} in PyTorch, "
        "{jax[Adam, same rate: apart after 200 steps]:.2g} in JAX).",
        faults={
            "a gradient that is not half": {
                "SGD, rate doubled: apart after 200 steps": 0.1,
                "Adam, same rate: apart after 200 steps": 0.1,
            },
            "a detach that does nothing": {"SGD, same rate: apart after 1 step": 0.0},
        },
    ),
    Claim(
        id="detached-error/same-model",
        statement="The proposed loss will not yield the same model as MSE.",
        question="Does training end at a different model with the detached error than with MSE?",
        torch=run.training_torch,
        jax=run.training_jax,
        judge=each(
            lambda n: decide(
                n["SGD on the detached error: from the least-squares solution"] > 1e-4 * n["size of the weights"]
                or n["SGD, same rate: apart after 200 steps"] > 1e-4 * n["size of the weights"]
            )
        ),
        expected="fails",
        explanation="At one and the same learning rate both end at the least-squares solution: after 200 steps they "
        "are {torch[SGD, same rate: apart after 200 steps]:.1e} apart, with weights of size "
        "{torch[size of the weights]:.2g}. Half a gradient vanishes where the whole one does, so the minimum is the "
        "same and only the way there is slower.",
        faults={
            "another minimum": {"SGD on the detached error: from the least-squares solution": 0.2},
            "training that ends elsewhere": {"SGD, same rate: apart after 200 steps": 0.2},
        },
    ),
    Claim(
        id="detached-error/division-by-two",
        statement="Half the gradient is what happens when MSE is divided by 2.",
        question="Is detaching one factor the same as dividing MSE by two?",
        torch=run.second_torch,
        jax=run.second_jax,
        judge=each(
            lambda n: decide(
                n["proposed"] == n["MSE / 2"],
                n["proposed"][1] == n["MSE / 2"][1],
                "nothing but the first derivative is used: value and second derivative are others",
            )
        ),
        expected="holds only if",
        explanation="Value, first and second derivative at e = 3 are {torch[MSE / 2]} for MSE / 2, but "
        "{torch[proposed]} for the detached error and {torch[MSE]} for MSE. Its second derivative by autodiff is 0, "
        "so Newton's method divides by zero and every Hessian-vector product is "
        "{torch[proposed: Hessian-vector product with 5]:g} where MSE's is "
        "{torch[MSE: Hessian-vector product with 5]:g}.",
        faults={
            "a detach that keeps the curvature": {"proposed": [4.5, 3.0, 1.0]},
            "a gradient that is not half": {"proposed": [9.0, 6.0, 2.0]},
        },
    ),
    Claim(
        id="detached-error/as-typed",
        statement="The code calls .backwards().",
        question="Does the code run as it was typed?",
        torch=run.as_typed_torch,
        jax=run.as_typed_jax,
        judge=each(lambda n: decide(bool(n["has .backwards()"]))),
        expected="fails",
        explanation='The method is .backward(); PyTorch says "{torch[says]}". JAX arrays have neither: gradients '
        "belong to functions there, and jax.grad gives {jax[gradient by jax.grad]} for the same loss.",
        faults={"a method of that name": {"has .backwards()": True}},
    ),
)

SEED = Seed(
    0,
    "detached-error",
    "The detached error",
    "A question about error * error.detach() as a loss beside MSE, with an answer and comments.",
    CLAIMS,
)
