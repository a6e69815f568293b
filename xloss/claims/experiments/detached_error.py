"""Experiments on ``error * error.detach()``; see `xloss.claims.detached_error`."""

# A named lambda is the shortest form of what a reader shall copy.
# ruff: noqa: E731

from xloss.claims.model import Measured


def surfaces_torch() -> Measured:
    """Losses of one error e, and what autodiff gives as their gradients; sg(e) is e.detach()."""
    import torch

    e = (torch.arange(-4, 5) / 2).requires_grad_()
    losses = {
        "|e|": e.abs(),
        "e*e": e * e,
        "e.pow(2)": e.pow(2),
        "e*sg(e)": e * e.detach(),
        "e*sg(|e|)": e * e.abs().detach(),
        "|e|*sg(e)": e.abs() * e.detach(),
    }
    numbers = {"e": e.tolist()}
    for name, loss in losses.items():
        numbers[f"loss {name}"] = loss.tolist()
        numbers[f"gradient {name}"] = torch.autograd.grad(loss.sum(), e)[0].tolist()
    return numbers


def surfaces_jax() -> Measured:
    """Losses of one error e, and what autodiff gives as their gradients; sg(e) is stop_gradient(e)."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    sg = jax.lax.stop_gradient
    losses = {
        "|e|": lambda e: jnp.abs(e),
        "e*e": lambda e: e * e,
        "e.pow(2)": lambda e: e**2,
        "e*sg(e)": lambda e: e * sg(e),
        "e*sg(|e|)": lambda e: e * sg(jnp.abs(e)),
        "|e|*sg(e)": lambda e: jnp.abs(e) * sg(e),
    }
    e = np.arange(-4, 5, dtype="float32") / 2
    numbers = {"e": e.tolist()}
    measure = jax.jit(lambda e: {name: (loss(e), jax.vmap(jax.grad(loss))(e)) for name, loss in losses.items()})
    for name, (loss, gradient) in measure(e).items():
        numbers[f"loss {name}"] = loss.tolist()
        numbers[f"gradient {name}"] = gradient.tolist()
    return numbers


def signs_torch() -> Measured:
    """The sign table: the sign of each loss's gradient at five errors; sg(e) is e.detach()."""
    import torch

    e = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0], requires_grad=True)
    losses = {
        "e*e": e * e,
        "e*sg(e)": e * e.detach(),
        "e*sg(|e|)": e * e.abs().detach(),
        "|e|*sg(e)": e.abs() * e.detach(),
    }
    signs = {f"sign for {name}": torch.autograd.grad(loss.sum(), e)[0].sign() for name, loss in losses.items()}
    return {"e": e.tolist()} | {name: sign.tolist() for name, sign in signs.items()}


def signs_jax() -> Measured:
    """The sign table: the sign of each loss's gradient at five errors; sg(e) is stop_gradient(e)."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    e, sg = np.array([-2, -0.5, 0, 0.5, 2], "float32"), jax.lax.stop_gradient
    losses = {
        "e*e": lambda e: e * e,
        "e*sg(e)": lambda e: e * sg(e),
        "e*sg(|e|)": lambda e: e * sg(jnp.abs(e)),
        "|e|*sg(e)": lambda e: jnp.abs(e) * sg(e),
    }
    signs = jax.jit(lambda e: {f"sign for {name}": jnp.sign(jax.vmap(jax.grad(f))(e)) for name, f in losses.items()})
    return {"e": e.tolist()} | {name: sign.tolist() for name, sign in signs(e).items()}


def half_torch() -> Measured:
    """MSE and error * error.detach() on a thousand random errors."""
    import numpy as np
    import torch

    predicted, labels = np.random.default_rng(0).normal(size=(2, 1000)).astype("float32")
    y_hat, y = torch.tensor(predicted, requires_grad=True), torch.tensor(labels)
    error = y_hat - y
    mse, proposed = error * error, error * error.detach()
    (g,) = torch.autograd.grad(mse.sum(), y_hat, retain_graph=True)
    (h,) = torch.autograd.grad(proposed.sum(), y_hat, retain_graph=True)
    (g_mean,) = torch.autograd.grad(mse.mean(), y_hat, retain_graph=True)
    (h_mean,) = torch.autograd.grad(proposed.mean(), y_hat)
    return {
        "largest |MSE's gradient - 2(y_hat - y)|": (g - 2 * error).abs().max().item(),
        "smallest ratio of gradients": (h / g).min().item(),
        "largest ratio of gradients": (h / g).max().item(),
        "smallest ratio under mean()": (h_mean / g_mean).min().item(),
        "largest ratio under mean()": (h_mean / g_mean).max().item(),
        "errors whose gradients differ in sign": (h.sign() != g.sign()).sum().item(),
        "largest difference of the values": (proposed - mse).abs().max().item(),
    }


def half_jax() -> Measured:
    """MSE and error * stop_gradient(error) on a thousand random errors."""
    import jax
    import numpy as np

    y_hat, y = np.random.default_rng(0).normal(size=(2, 1000)).astype("float32")
    mse = lambda y_hat: (y_hat - y) * (y_hat - y)
    proposed = lambda y_hat: (y_hat - y) * jax.lax.stop_gradient(y_hat - y)

    @jax.jit
    def gradients(y_hat):
        sums = (jax.grad(lambda y_hat, f=f: f(y_hat).sum())(y_hat) for f in (mse, proposed))
        means = (jax.grad(lambda y_hat, f=f: f(y_hat).mean())(y_hat) for f in (mse, proposed))
        return *sums, *means

    g, h, g_mean, h_mean = map(np.asarray, gradients(y_hat))
    return {
        "largest |MSE's gradient - 2(y_hat - y)|": np.abs(g - 2 * (y_hat - y)).max().item(),
        "smallest ratio of gradients": (h / g).min().item(),
        "largest ratio of gradients": (h / g).max().item(),
        "smallest ratio under mean()": (h_mean / g_mean).min().item(),
        "largest ratio under mean()": (h_mean / g_mean).max().item(),
        "errors whose gradients differ in sign": (np.sign(h) != np.sign(g)).sum().item(),
        "largest difference of the values": np.abs(jax.jit(proposed)(y_hat) - jax.jit(mse)(y_hat)).max().item(),
    }


def constant_torch() -> Measured:
    """The detached error against a plain number in its place, at e = 3."""
    import torch

    e = torch.tensor(3.0, requires_grad=True)
    (detached,) = torch.autograd.grad(e * e.detach(), e)
    (number,) = torch.autograd.grad(e * 3.0, e)
    value = lambda e: e * e.detach()
    return {
        "gradient with the detached error": detached.item(),
        "gradient with the number 3 in its place": number.item(),
        "slope of the value, by differences": (value(e + 1 / 64) - value(e - 1 / 64)).item() * 32,
    }


def constant_jax() -> Measured:
    """The stopped error against a plain number in its place, at e = 3."""
    import jax

    value = lambda e: e * jax.lax.stop_gradient(e)
    return {
        "gradient with the detached error": jax.grad(value)(3.0).item(),
        "gradient with the number 3 in its place": jax.grad(lambda e: e * 3.0)(3.0).item(),
        "slope of the value, by differences": float(value(3 + 1 / 64) - value(3 - 1 / 64)) * 32,
    }


def training_torch() -> Measured:
    """Linear regression trained with MSE and with the detached error."""
    import numpy as np
    import torch

    data = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    x, y = torch.tensor(data[:, :3]), torch.tensor(data @ np.array([1, -2, 3, 0.1], "float32"))

    def train(detach, optimizer, lr, steps):
        w = torch.zeros(3, requires_grad=True)
        step = getattr(torch.optim, optimizer)([w], lr=lr)
        for _ in range(steps):
            error = x @ w - y
            step.zero_grad()
            (error * (error.detach() if detach else error)).mean().backward()
            step.step()
        return w.detach()

    best = torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
    apart = lambda a, b: (a - b).abs().max().item()
    sgd, adam = train(False, "SGD", 0.1, 200), train(False, "Adam", 0.1, 200)
    return {
        "SGD, same rate: apart after 1 step": apart(train(True, "SGD", 0.1, 1), train(False, "SGD", 0.1, 1)),
        "SGD, rate doubled: apart after 1 step": apart(train(True, "SGD", 0.2, 1), train(False, "SGD", 0.1, 1)),
        "SGD, rate doubled: apart after 200 steps": apart(train(True, "SGD", 0.2, 200), sgd),
        "SGD, same rate: apart after 200 steps": apart(train(True, "SGD", 0.1, 200), sgd),
        "Adam, same rate: apart after 200 steps": apart(train(True, "Adam", 0.1, 200), adam),
        "SGD on the detached error: from the least-squares solution": apart(train(True, "SGD", 0.1, 200), best),
        "size of the weights": best.abs().max().item(),
    }


def training_jax() -> Measured:
    """Linear regression trained with MSE and with the detached error, the optimizers written out."""
    import functools

    import jax
    import jax.numpy as jnp
    import numpy as np

    data = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    x, y = jnp.asarray(data[:, :3]), jnp.asarray(data @ np.array([1, -2, 3, 0.1], "float32"))

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def train(detach, optimizer, lr, steps):
        def loss(w):
            error = x @ w - y
            return (error * (jax.lax.stop_gradient(error) if detach else error)).mean()

        def step(i, state):
            w, m, v = state
            g = jax.grad(loss)(w)
            if optimizer == "SGD":
                return w - lr * g, m, v
            m, v, t = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g, i + 1.0
            return w - lr * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v

        return jax.lax.fori_loop(0, steps, step, (jnp.zeros(3),) * 3)[0]

    best = jnp.linalg.lstsq(x, y)[0]
    apart = lambda a, b: jnp.abs(a - b).max().item()
    sgd, adam = train(False, "SGD", 0.1, 200), train(False, "Adam", 0.1, 200)
    return {
        "SGD, same rate: apart after 1 step": apart(train(True, "SGD", 0.1, 1), train(False, "SGD", 0.1, 1)),
        "SGD, rate doubled: apart after 1 step": apart(train(True, "SGD", 0.2, 1), train(False, "SGD", 0.1, 1)),
        "SGD, rate doubled: apart after 200 steps": apart(train(True, "SGD", 0.2, 200), sgd),
        "SGD, same rate: apart after 200 steps": apart(train(True, "SGD", 0.1, 200), sgd),
        "Adam, same rate: apart after 200 steps": apart(train(True, "Adam", 0.1, 200), adam),
        "SGD on the detached error: from the least-squares solution": apart(train(True, "SGD", 0.1, 200), best),
        "size of the weights": jnp.abs(best).max().item(),
    }


def second_torch() -> Measured:
    """Value, first and second derivative by autodiff at e = 3: MSE, the proposed loss, and MSE / 2."""
    import torch

    losses = {"MSE": lambda e: e * e, "proposed": lambda e: e * e.detach(), "MSE / 2": lambda e: e * e / 2}
    e = torch.tensor(3.0)
    numbers: dict = {}
    for name, loss in losses.items():
        numbers[name] = [f(loss)(e).item() for f in (lambda f: f, torch.func.grad, torch.func.hessian)]
        product = torch.func.jvp(torch.func.grad(loss), (e,), (torch.tensor(5.0),))[1]
        numbers[f"{name}: Hessian-vector product with 5"] = product.item()
    e.requires_grad_()
    try:
        (gradient,) = torch.autograd.grad(losses["proposed"](e), e, create_graph=True)
        torch.autograd.grad(gradient, e)
    except RuntimeError as error:
        numbers["autograd.grad a second time"] = str(error)
    return numbers


def second_jax() -> Measured:
    """Value, first and second derivative by autodiff at e = 3: MSE, the proposed loss, and MSE / 2."""
    import jax

    stop = jax.lax.stop_gradient
    losses = {"MSE": lambda e: e * e, "proposed": lambda e: e * stop(e), "MSE / 2": lambda e: e * e / 2}

    @jax.jit
    def measure(e):
        numbers = {}
        for name, loss in losses.items():
            numbers[name] = [loss(e), jax.grad(loss)(e), jax.hessian(loss)(e)]
            numbers[f"{name}: Hessian-vector product with 5"] = jax.jvp(jax.grad(loss), (e,), (5.0,))[1]
        return numbers

    return jax.tree.map(float, measure(3.0))


def as_typed_torch() -> Measured:
    """The last line of the code as it was typed, `.backwards()`."""
    import torch

    e = torch.tensor([1.0, -2.0], requires_grad=True)
    loss = (e * e.detach()).mean()
    numbers: dict = {"has .backwards()": hasattr(loss, "backwards"), "has .backward()": hasattr(loss, "backward")}
    try:
        loss.backwards()
    except AttributeError as error:
        numbers["says"] = str(error)
    loss.backward()
    return numbers | {"gradient by .backward()": e.grad.tolist()}


def as_typed_jax() -> Measured:
    """The same on a JAX array, which has no such method at all: gradients belong to functions."""
    import jax
    import jax.numpy as jnp

    e = jnp.asarray([1.0, -2.0])
    f = lambda e: (e * jax.lax.stop_gradient(e)).mean()
    numbers: dict = {"has .backwards()": hasattr(f(e), "backwards"), "has .backward()": hasattr(f(e), "backward")}
    try:
        f(e).backwards()
    except AttributeError as error:
        numbers["says"] = str(error)
    return numbers | {"gradient by jax.grad": jax.grad(f)(e).tolist()}
