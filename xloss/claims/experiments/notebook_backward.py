"""Experiments on a notebook about losses and ``backward``; see `xloss.claims.notebook_backward`."""

# A named lambda is the shortest form of what a reader shall copy.
# ruff: noqa: E731, ARG004

from xloss.claims.model import Measured


def cotangent_torch() -> Measured:
    """backward(gradient=LossDelta), and backward() without it."""
    import torch

    y, p = torch.tensor([0.0, 1, 0, 0]), torch.tensor([0.001, 0.5, 0.1, 0.1])
    lower = torch.tensor([0.001, 0.55, 0.1, 0.1], requires_grad=True)
    loss = (y - lower).norm().pow(2)
    delta = (y - p).norm().pow(2) - loss.detach()
    loss.backward(gradient=delta, retain_graph=True)
    with_delta, lower.grad = lower.grad, None
    loss.backward()
    return {
        "LossDelta": delta.item(),
        "gradient given LossDelta": with_delta.tolist(),
        "gradient given nothing": lower.grad.tolist(),
        "ratio": (with_delta / lower.grad).tolist(),
    }


def cotangent_jax() -> Measured:
    """jax.vjp's function given LossDelta, and given 1."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    y, p, lower = np.array([[0, 1, 0, 0], [0.001, 0.5, 0.1, 0.1], [0.001, 0.55, 0.1, 0.1]], "float32")

    @jax.jit
    def measure(lower):
        loss, pullback = jax.vjp(lambda p: jnp.linalg.norm(y - p) ** 2, lower)
        delta = jnp.linalg.norm(y - p) ** 2 - loss
        return delta, pullback(delta)[0], pullback(jnp.ones_like(loss))[0]

    delta, with_delta, with_one = measure(lower)
    return {
        "LossDelta": float(delta),
        "gradient given LossDelta": with_delta.tolist(),
        "gradient given nothing": with_one.tolist(),
        "ratio": (np.asarray(with_delta) / np.asarray(with_one)).tolist(),
    }


def custom_torch() -> Measured:
    """The notebook's square, whose backward hands the incoming gradient on, against pow(2)."""
    import torch

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, i):
            return i.pow(2)

        @staticmethod
        def backward(ctx, grad_output):
            return grad_output

    def gradients(p, gradient=1.0):
        p, y = torch.tensor(p, requires_grad=True), torch.eye(len(p))[1]
        norm = (y - p).norm()
        g = [torch.autograd.grad(f(norm) * gradient, p, retain_graph=True)[0] for f in (Square.apply, torch.square)]
        return norm.item(), g[0].tolist(), (g[0][1] / g[1][1]).item()

    norm, custom, ratio = gradients([0.001, 0.55, 0.1, 0.1], 0.0475)
    half_norm, _, half_ratio = gradients([0.0, 0.5])
    return {
        "custom gradient": custom,
        "custom / right": ratio,
        "1 / (2 norm)": 1 / (2 * norm),
        "custom / right where the norm is 0.5": half_ratio,
        "that norm": half_norm,
    }


def custom_jax() -> Measured:
    """The same wrong rule as a jax.custom_vjp, against the power."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    @jax.custom_vjp
    def square(i):
        return i**2

    square.defvjp(lambda i: (i**2, None), lambda saved, grad_output: (grad_output,))

    def gradients(p, gradient=1.0):
        norm = lambda p: jnp.linalg.norm(jnp.eye(len(p))[1] - p)
        losses = (lambda p: square(norm(p)) * gradient, lambda p: norm(p) ** 2 * gradient)
        value, custom, right = jax.jit(lambda p: (norm(p), *(jax.grad(f)(p) for f in losses)))(np.array(p, "float32"))
        return float(value), custom.tolist(), float(custom[1]) / float(right[1])

    norm, custom, ratio = gradients([0.001, 0.55, 0.1, 0.1], 0.0475)
    half_norm, _, half_ratio = gradients([0.0, 0.5])
    return {
        "custom gradient": custom,
        "custom / right": ratio,
        "1 / (2 norm)": 1 / (2 * norm),
        "custom / right where the norm is 0.5": half_ratio,
        "that norm": half_norm,
    }


def right_torch() -> Measured:
    """A square of one's own with the right backward, 2 * i * grad_output, at i = 3."""
    import torch

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, i):
            ctx.save_for_backward(i)
            return i.pow(2)

        @staticmethod
        def backward(ctx, grad_output):
            (i,) = ctx.saved_tensors
            return 2 * i * grad_output

    i = torch.tensor(3.0, requires_grad=True)
    numbers = {}
    for name, f in {"own": Square.apply, "built in": torch.square}.items():
        (first,) = torch.autograd.grad(f(i), i, create_graph=True)
        (second,) = torch.autograd.grad(first, i)
        numbers[name] = [f(i).item(), first.item(), second.item()]
    return numbers


def right_jax() -> Measured:
    """A square of one's own with the right backward, 2 * i * grad_output, at i = 3."""
    import jax
    import jax.numpy as jnp

    @jax.custom_vjp
    def square(i):
        return i**2

    square.defvjp(lambda i: (i**2, i), lambda i, grad_output: (2 * i * grad_output,))

    numbers = {}
    for name, f in {"own": square, "built in": jnp.square}.items():
        derivatives = jax.jit(lambda i, f=f: (f(i), jax.grad(f)(i), jax.grad(jax.grad(f))(i)))
        numbers[name] = [float(d) for d in derivatives(3.0)]
    return numbers


def repeated_torch() -> Measured:
    """backward() three times without zeroing, in multiples of one gradient."""
    import torch

    y, p = torch.tensor([0.0, 1, 0, 0]), torch.tensor([0.001, 0.55, 0.1, 0.1], requires_grad=True)
    loss = (y - p).norm().pow(2)
    (once,) = torch.autograd.grad(loss, p, retain_graph=True)
    stored, returned = [], []
    for _ in range(3):
        loss.backward(retain_graph=True)
        stored.append((p.grad / once)[1].item())
        returned.append((torch.autograd.grad(loss, p, retain_graph=True)[0] / once)[1].item())
    return {"added up over the calls": stored, "returned by each call": returned}


def repeated_jax() -> Measured:
    """jax.grad three times: nothing is stored, so that whoever wants a sum adds."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    y, p = np.array([0, 1, 0, 0], "float32"), np.array([0.001, 0.55, 0.1, 0.1], "float32")
    gradient = jax.jit(jax.grad(lambda p: jnp.linalg.norm(y - p) ** 2))
    once, total = gradient(p), np.zeros(4, "float32")
    stored, returned = [], []
    for _ in range(3):
        g = gradient(p)
        total = total + g
        stored.append(float(total[1] / once[1]))
        returned.append(float(g[1] / once[1]))
    return {"added up over the calls": stored, "returned by each call": returned}


def averaging_torch() -> Measured:
    """Four micro-batches of two accumulated, against the gradient of the mean over all eight."""
    import numpy as np
    import torch

    x, y = torch.tensor(np.random.default_rng(0).normal(size=(2, 8)).astype("float32"))
    w = torch.tensor(0.5, requires_grad=True)
    ((x * w - y) ** 2).mean().backward()
    whole = w.grad.item()
    numbers = {}
    for name, scale in {"added": 1.0, "added, each divided by 4": 0.25}.items():
        w.grad = None
        for i in range(0, 8, 2):
            (((x[i : i + 2] * w - y[i : i + 2]) ** 2).mean() * scale).backward()
        numbers[f"{name} / whole batch"] = w.grad.item() / whole
    return numbers


def averaging_jax() -> Measured:
    """Four micro-batches of two, added by hand, against the gradient of the mean over all eight."""
    import jax
    import numpy as np

    x, y = np.random.default_rng(0).normal(size=(2, 8)).astype("float32")
    gradient = jax.jit(jax.grad(lambda w, x, y: ((x * w - y) ** 2).mean()))
    whole = gradient(0.5, x, y)
    numbers = {}
    for name, scale in {"added": 1.0, "added, each divided by 4": 0.25}.items():
        total = sum(float(gradient(0.5, x[i : i + 2], y[i : i + 2])) * scale for i in range(0, 8, 2))
        numbers[f"{name} / whole batch"] = total / float(whole)
    return numbers


def wrapper_torch() -> Measured:
    """Gradients without Variable, and what Variable and ctx.saved_variables are today; i * i at i = 3."""
    import warnings

    import torch
    from torch.autograd import Function, Variable

    class Square(Function):
        @staticmethod
        def forward(ctx, i):
            ctx.save_for_backward(i)
            return i * i

        @staticmethod
        def backward(ctx, grad_output):
            (i,) = ctx.saved_variables
            return 2 * i * grad_output

    plain = torch.tensor(3.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(plain * plain, plain)
    numbers = {"true gradient": 6.0, "gradient of a plain tensor": gradient.item()}
    wrapped = Variable(torch.tensor(3.0), requires_grad=True)
    numbers["Variable(...) is a plain tensor"] = type(wrapped) is torch.Tensor
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            Square.apply(wrapped).backward()
            numbers["gradient through saved_variables"] = wrapped.grad.item()
        except AttributeError as error:
            numbers["saved_variables says"] = str(error)
    return numbers | {"saved_variables warns": "; ".join(str(w.message) for w in caught) or "nothing"}


def wrapper_jax() -> Measured:
    """Gradients without any wrapper; what a backward needs is handed over as ordinary values; i * i at i = 3."""
    import jax

    @jax.custom_vjp
    def square(i):
        return i * i

    square.defvjp(lambda i: (i * i, i), lambda i, grad_output: (2 * i * grad_output,))
    return {
        "true gradient": 6.0,
        "gradient of a plain tensor": jax.jit(jax.grad(lambda i: i * i))(3.0).item(),
        "gradient through handed-over values": jax.jit(jax.grad(square))(3.0).item(),
    }


def inside_torch() -> Measured:
    """The built-in square of a norm: its backward called by hand, what it saved, and the graph walked."""
    import torch

    p = torch.tensor([0.0, 0.25, 0.0, 0.0], requires_grad=True)
    loss = p.norm().pow(2)
    nodes, waiting = [], [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        nodes.append(node.name())
        waiting += [parent for parent, _ in node.next_functions if parent is not None]
    return {
        "steps that Python can see": len(nodes),
        "their names": " <- ".join(nodes),
        "backward called by hand": loss.grad_fn(torch.tensor(1.0)).item(),
        "what the chain rule wants": 0.5,
        "value it had saved": loss.grad_fn._saved_self.item(),
    }


def inside_jax() -> Measured:
    """The backward of the square of a norm, written out by jax.make_jaxpr and called by hand."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    norm, pullback = jax.vjp(lambda i: i**2, jnp.linalg.norm(np.array([0, 0.25, 0, 0], "float32")))
    steps = jax.make_jaxpr(jax.grad(lambda i: i**2))(0.25).jaxpr.eqns
    return {
        "steps that Python can see": len(steps),
        "their names": " -> ".join(step.primitive.name for step in steps),
        "backward called by hand": pullback(jnp.ones_like(norm))[0].item(),
        "what the chain rule wants": 0.5,
    }
