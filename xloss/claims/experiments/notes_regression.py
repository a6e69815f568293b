"""Experiments on notes about loss functions: the ones between numbers; see `xloss.claims.notes_on_losses`."""

# A named lambda is the shortest form of what a reader shall copy.
# ruff: noqa: E731

from xloss.claims.model import Measured


def mean_torch() -> Measured:
    """l1_loss under each reduction, on four errors whose mean absolute value is 1.5."""
    import torch

    y, y_hat = torch.tensor([1.0, 2, 3, 4]), torch.tensor([2.0, 0, 3, 7])
    loss = {r: torch.nn.functional.l1_loss(y_hat, y, reduction=r) for r in ("none", "sum", "mean")}
    return {
        "none": loss["none"].tolist(),
        "sum": loss["sum"].item(),
        "mean": loss["mean"].item(),
        "mean absolute error": 1.5,
    }


def mean_jax() -> Measured:
    """The absolute errors, their sum and their mean, on four errors whose mean absolute value is 1.5."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    y, y_hat = np.array([[1, 2, 3, 4], [2, 0, 3, 7]], "float32")
    measure = jax.jit(lambda y, y_hat: (jnp.abs(y_hat - y), jnp.abs(y_hat - y).sum(), jnp.abs(y_hat - y).mean()))
    none, total, mean = measure(y, y_hat)
    return {"none": none.tolist(), "sum": float(total), "mean": float(mean), "mean absolute error": 1.5}


def minimizers_torch() -> Measured:
    """The constant that minimizes each loss over three pixels, found by gradient descent; then with an outlier."""
    import torch

    def minimize(loss, data):
        c = torch.tensor(0.6, requires_grad=True)
        optimizer = torch.optim.SGD([c], lr=0.5)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.97)
        for _ in range(300):
            optimizer.zero_grad()
            loss(c.expand(3), torch.tensor(data)).backward()
            optimizer.step()
            schedule.step()
        return c.item()

    numbers, f = {}, torch.nn.functional
    for name, loss in {"L2": f.mse_loss, "L1": f.l1_loss}.items():
        numbers[f"{name} on 0, 0, 1"] = minimize(loss, [0.0, 0.0, 1.0])
        numbers[f"{name} on 0, 0, 100"] = minimize(loss, [0.0, 0.0, 100.0])
    return numbers | {"mean and median of 0, 0, 1": [1 / 3, 0.0], "mean and median of 0, 0, 100": [100 / 3, 0.0]}


def minimizers_jax() -> Measured:
    """The constant that minimizes each loss over three pixels, found by gradient descent; then with an outlier."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    def minimizer(loss):
        def minimize(data):
            gradient = jax.grad(lambda c: loss(c - data).mean())
            step = lambda i, c: c - 0.5 * jnp.float32(0.97) ** i * gradient(c)
            return jax.lax.fori_loop(0, 300, step, jnp.float32(0.6))

        return jax.jit(minimize)

    numbers = {}
    for name, loss in {"L2": jnp.square, "L1": jnp.abs}.items():
        minimize = minimizer(loss)
        numbers[f"{name} on 0, 0, 1"] = minimize(np.array([0, 0, 1], "float32")).item()
        numbers[f"{name} on 0, 0, 100"] = minimize(np.array([0, 0, 100], "float32")).item()
    return numbers | {"mean and median of 0, 0, 1": [1 / 3, 0.0], "mean and median of 0, 0, 100": [100 / 3, 0.0]}


def towards_zero_torch() -> Measured:
    """Values and gradients of L1 and L2 as the error shrinks to 0, and the slopes of |e| on either side of 0."""
    import torch

    e = torch.tensor([2.0, 1.0, 0.01, 1e-30, 0.0], requires_grad=True)
    zero, f = torch.zeros_like(e), torch.nn.functional
    numbers = {"error": e.tolist()}
    for name, loss in {"L1": f.l1_loss, "L2": f.mse_loss}.items():
        value = loss(e, zero, reduction="none")
        numbers[name] = value.tolist()
        numbers[f"gradient of {name}"] = torch.autograd.grad(value.sum(), e)[0].tolist()
    h = torch.tensor(1e-30)
    slopes = [((s * h).abs() / (s * h)).item() for s in (-1, 1)]
    return numbers | {"slope of |e| left and right of 0": slopes}


def towards_zero_jax() -> Measured:
    """Values and gradients of L1 and L2 as the error shrinks to 0, and the slopes of |e| on either side of 0."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    e = np.array([2, 1, 0.01, 1e-30, 0], "float32")
    numbers = {"error": e.tolist()}
    for name, loss in {"L1": jnp.abs, "L2": jnp.square}.items():
        value, gradient = jax.jit(jax.vmap(jax.value_and_grad(loss)))(e)
        numbers[name] = value.tolist()
        numbers[f"gradient of {name}"] = gradient.tolist()
    h = np.array([-1e-30, 1e-30], "float32")
    return numbers | {"slope of |e| left and right of 0": jax.jit(lambda h: jnp.abs(h) / h)(h).tolist()}


def huber_torch() -> Measured:
    """huber_loss over smooth_l1_loss, for three values of their parameter."""
    import torch

    f, e = torch.nn.functional, torch.arange(1, 25) / 4
    numbers = {"beta = delta": [0.5, 1.0, 2.0], "smallest ratio": [], "largest ratio": []}
    for beta in numbers["beta = delta"]:
        huber = f.huber_loss(e, torch.zeros(24), reduction="none", delta=beta)
        ratio = huber / f.smooth_l1_loss(e, torch.zeros(24), reduction="none", beta=beta)
        numbers["smallest ratio"].append(ratio.min().item())
        numbers["largest ratio"].append(ratio.max().item())
    return numbers


def huber_jax() -> Measured:
    """Huber's loss over the notes' formula, for three values of their parameter."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    @jax.jit
    def ratio(e, beta):
        smooth = jnp.where(e < beta, 0.5 * e**2 / beta, e - 0.5 * beta)
        return jnp.where(e <= beta, 0.5 * e**2, beta * (e - 0.5 * beta)) / smooth

    e, numbers = np.arange(1, 25, dtype="float32") / 4, {"beta = delta": [0.5, 1.0, 2.0]}
    ratios = [ratio(e, beta) for beta in numbers["beta = delta"]]
    numbers["smallest ratio"] = [float(min(r)) for r in map(np.asarray, ratios)]
    numbers["largest ratio"] = [float(max(r)) for r in map(np.asarray, ratios)]
    return numbers


def like_mse_torch() -> Measured:
    """smooth_l1_loss's gradient over MSE's below the threshold, and over L1's above it."""
    import torch

    f, e = torch.nn.functional, torch.tensor([0.25, 8.0], requires_grad=True)
    gradient = lambda loss: torch.autograd.grad(loss.sum(), e)[0]
    mse = gradient(f.mse_loss(e, torch.zeros(2), reduction="none"))
    l1 = gradient(f.l1_loss(e, torch.zeros(2), reduction="none"))
    numbers = {"beta": [0.5, 1.0, 2.0], "below: smooth / MSE": [], "above: smooth / L1": []}
    for beta in numbers["beta"]:
        smooth = gradient(f.smooth_l1_loss(e, torch.zeros(2), reduction="none", beta=beta))
        numbers["below: smooth / MSE"].append((smooth / mse)[0].item())
        numbers["above: smooth / L1"].append((smooth / l1)[1].item())
    return numbers


def like_mse_jax() -> Measured:
    """The gradient of the notes' formula over MSE's below the threshold, and over L1's above it."""
    import jax
    import jax.numpy as jnp

    def smooth(e, beta):
        return jnp.where(jnp.abs(e) < beta, 0.5 * e**2 / beta, jnp.abs(e) - 0.5 * beta)

    @jax.jit
    def ratios(beta):
        slope = lambda e: jax.grad(smooth)(e, beta)
        return slope(0.25) / jax.grad(jnp.square)(0.25), slope(8.0) / jax.grad(jnp.abs)(8.0)

    numbers = {"beta": [0.5, 1.0, 2.0]}
    below, above = zip(*(ratios(beta) for beta in numbers["beta"]), strict=True)
    return numbers | {"below: smooth / MSE": [*map(float, below)], "above: smooth / L1": [*map(float, above)]}


def elastic_torch() -> Measured:
    """Elastic net's penalty |x| + x^2 beside smooth_l1_loss: slopes on either side of 0, and growth far out."""
    import torch

    x = torch.tensor([-1e-6, 1e-6, 10.0, 100.0], requires_grad=True)
    smooth = torch.nn.functional.smooth_l1_loss(x, torch.zeros(4), reduction="none")
    numbers = {}
    for name, loss in {"elastic net": x.abs() + x**2, "smooth L1": smooth}.items():
        slope = torch.autograd.grad(loss.sum(), x)[0]
        numbers[f"{name}: jump of the slope at 0"] = (slope[1] - slope[0]).item()
        numbers[f"{name}: slope at 100 over slope at 10"] = (slope[3] / slope[2]).item()
    return numbers


def elastic_jax() -> Measured:
    """Elastic net's penalty |x| + x^2 beside smooth L1: slopes on either side of 0, and growth far out."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    x, numbers = np.array([-1e-6, 1e-6, 10, 100], "float32"), {}
    smooth = lambda x: jnp.where(jnp.abs(x) < 1, 0.5 * x**2, jnp.abs(x) - 0.5)
    for name, loss in {"elastic net": lambda x: jnp.abs(x) + x**2, "smooth L1": smooth}.items():
        slope = np.asarray(jax.jit(jax.vmap(jax.grad(loss)))(x))
        numbers[f"{name}: jump of the slope at 0"] = (slope[1] - slope[0]).item()
        numbers[f"{name}: slope at 100 over slope at 10"] = (slope[3] / slope[2]).item()
    return numbers


def smooth_torch() -> Measured:
    """Slopes and curvatures of smooth_l1_loss (beta = 1) on either side of 0 and of the threshold."""
    import torch

    e = torch.tensor([-1e-6, 1e-6, 1 - 1e-6, 1 + 1e-6], requires_grad=True)
    loss = torch.nn.functional.smooth_l1_loss(e, torch.zeros(4), reduction="sum")
    (slope,) = torch.autograd.grad(loss, e, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), e)
    return {
        "jump of the slope at 0": (slope[1] - slope[0]).item(),
        "jump of the slope at the threshold": (slope[3] - slope[2]).item(),
        "curvature inside and outside the threshold": curvature[2:].tolist(),
    }


def smooth_jax() -> Measured:
    """Slopes and curvatures of the notes' smooth L1 (beta = 1) on either side of 0 and of the threshold."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    loss = lambda e: jnp.where(jnp.abs(e) < 1, 0.5 * e**2, jnp.abs(e) - 0.5)
    derivatives = jax.jit(jax.vmap(lambda e: (jax.grad(loss)(e), jax.grad(jax.grad(loss))(e))))
    slope, curvature = derivatives(np.array([-1e-6, 1e-6, 1 - 1e-6, 1 + 1e-6], "float32"))
    slope = np.asarray(slope)
    return {
        "jump of the slope at 0": (slope[1] - slope[0]).item(),
        "jump of the slope at the threshold": (slope[3] - slope[2]).item(),
        "curvature inside and outside the threshold": curvature[2:].tolist(),
    }


def values_torch() -> Measured:
    """The regression formulas in double precision, as written, against the framework's float32; distances in ulps."""
    import numpy as np
    import torch

    f, (y_hat, y) = torch.nn.functional, np.random.default_rng(0).normal(size=(2, 1000)).astype("float32")
    e, beta = np.abs(y_hat.astype(float) - y), 0.5
    smooth = lambda *args, **options: f.smooth_l1_loss(*args, beta=beta, **options)
    pairs = {
        "MSE": (f.mse_loss, e**2),
        "L1": (f.l1_loss, e),
        "SmoothL1": (smooth, np.where(e < beta, e**2 / 2 / beta, e - beta / 2)),
    }
    numbers = {}
    for name, (loss, formula) in pairs.items():
        for reduction, truth in {"none": formula, "sum": formula.sum(), "mean": formula.mean()}.items():
            got = loss(torch.tensor(y_hat), torch.tensor(y), reduction=reduction).numpy()
            numbers[f"{name}, {reduction}: ulps"] = (np.abs(got - truth) / np.spacing(np.float32(truth))).max().item()
    return numbers


def values_jax() -> Measured:
    """The regression formulas in double precision, as written, against JAX in float32; distances in ulps."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    y_hat, y = np.random.default_rng(0).normal(size=(2, 1000)).astype("float32")
    e, beta = np.abs(y_hat.astype(float) - y), 0.5
    formulas = {"MSE": e**2, "L1": e, "SmoothL1": np.where(e < beta, e**2 / 2 / beta, e - beta / 2)}

    @jax.jit
    def measure(y_hat, y):
        e = jnp.abs(y_hat - y)
        losses = {"MSE": e**2, "L1": e, "SmoothL1": jnp.where(e < beta, e**2 / 2 / beta, e - beta / 2)}
        return {name: {"none": loss, "sum": loss.sum(), "mean": loss.mean()} for name, loss in losses.items()}

    got, numbers = measure(y_hat, y), {}
    for name, formula in formulas.items():
        for reduction, truth in {"none": formula, "sum": formula.sum(), "mean": formula.mean()}.items():
            apart = np.abs(np.asarray(got[name][reduction]) - truth)
            numbers[f"{name}, {reduction}: ulps"] = (apart / np.spacing(np.float32(truth))).max().item()
    return numbers
