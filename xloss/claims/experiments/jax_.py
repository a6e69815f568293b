"""Measure the claims' numbers in JAX; `torch_` has the counterpart of each function."""

# ruff: noqa: E731
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from xloss.claims.model import Measured


def points() -> tuple[np.ndarray, np.ndarray]:
    """Return eight inputs and targets of a regression with one weight."""
    x, y = np.random.default_rng(0).normal(size=(2, 8)).astype("float32")
    return x, y


def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return eight inputs, their labels of three classes, and the weights of a linear classifier."""
    rng = np.random.default_rng(0)
    x, t, w = rng.normal(size=(8, 5)), rng.integers(3, size=8), rng.normal(size=(5, 3))
    return x.astype("float32"), t, w.astype("float32")


def cross_entropy(w: jax.Array, x: jax.Array, t: jax.Array) -> jax.Array:
    """Return the loss of each row."""
    return -(jax.nn.log_softmax(x @ w) * jax.nn.one_hot(t, 3)).sum(-1)


def largest(x: jax.Array) -> float:
    """Return the largest absolute value."""
    return np.abs(np.asarray(x)).max().item()


def surfaces() -> Measured:
    """Measure the losses of one error e and their gradients; sg(e) is stop_gradient(e)."""
    losses = {
        "e*e": lambda e: e * e,
        "e*sg(e)": lambda e: e * jax.lax.stop_gradient(e),
        "e*sg(|e|)": lambda e: e * jax.lax.stop_gradient(jnp.abs(e)),
        "|e|*sg(e)": lambda e: jnp.abs(e) * jax.lax.stop_gradient(e),
    }
    e = np.arange(-4, 5, dtype="float32") / 2
    numbers = {"e": e.tolist()}
    for name, f in losses.items():
        loss, slope = jax.vmap(jax.value_and_grad(f))(e)
        numbers |= {f"loss {name}": loss.tolist(), f"gradient {name}": slope.tolist()}
    return numbers


def half() -> Measured:
    """Compare MSE and error * stop_gradient(error) on a thousand random errors."""
    y_hat, y = np.random.default_rng(0).normal(size=(2, 1000)).astype("float32")
    mse = lambda y_hat: (y_hat - y) * (y_hat - y)
    proposed = lambda y_hat: (y_hat - y) * jax.lax.stop_gradient(y_hat - y)
    gradient = lambda loss, reduce: np.asarray(jax.jit(jax.grad(lambda y_hat: reduce(loss(y_hat))))(y_hat))
    ratio = gradient(proposed, jnp.sum) / gradient(mse, jnp.sum)
    ratio_of_means = gradient(proposed, jnp.mean) / gradient(mse, jnp.mean)
    return {
        "largest |MSE's gradient - 2(y_hat - y)|": largest(gradient(mse, jnp.sum) - 2 * (y_hat - y)),
        "smallest ratio of gradients": ratio.min().item(),
        "largest ratio of gradients": ratio.max().item(),
        "smallest ratio under mean()": ratio_of_means.min().item(),
        "largest ratio under mean()": ratio_of_means.max().item(),
        "largest difference of the values": largest(jax.jit(proposed)(y_hat) - jax.jit(mse)(y_hat)),
    }


def training() -> Measured:
    """Train a linear regression with MSE and with the detached error, the optimizers written out."""
    data = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    x, y = jnp.asarray(data[:, :3]), jnp.asarray(data @ np.array([1, -2, 3, 0.1], "float32"))

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def train(detach: bool, optimizer: str, lr: float, steps: int) -> jax.Array:
        def loss(w: jax.Array) -> jax.Array:
            error = x @ w - y
            return (error * (jax.lax.stop_gradient(error) if detach else error)).mean()

        def step(i: jax.Array, state: tuple) -> tuple:
            w, m, v = state
            g, t = jax.grad(loss)(w), i + 1.0
            if optimizer == "SGD":
                return w - lr * g, m, v
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            return w - lr * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v

        return jax.lax.fori_loop(0, steps, step, (jnp.zeros(3),) * 3)[0]

    best, apart = jnp.linalg.lstsq(x, y)[0], lambda a, b: largest(a - b)
    sgd, adam = train(False, "SGD", 0.1, 200), train(False, "Adam", 0.1, 200)
    return {
        "SGD, same rate: apart after 1 step": apart(train(True, "SGD", 0.1, 1), train(False, "SGD", 0.1, 1)),
        "SGD, rate doubled: apart after 200 steps": apart(train(True, "SGD", 0.2, 200), sgd),
        "SGD, same rate: apart after 200 steps": apart(train(True, "SGD", 0.1, 200), sgd),
        "Adam, same rate: apart after 200 steps": apart(train(True, "Adam", 0.1, 200), adam),
        "SGD on the detached error: from the least-squares solution": apart(train(True, "SGD", 0.1, 200), best),
        "size of the weights": largest(best),
    }


def second() -> Measured:
    """Measure value, first and second derivative by autodiff at e = 3."""
    losses = {"MSE": lambda e: e * e, "proposed": lambda e: e * jax.lax.stop_gradient(e)}
    losses |= {"MSE / 2": lambda e: e * e / 2, "e * 3": lambda e: e * 3}
    derivatives = (lambda f: f, jax.grad, jax.hessian)
    return {name: [float(f(loss)(3.0)) for f in derivatives] for name, loss in losses.items()}


def printed() -> Measured:
    """Measure the notebook's two predictions, with a large and with a small error."""
    y = np.array([0, 1, 0, 0], "float32")
    numbers: Measured = {}
    for row, certainty in {"large error": 0.5, "small error": 0.9}.items():
        p = np.array([0.001, certainty, 0.1, 0.1], "float32")
        norm = float(jnp.linalg.norm(y - p))
        numbers |= {f"'L1 Loss', {row}": norm, f"L2 Loss, {row}": norm**2}
        numbers[f"Log Loss, {row}"] = float((-y * jnp.log(p)).sum())
        numbers[f"sum of |y - p|, {row}"] = float(jnp.abs(y - p).sum())
    return numbers


def cotangent() -> Measured:
    """Call jax.vjp's function with LossDelta, and with 1."""
    y, p, lower = np.array([[0, 1, 0, 0], [0.001, 0.5, 0.1, 0.1], [0.001, 0.55, 0.1, 0.1]], "float32")
    loss, pullback = jax.vjp(lambda p: jnp.linalg.norm(y - p) ** 2, lower)
    delta = jnp.linalg.norm(y - p) ** 2 - loss
    return {
        "loss after the step": float(loss),
        "LossDelta": float(delta),
        "gradient given LossDelta": pullback(delta)[0].tolist(),
        "gradient given nothing": pullback(jnp.ones_like(loss))[0].tolist(),
    }


def custom() -> Measured:
    """Use the notebook's square, whose backward returns the incoming gradient, as a jax.custom_vjp; called three
    times.
    """
    square = jax.custom_vjp(lambda i: i**2)
    square.defvjp(lambda i: (i**2, None), lambda saved, grad_output: (grad_output,))
    norm = lambda p: jnp.linalg.norm(jnp.eye(len(p))[1] - p)
    ratio = lambda p: float((jax.grad(lambda p: square(norm(p)))(p) / jax.grad(lambda p: norm(p) ** 2)(p))[1])
    p = np.array([0.001, 0.55, 0.1, 0.1], "float32")
    returned = [np.asarray(jax.grad(lambda p: square(norm(p)) * 0.0475)(p)) for _ in range(3)]
    stored = list(itertools.accumulate(returned))  # JAX stores nothing: who wants a sum adds
    return {
        "custom gradient": stored[0].tolist(),
        "after two calls": stored[1].tolist(),
        "after three calls": stored[2].tolist(),
        "added up over the calls": [float(total[1] / stored[0][1]) for total in stored],
        "returned by each call": [float(one[1] / stored[0][1]) for one in returned],
        "custom / right": ratio(p),
        "1 / (2 norm)": 1 / (2 * float(norm(p))),
        "custom / right where the norm is 0.5": ratio(np.array([0, 0.5], "float32")),
    }


def sum_or_mean() -> Measured:
    """Measure the squared error of four predictions, summed as in the formula, and averaged."""
    y, y_hat = np.array([[1, 2, 3, 4], [1.5, 1, 3, 6]], "float32")
    total, mean = float(jnp.sum((y - y_hat) ** 2)), float(jnp.mean((y - y_hat) ** 2))
    one, mean_of_one = float(jnp.sum((y - y_hat)[:1] ** 2)), float(jnp.mean((y - y_hat)[:1] ** 2))
    return {
        "sum (y - y_hat)^2": total,
        "mse_loss": mean,
        "mse_loss, reduction='sum'": total,
        "sum / mse_loss, one prediction": one / mean_of_one,
    }


def norm_squared() -> Measured:
    """Compare norm(r)^2 against sum(r^2), values and gradients, at a residual and at the zero residual."""
    numbers: Measured = {}
    for name, residual in {"at a residual": [3, -4, 12], "at zero": [0, 0, 0]}.items():
        r = np.array(residual, "float32")
        value, g = jax.value_and_grad(lambda r: jnp.linalg.norm(r) ** 2)(r)
        total, h = jax.value_and_grad(lambda r: (r**2).sum())(r)
        numbers[f"values {name}"] = [float(value), float(total)]
        numbers[f"gradient of norm^2 is finite {name}"] = bool(np.isfinite(g).all())
        numbers[f"gradients apart {name}, where finite"] = largest(jnp.nan_to_num(g - h))
    return numbers


def stated() -> Measured:
    """Compare the derivative as stated, 2 sum [y - f(x)] df/dw, against autodiff, for f(x) = x w."""
    x, y = np.array([[1, 2, -1], [1, -1, 2]], "float32")
    autodiff, as_stated = jax.grad(lambda w: ((y - x * w) ** 2).sum())(2.0).item(), (2 * (y - x * 2) * x).sum().item()
    return {"autodiff": autodiff, "as stated": as_stated, "stated / autodiff": as_stated / autodiff}


def value() -> Measured:
    """Measure the squared error of x*w = w against 1, beside the root of the square, for several w."""
    w = np.array([-1, 0, 0.5, 1.5, 2, 3, 4], "float32")
    numbers = {"w": w.tolist()}
    losses = {"mse_loss": lambda w: (w - 1) ** 2, "sqrt((1 - w)^2)": lambda w: jnp.sqrt((1 - w) ** 2)}
    for name, f in losses.items():
        loss, slope = jax.vmap(jax.value_and_grad(f))(w)
        numbers |= {name: loss.tolist(), f"gradient of {name}": slope.tolist()}
    return numbers


def integer() -> Measured:
    """Show what jnp.full([1], 2) is, and what asking for its gradient says."""
    w = jnp.full([1], 2)
    numbers = {"is a float": jnp.issubdtype(w.dtype, jnp.floating), "its type": str(w.dtype), "runs": True}
    try:
        jax.grad(lambda w: jnp.sum((w - 1) ** 2))(w)
    except TypeError as error:
        numbers |= {"runs": False, "says": str(error).split(". ")[0]}
    return numbers


def no_grad() -> Measured:
    """Show that in JAX nothing is marked, but a computed loss has no gradient: jax.grad wants the function that
    computes it.
    """
    loss = lambda w: (1.0 * w - 1.0) ** 2
    numbers = {"gradient, nothing marked": jax.grad(loss)(2.0).item(), "works on a computed loss": True}
    try:
        jax.grad(loss(2.0))(2.0)
    except TypeError as error:
        numbers |= {"works on a computed loss": False, "says on a computed loss": str(error)}
    return numbers


def two_ways() -> Measured:
    """Compare jax.grad and jax.vjp, each called twice, beside 2 * (1 - 2) * (-1)."""
    loss = lambda w: (1.0 * w - 1.0) ** 2
    return {
        "jax.grad, two calls": [jax.grad(loss)(2.0).item() for _ in range(2)],
        "jax.vjp, two calls": [jax.vjp(loss, 2.0)[1](1.0)[0].item() for _ in range(2)],
        "by hand": 2 * (1 - 2) * (-1),
    }


def towards_zero() -> Measured:
    """Measure values and gradients of L1 and L2 as the error shrinks to 0, and the slopes of |e| on either side of
    0.
    """
    e = np.array([2, 1, 0.01, 1e-30, 0], "float32")
    numbers: Measured = {}
    for name, loss in {"L1": jnp.abs, "L2": jnp.square}.items():
        values, slopes = jax.vmap(jax.value_and_grad(loss))(e)
        numbers |= {name: values.tolist(), f"gradient of {name}": slopes.tolist()}
    h = np.array([-1e-30, 1e-30], "float32")
    return numbers | {"error": e.tolist(), "slope of |e| left and right of 0": (jnp.abs(h) / h).tolist()}


def huber() -> Measured:
    """Divide Huber's loss by smooth L1, and the latter's slope by MSE's below the threshold and L1's above."""
    smooth = lambda e, beta: jnp.where(e < beta, 0.5 * e**2 / beta, e - 0.5 * beta)
    huber = lambda e, beta: jnp.where(e <= beta, 0.5 * e**2, beta * (e - 0.5 * beta))
    slope, e, betas = jax.grad(smooth), np.arange(1, 25, dtype="float32") / 4, [0.5, 1.0, 2.0]
    ratios = [huber(e, beta) / smooth(e, beta) for beta in betas]
    return {
        "beta = delta": betas,
        "smallest ratio": [ratio.min().item() for ratio in ratios],
        "largest ratio": [ratio.max().item() for ratio in ratios],
        "below: smooth / MSE": [float(slope(0.25, beta) / jax.grad(jnp.square)(0.25)) for beta in betas],
        "above: smooth / L1": [float(slope(8.0, beta) / jax.grad(jnp.abs)(8.0)) for beta in betas],
    }


def probabilities() -> Measured:
    """Compare the NLL formula given probabilities, and given their logarithms; the true class is the first."""
    true = np.array([0.9, 0.7, 0.5, 0.3, 0.1, 0.01], "float32")
    p = jnp.stack([true, 1 - true], 1)
    numbers = {"probability of the true class": true.tolist(), "-log of the probability": (-np.log(true)).tolist()}
    for name, x in {"probabilities": p, "log-probabilities": jnp.log(p)}.items():
        numbers[f"nll_loss of {name}"] = (-x[:, 0]).tolist()
    return numbers


def weighted() -> Measured:
    """Apply class weights 1, 2, 5 in a mean: jnp.average over labels, the plain mean over one-hot, and rows
    repeated.
    """
    x, t = np.random.default_rng(0).normal(size=(6, 3)).astype("float32"), np.array([0, 0, 0, 1, 1, 2])
    w, repeat = np.array([1, 2, 5], "float32"), np.repeat(np.arange(6), [1, 1, 1, 2, 2, 5])
    losses = -jax.nn.log_softmax(x)[np.arange(6), t]
    return {
        "sum / sum of weights": float((w[t] * losses).sum() / w[t].sum()),
        "sum / number of rows": float((w[t] * losses).sum() / 6),
        "cross_entropy, labels": float(jnp.average(losses, weights=w[t])),
        "nll_loss, labels": float(jnp.average(losses, weights=w[t])),
        "cross_entropy, one-hot": float(-(w * jax.nn.one_hot(t, 3) * jax.nn.log_softmax(x)).sum(1).mean()),
        "rows repeated": float(losses[repeat].mean()),
    }


def exclude() -> Measured:
    """Exclude class 0 by a mask and by a zero weight: gradients of its rows, and of its logit elsewhere."""
    x, t = np.random.default_rng(0).normal(size=(4, 3)).astype("float32"), np.array([0, 0, 1, 2])
    losses = lambda x: -jax.nn.log_softmax(x)[jnp.arange(4), t]
    ways, numbers = {
        "ignore_index": lambda x: jnp.where(t != 0, losses(x), 0).sum() / np.float32((t != 0).sum()),
        "weight 0": lambda x: jnp.average(losses(x), weights=np.array([0, 1, 1], "float32")[t]),
    }, {}  # fmt: skip
    for name, f in ways.items():
        loss, g = jax.value_and_grad(f)(x)
        numbers[f"{name}: largest gradient in rows of class 0"] = largest(g[:2])
        numbers[f"{name}: largest gradient of logit 0 in other rows"] = largest(g[2:, 0])
        numbers[f"{name}: distance from leaving the rows out"] = abs(float(loss) - float(losses(x)[2:].mean()))
    return numbers


def four_ways() -> Measured:
    """Measure the question's four averages and their six discrepancies, in its order."""
    (x, t, w), n = batch(), 8
    one = jax.jit(jax.grad(lambda w, x, t: cross_entropy(w, x, t).mean()))
    g = [np.asarray(one(w, x[i : i + 1], t[i : i + 1])) for i in range(n)]
    ways = [
        np.asarray(jax.jit(jax.jacrev(cross_entropy))(w, x, t)).sum(0) / n,
        np.asarray(jax.jit(jax.grad(lambda w: cross_entropy(w, x, t).sum() / n))(w)),
        np.asarray(one(w, x, t)),
        sum(g) / n,
    ]
    fresh = sum(np.asarray(jax.grad(lambda w, i=i: cross_entropy(w, x, t)[i])(w)) for i in range(n)) / n
    return {
        "nothing to zero": [largest(a - b) for a, b in itertools.combinations(ways, 2)],
        "fresh graphs, nothing to zero": largest(fresh - ways[2]),
        "max |g_1 - g_0| / n": largest(g[1] - g[0]) / n,
    }


def stored() -> Measured:
    """Show what happens to a stored gradient when the next one is computed, and when somebody writes into it."""
    gradient, w = jax.grad(lambda w, c: (w * c).sum()), np.array([1, 2], "float32")
    stored = gradient(w, np.array([3, 5], "float32"))
    numbers = {"what was stored": stored.tolist(), "an array can be written into": True}
    gradient(w, np.array([7, 9], "float32"))
    try:
        stored[:] = 0
    except TypeError as error:
        numbers |= {"an array can be written into": False, "says": str(error).split(". ")[0]}
    try:
        np.asarray(stored)[:] = 0
    except ValueError as error:
        numbers["its NumPy view says"] = str(error)
    return numbers | {"stored gradient after the attempts": stored.tolist()}


def linear() -> Measured:
    """Measure the gradient of the summed losses, sum of the single gradients, and the loss of the summed inputs
    instead.
    """
    x, t, w = batch()
    one = jax.jit(jax.grad(cross_entropy))
    of_sum = np.asarray(jax.grad(lambda w: cross_entropy(w, x, t).sum())(w))
    of_mean = np.asarray(jax.grad(lambda w: cross_entropy(w, x, t).mean())(w))
    sum_of = sum(np.asarray(one(w, x[i], t[i])) for i in range(8))
    return {
        "size of the gradient": largest(sum_of),
        "gradient of the sum, from the sum of gradients": largest(of_sum - sum_of),
        "gradient of the mean times n, from the sum of gradients": largest(8 * of_mean - sum_of),
        "gradient at the summed inputs, from the sum of gradients": largest(one(w, x.sum(0), t[0]) - sum_of),
        "gradient of the sum / gradient of the mean": (of_sum / of_mean).flatten()[:4].tolist(),
        "n": 8,
    }


def batch_size() -> Measured:
    """Measure the gradient when the same data come once and four times over."""
    (x, y), numbers = points(), {}
    for name, reduce in {"mean": jnp.mean, "sum": jnp.sum}.items():
        gradient = jax.grad(lambda w, x, y, reduce=reduce: reduce((x * w - y) ** 2))
        ratio = gradient(0.5, np.tile(x, 4), np.tile(y, 4)) / gradient(0.5, x, y)
        numbers[f"{name}: gradient at four times the batch / at once"] = float(ratio)
    return numbers


def micro() -> Measured:
    """Compare the mean of two micro-batch means, and sums divided once by the whole denominator, against the whole
    batch.
    """
    (x, _, w), t, ones = batch(), np.array([0, 1, 2, 0, 2, 2, 2, 1]), np.ones(8, "float32")
    cases = {
        "plain": ones,
        "class weights": np.array([1, 2, 10], "float32")[t],
        "ignore_index": ones * (np.arange(8) > 2),
    }
    gradient = jax.jit(jax.grad(lambda w, x, t, v, total: (v * cross_entropy(w, x, t)).sum() / total))
    numbers, norm = {}, np.linalg.norm
    for name, v in cases.items():
        parts = [(x[a : a + 4], t[a : a + 4], v[a : a + 4]) for a in (0, 4)]
        whole = np.asarray(gradient(w, x, t, v, v.sum()))
        added = sum(np.asarray(gradient(w, *part, part[2].sum())) for part in parts)
        sums = sum(np.asarray(gradient(w, *part, np.float32(1))) for part in parts) / v.sum()
        numbers[f"{name}: means added / whole batch"] = (norm(added) / norm(whole)).item()
        numbers[f"{name}: mean of means"] = (norm(added / 2 - whole) / norm(whole)).item()
        numbers[f"{name}: sums / whole denominator"] = (norm(sums - whole) / norm(whole)).item()
    return numbers


def coupled() -> Measured:
    """Measure the relative error of averaging over samples, with and without a batch normalisation in front of the
    weight.
    """
    (x, y), numbers = points(), {}
    layers = {"no coupling": lambda x: x, "batch norm": lambda x: (x - x.mean()) / jnp.sqrt(x.var() + 1e-5)}
    layers["batch norm, frozen"] = lambda x: x / jnp.sqrt(jnp.float32(1 + 1e-5))
    for name, layer in layers.items():
        losses = lambda w, x, y, layer=layer: (w * layer(x) - y) ** 2
        gradient = jax.grad(lambda w, x, y, losses=losses: losses(w, x, y).mean())
        whole, sliced = gradient(0.5, x, y), jax.jacrev(losses)(0.5, x, y).mean()
        pairs = sum(gradient(0.5, x[i : i + 2], y[i : i + 2]) for i in range(0, 8, 2)) / 4
        numbers[f"{name}: fed whole, then sliced"] = abs(float(sliced / whole) - 1)
        numbers[f"{name}: fed in pairs"] = abs(float(pairs / whole) - 1)
    return numbers
