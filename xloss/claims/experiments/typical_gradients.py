"""Experiments on a text about typical losses and their gradients; see `xloss.claims.typical_gradients`."""

# A named lambda is the shortest form of what a reader shall copy.
# ruff: noqa: E731

from xloss.claims.model import Measured


def sum_or_mean_torch() -> Measured:
    """The squared error of four predictions, summed as in the formula, and by mse_loss."""
    import torch

    mse_loss = torch.nn.functional.mse_loss
    y, y_hat = torch.tensor([1.0, 2, 3, 4]), torch.tensor([1.5, 1, 3, 6])
    total = ((y - y_hat) ** 2).sum()
    return {
        "sum (y - y_hat)^2": total.item(),
        "mse_loss": mse_loss(y_hat, y).item(),
        "mse_loss, reduction='sum'": mse_loss(y_hat, y, reduction="sum").item(),
        "sum / mse_loss, four predictions": (total / mse_loss(y_hat, y)).item(),
        "sum / mse_loss, one prediction": ((y - y_hat)[:1].square().sum() / mse_loss(y_hat[:1], y[:1])).item(),
    }


def sum_or_mean_jax() -> Measured:
    """The squared error of four predictions, summed as in the formula, and averaged."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    y, y_hat = np.array([[1, 2, 3, 4], [1.5, 1, 3, 6]], "float32")
    squares = jax.jit(lambda y, y_hat: (jnp.sum((y - y_hat) ** 2), jnp.mean((y - y_hat) ** 2)))
    total, mean = map(float, squares(y, y_hat))
    one, mean_of_one = map(float, squares(y[:1], y_hat[:1]))
    return {
        "sum (y - y_hat)^2": total,
        "mse_loss": mean,
        "mse_loss, reduction='sum'": total,
        "sum / mse_loss, four predictions": total / mean,
        "sum / mse_loss, one prediction": one / mean_of_one,
    }


def norm_squared_torch() -> Measured:
    """norm(r)^2 against sum(r^2), values and gradients, at a residual and at the zero residual."""
    import torch

    numbers = {}
    for name, residual in {"at a residual": [3.0, -4.0, 12.0], "at zero": [0.0, 0.0, 0.0]}.items():
        r = torch.tensor(residual, requires_grad=True)
        norm_squared, total = torch.linalg.vector_norm(r) ** 2, (r**2).sum()
        (g,) = torch.autograd.grad(norm_squared, r)
        (h,) = torch.autograd.grad(total, r)
        numbers[f"values {name}"] = [norm_squared.item(), total.item()]
        numbers[f"gradient of norm^2 is finite {name}"] = g.isfinite().all().item()
        numbers[f"gradients apart {name}, where finite"] = (g - h).nan_to_num().abs().max().item()
    return numbers


def norm_squared_jax() -> Measured:
    """norm(r)^2 against sum(r^2), values and gradients, at a residual and at the zero residual."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    norm_squared = jax.jit(jax.value_and_grad(lambda r: jnp.linalg.norm(r) ** 2))
    total = jax.jit(jax.value_and_grad(lambda r: (r**2).sum()))
    numbers: dict = {}
    for name, residual in {"at a residual": [3, -4, 12], "at zero": [0, 0, 0]}.items():
        (value, g), (expected, h) = norm_squared(np.array(residual, "float32")), total(np.array(residual, "float32"))
        apart = np.asarray(g) - np.asarray(h)
        numbers[f"values {name}"] = [float(value), float(expected)]
        numbers[f"gradient of norm^2 is finite {name}"] = bool(np.isfinite(g).all())
        numbers[f"gradients apart {name}, where finite"] = np.abs(np.nan_to_num(apart)).max().item()
    return numbers


def p_norm_torch() -> Measured:
    """(sum |x|^p)^(1/p) against the framework's norm, and the triangle inequality for two unit vectors."""
    import torch

    x, (a, b) = torch.tensor([3.0, -4.0, 1.0]), torch.eye(2)
    numbers = {"p": [0.5, 1.0, 2.0, 3.0]}
    norms = [lambda x, p=p: torch.linalg.vector_norm(x, ord=p).item() for p in numbers["p"]]
    numbers["norm"] = [norm(x) for norm in norms]
    numbers["formula"] = [(x.abs() ** p).sum().item() ** (1 / p) for p in numbers["p"]]
    numbers["norm of a sum less sum of norms"] = [norm(a + b) - norm(a) - norm(b) for norm in norms]
    return numbers


def p_norm_jax() -> Measured:
    """(sum |x|^p)^(1/p) against the framework's norm, and the triangle inequality for two unit vectors."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    x, (a, b) = np.array([3, -4, 1], "float32"), np.eye(2, dtype="float32")
    numbers = {"p": [0.5, 1.0, 2.0, 3.0]}
    norms = jax.jit(lambda x: jnp.stack([jnp.linalg.norm(x, ord=p) for p in numbers["p"]]))
    formula = jax.jit(lambda x: jnp.stack([(jnp.abs(x) ** p).sum() ** (1 / p) for p in numbers["p"]]))
    numbers["norm"] = norms(x).tolist()
    numbers["formula"] = formula(x).tolist()
    excess = np.asarray(norms(a + b)) - np.asarray(norms(a)) - np.asarray(norms(b))
    numbers["norm of a sum less sum of norms"] = excess.tolist()
    return numbers


def stated_torch() -> Measured:
    """The derivative as stated, 2 sum [y - f(x)] df/dw, against autodiff, for f(x) = x w."""
    import torch

    x, y = torch.tensor([1.0, 2, -1]), torch.tensor([1.0, -1, 2])
    w = torch.tensor(2.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(((y - x * w) ** 2).sum(), w)
    stated = (2 * (y - x * w) * x).sum()
    return {"autodiff": gradient.item(), "as stated": stated.item(), "stated / autodiff": (stated / gradient).item()}


def stated_jax() -> Measured:
    """The derivative as stated, 2 sum [y - f(x)] df/dw, against autodiff, for f(x) = x w."""
    import jax
    import numpy as np

    x, y = np.array([[1, 2, -1], [1, -1, 2]], "float32")
    gradient = jax.jit(jax.grad(lambda w: ((y - x * w) ** 2).sum()))(2.0).item()
    stated = jax.jit(lambda w: (2 * (y - x * w) * x).sum())(2.0).item()
    return {"autodiff": gradient, "as stated": stated, "stated / autodiff": stated / gradient}


def value_torch() -> Measured:
    """mse_loss of x*w = w against 1, beside the root of the square, for several w."""
    import torch

    w = torch.tensor([-1.0, 0.0, 0.5, 1.5, 2.0, 3.0, 4.0], requires_grad=True)
    numbers = {"w": w.tolist()}
    mse = torch.stack([torch.nn.functional.mse_loss(v, torch.tensor(1.0)) for v in w])
    for name, loss in {"mse_loss": mse, "sqrt((1 - w)^2)": ((1 - w) ** 2).sqrt()}.items():
        numbers[name] = loss.tolist()
        numbers[f"gradient of {name}"] = torch.autograd.grad(loss.sum(), w)[0].tolist()
    return numbers


def value_jax() -> Measured:
    """The squared error of x*w = w against 1, beside the root of the square, for several w."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    w = np.array([-1, 0, 0.5, 1.5, 2, 3, 4], "float32")
    numbers = {"w": w.tolist()}
    losses = {"mse_loss": lambda w: (w - 1) ** 2, "sqrt((1 - w)^2)": lambda w: jnp.sqrt((1 - w) ** 2)}
    for name, loss in losses.items():
        value, gradient = jax.jit(jax.vmap(jax.value_and_grad(loss)))(w)
        numbers[name] = value.tolist()
        numbers[f"gradient of {name}"] = gradient.tolist()
    return numbers


def integer_torch() -> Measured:
    """What torch.full([1], 2) is today, and what asking it for gradients says."""
    import torch

    w = torch.full([1], 2)
    numbers = {"is a float": w.is_floating_point(), "its type": str(w.dtype), "runs": True}
    try:
        torch.full([1], 2, requires_grad=True)
    except RuntimeError as error:
        numbers |= {"runs": False, "says": str(error)}
    try:
        w.requires_grad_()
    except RuntimeError as error:
        numbers["w.requires_grad_() says"] = str(error)
    return numbers | {"torch.full([1], 2.0) is a float": torch.full([1], 2.0).is_floating_point()}


def integer_jax() -> Measured:
    """What jnp.full([1], 2) is, and what asking for its gradient says."""
    import jax
    import jax.numpy as jnp

    w = jnp.full([1], 2)
    numbers = {"is a float": jnp.issubdtype(w.dtype, jnp.floating), "its type": str(w.dtype), "runs": True}
    try:
        jax.grad(lambda w: jnp.sum((w - 1) ** 2))(w)
    except TypeError as error:
        numbers |= {"runs": False, "says": str(error).split(". ")[0]}
    w = jnp.full([1], 2.0)
    return numbers | {"jnp.full([1], 2.0) is a float": jnp.issubdtype(w.dtype, jnp.floating)}


def no_grad_torch() -> Measured:
    """Asking for the gradient of a loss whose w never said that it needs one; then marking w; then recomputing."""
    import torch

    x, w = torch.ones(1), torch.full([1], 2.0)
    numbers: dict = {}
    ask = lambda loss: torch.autograd.grad(loss, [w])[0].item()
    loss = torch.nn.functional.mse_loss(x * w, torch.ones(1))
    for step in ("before w is marked", "after requires_grad_(), same loss", "after recomputing the loss"):
        if step.startswith("after requires"):
            w.requires_grad_()
        if step.startswith("after recomputing"):
            loss = torch.nn.functional.mse_loss(x * w, torch.ones(1))
        try:
            numbers |= {f"gradient {step}": ask(loss), f"works {step}": True}
        except RuntimeError as error:
            numbers |= {f"says {step}": str(error), f"works {step}": False}
    return numbers


def no_grad_jax() -> Measured:
    """In JAX nothing is marked, but a computed loss has no gradient: jax.grad wants the function that computes it."""
    import jax

    x, w = 1.0, 2.0
    f = lambda w: (x * w - 1.0) ** 2
    loss = jax.jit(f)(w)
    numbers = {"gradient, nothing marked": jax.jit(jax.grad(f))(w).item(), "works on a computed loss": True}
    try:
        jax.grad(loss)(w)
    except TypeError as error:
        numbers |= {"works on a computed loss": False, "says on a computed loss": str(error)}
    return numbers


def two_ways_torch() -> Measured:
    """autograd.grad and backward, each called twice, beside 2 * (1 - 2) * (-1)."""
    import torch

    x, w = torch.ones(1), torch.full([1], 2.0, requires_grad=True)
    loss = lambda: torch.nn.functional.mse_loss(x * w, torch.ones(1))
    returned, stored = [], []
    for _ in range(2):
        returned.append(torch.autograd.grad(loss(), [w])[0].item())
        loss().backward()
        stored.append(w.grad.item())
    return {"autograd.grad, two calls": returned, "backward, two calls": stored, "by hand": 2 * (1 - 2) * (-1)}


def two_ways_jax() -> Measured:
    """jax.grad and jax.vjp, each called twice, beside 2 * (1 - 2) * (-1)."""
    import jax

    loss = lambda w: (1.0 * w - 1.0) ** 2
    by_grad = jax.jit(jax.grad(loss))
    by_vjp = jax.jit(lambda w: jax.vjp(loss, w)[1](1.0)[0])
    return {
        "jax.grad, two calls": [by_grad(2.0).item() for _ in range(2)],
        "jax.vjp, two calls": [by_vjp(2.0).item() for _ in range(2)],
        "by hand": 2 * (1 - 2) * (-1),
    }


def swapped_torch() -> Measured:
    """Losses of probabilities p against q, with the two arguments in either order."""
    import torch

    f, p, q = torch.nn.functional, torch.tensor([0.2, 0.8]), torch.tensor([0.5, 0.5])
    losses = {
        "mse": f.mse_loss,
        "l1": f.l1_loss,
        "binary cross-entropy": f.binary_cross_entropy,
        "kl_div": lambda p, q: f.kl_div(p.log(), q, reduction="sum"),
    }
    return {name: [loss(p, q).item(), loss(q, p).item()] for name, loss in losses.items()}


def swapped_jax() -> Measured:
    """Losses of probabilities p against q, with the two arguments in either order."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    losses = {
        "mse": lambda p, q: ((p - q) ** 2).mean(),
        "l1": lambda p, q: jnp.abs(p - q).mean(),
        "binary cross-entropy": lambda p, q: -(q * jnp.log(p) + (1 - q) * jnp.log1p(-p)).mean(),
        "kl_div": lambda p, q: (q * (jnp.log(q) - jnp.log(p))).sum(),
    }
    measure = jax.jit(lambda p, q: {name: [loss(p, q), loss(q, p)] for name, loss in losses.items()})
    return jax.tree.map(float, measure(np.array([0.2, 0.8], "float32"), np.array([0.5, 0.5], "float32")))
