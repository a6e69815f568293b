"""Judge a question on a statistics site about ``error * error.detach()`` as a loss, its answer and the comments."""

from math import copysign
from typing import Any

from xloss.claims.model import Claim, Source, Verdict, decide, each, near


def _squared(n: Any) -> Verdict:
    """Tell by what power the gradient grows as the error doubles from 1 to 2: 2 is linear, 4 is squared."""
    one, two = n["e"].index(1.0), n["e"].index(2.0)
    growth = n["gradient e*e"][two] / n["gradient e*e"][one]
    condition = "it is said of the loss: the gradient grows in proportion to the error"
    return decide(near(growth, 4), near(growth, 2) and near(n["loss e*e"][two], 4 * n["loss e*e"][one]), condition)


def _signs(n: Any) -> Verdict:
    """A loss misbehaves due to signs if, for some error, its gradient points away from MSE's."""
    proposed, mse = ([g and copysign(1, g) for g in n[f"gradient {name}"]] for name in ("e*sg(e)", "e*e"))
    return decide(proposed != mse)


def _half(n: Any) -> Verdict:
    ratios = [
        n[f"{end} ratio {where}"] for end in ("smallest", "largest") for where in ("of gradients", "under mean()")
    ]
    return decide(n["largest |MSE's gradient - 2(y_hat - y)|"] == 0 and set(ratios) == {0.5})


def _updates(n: Any) -> Verdict:
    return decide(
        n["SGD, rate doubled: apart after 200 steps"] > 0 and n["Adam, same rate: apart after 200 steps"] > 1e-5,
        n["SGD, same rate: apart after 1 step"] > 1e-3,
        "plain SGD keeps its learning rate: doubled, it takes bitwise the same steps, and Adam needs no change",
    )


def _model(n: Any) -> Verdict:
    names = ("SGD on the detached error: from the least-squares solution", "SGD, same rate: apart after 200 steps")
    apart = [n[name] for name in names]
    return decide(max(apart) > 1e-4 * n["size of the weights"])


CLAIMS = (
    Claim(
        id="detached-error/half-gradient",
        statement="The proposed loss always has exactly half of MSE's gradient, 2(y_hat - y).",
        experiment="half",
        judge=each(_half),
        expected="holds",
        explanation="MSE's gradient is bitwise 2(y_hat - y), and over a thousand random errors the ratio of the two "
        "gradients is {torch[smallest ratio of gradients]:g} at the least and {torch[largest ratio of gradients]:g} at "
        "the most, summed or averaged. A product has two equal terms in its derivative, and detaching drops one.",
        faults={
            "a gradient without its factor": {"largest |MSE's gradient - 2(y_hat - y)|": 3.1},
            "a detach that does nothing": {"smallest ratio of gradients": 1.0, "largest ratio of gradients": 1.0},
            "rounding in the mean": {"largest ratio under mean()": 0.50000006},
        },
    ),
    Claim(
        id="detached-error/is-not-mse",
        statement="error * error.detach() is not MSE.",
        experiment="half",
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
        id="detached-error/detached-is-constant",
        statement="To autograd, error.detach() is a constant.",
        experiment="second",
        judge=each(lambda n: decide(n["proposed"] == n["e * 3"] and not near(n["proposed"][1], n["MSE"][1]))),
        expected="holds",
        explanation="Value, first and second derivative at e = 3 are {torch[proposed]}, the same as with the number 3 "
        "in place of the detached error. The value is e^2, with the derivatives {torch[MSE]}, so what autodiff reports "
        "is no longer the derivative of the value that is printed.",
        faults={"a detach that does nothing": {"proposed": [9.0, 6.0, 2.0]}, "a halved MSE": {"MSE": [4.5, 3.0, 1.0]}},
    ),
    Claim(
        id="detached-error/division-by-two",
        statement="Half the gradient is what happens when MSE is divided by 2.",
        experiment="second",
        judge=each(
            lambda n: decide(
                n["proposed"] == n["MSE / 2"],
                n["proposed"][1] == n["MSE / 2"][1],
                "only the first derivative is used: value and second derivative differ",
            )
        ),
        expected="holds only if",
        explanation="Value, first and second derivative at e = 3 are {torch[MSE / 2]} for MSE / 2 but "
        "{torch[proposed]} for the detached error. Its second derivative by autodiff is 0, so Newton's method would "
        "divide by zero.",
        faults={
            "a detach that keeps the curvature": {"proposed": [4.5, 3.0, 1.0]},
            "a gradient that is not half": {"proposed": [9.0, 6.0, 2.0]},
        },
    ),
    Claim(
        id="detached-error/depends-on-square",
        statement="MSE's gradient depends on the error squared.",
        experiment="surfaces",
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
        id="detached-error/signs",
        statement="The proposed loss misbehaves due to signs.",
        experiment="surfaces",
        judge=each(_signs),
        expected="fails",
        explanation="At e = -2 its gradient is {torch[gradient e*sg(e)][0]:g} where MSE's is "
        "{torch[gradient e*e][0]:g}, and the signs agree at every other error too. Variants with an absolute value on "
        "one factor do misbehave, as the next claim shows.",
        faults={"a gradient without its sign": {"gradient e*sg(e)": [1.0] * 4 + [0.0] + [1.0] * 4}},
    ),
    Claim(
        id="detached-error/signs-of-variants",
        statement="With the absolute value on one factor the signs do go wrong.",
        experiment="surfaces",
        judge=each(
            lambda n: decide(
                all(near(n[f"gradient {name}"], [abs(e) for e in n["e"]]) for name in ("|e|*sg(e)", "e*sg(|e|)"))
            )
        ),
        expected="holds",
        explanation="Both e.abs() * e.detach() and e * e.abs().detach() have the gradient |e|, at e = -2 "
        "{torch[gradient |e|*sg(e)][0]:g} and {torch[gradient e*sg(|e|)][0]:g} where MSE has "
        "{torch[gradient e*e][0]:g}. Descent on them lowers every prediction without end.",
        faults={"variants that keep the sign": {"gradient |e|*sg(e)": [(i - 4) / 2 for i in range(9)]}},
    ),
    Claim(
        id="detached-error/same-updates",
        statement="The proposed loss will not produce the same updates as MSE.",
        experiment="training",
        judge=each(_updates),
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
        experiment="training",
        judge=each(_model),
        expected="fails",
        explanation="At the same learning rate both end at the least-squares solution: after 200 steps they are "
        "{torch[SGD, same rate: apart after 200 steps]:.1e} apart, with weights of size "
        "{torch[size of the weights]:.2g}. Half a gradient vanishes where the whole one does, so the minimum is the "
        "same and only the way there is slower.",
        faults={
            "another minimum": {"SGD on the detached error: from the least-squares solution": 0.2},
            "training that ends elsewhere": {"SGD, same rate: apart after 200 steps": 0.2},
        },
    ),
)

SOURCE = Source(
    "detached-error",
    "The detached error",
    "A question about error * error.detach() as a loss beside MSE, with an answer and comments.",
    CLAIMS,
)
