"""More experiments on reductions, accumulation and coupled samples; see `xloss.claims.four_averages`."""

# A named lambda is the shortest form of what a reader shall copy.
# ruff: noqa: E731, B023

from xloss.claims.model import Measured


def adam_torch() -> Measured:
    """Fifty steps on the summed and on the mean loss: how far apart the weights end."""
    import numpy as np
    import torch

    x, y = torch.tensor(np.random.default_rng(0).normal(size=(2, 8)).astype("float32"))

    def train(reduction, make, **options):
        w = torch.tensor(0.0, requires_grad=True)
        optimizer = make([w], lr=0.01, **options)
        for _ in range(50):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(x * w, y, reduction=reduction).backward()
            optimizer.step()
        return w.item()

    optimizers = {
        "SGD": (torch.optim.SGD, {}),
        "Adam, eps = 1e-8": (torch.optim.Adam, {"eps": 1e-8}),
        "Adam, eps = 0.1": (torch.optim.Adam, {"eps": 0.1}),
    }
    return {
        f"{name}: weights from sum and from mean": [train(r, make, **options) for r in ("sum", "mean")]
        for name, (make, options) in optimizers.items()
    }


def adam_jax() -> Measured:
    """Fifty steps on the summed and on the mean loss, the optimizers written out: how far apart the weights end."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    x, y = np.random.default_rng(0).normal(size=(2, 8)).astype("float32")

    @jax.jit
    def train(scale, eps):
        gradient = jax.grad(lambda w: ((x * w - y) ** 2).mean() * scale)

        def step(i, state):
            w, m, v, plain = state
            g, t = gradient(w), i + 1.0
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w = w - 0.01 * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + eps)
            return w, m, v, plain - 0.01 * gradient(plain)

        return jax.lax.fori_loop(0, 50, step, (0.0,) * 4)

    key = "{}: weights from sum and from mean"
    return {
        key.format("SGD"): [float(train(scale, 1e-8)[3]) for scale in (8.0, 1.0)],
        key.format("Adam, eps = 1e-8"): [float(train(scale, 1e-8)[0]) for scale in (8.0, 1.0)],
        key.format("Adam, eps = 0.1"): [float(train(scale, 0.1)[0]) for scale in (8.0, 1.0)],
    }


def batch_size_torch() -> Measured:
    """The gradient when the same data come once and four times over."""
    import numpy as np
    import torch

    x, y = torch.tensor(np.random.default_rng(0).normal(size=(2, 8)).astype("float32"))
    w, numbers = torch.tensor(0.5, requires_grad=True), {}
    for reduction in ("mean", "sum"):
        loss = lambda k, r=reduction: torch.nn.functional.mse_loss(x.repeat(k) * w, y.repeat(k), reduction=r)
        g = [torch.autograd.grad(loss(k), w)[0].item() for k in (1, 4)]
        numbers[f"{reduction}: gradient at four times the batch / at once"] = g[1] / g[0]
    return numbers


def batch_size_jax() -> Measured:
    """The gradient when the same data come once and four times over."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    x, y = np.random.default_rng(0).normal(size=(2, 8)).astype("float32")
    numbers = {}
    for name, reduce in {"mean": jnp.mean, "sum": jnp.sum}.items():
        gradient = jax.jit(jax.grad(lambda w, x, y, f=reduce: f((x * w - y) ** 2)))
        once, four_times = gradient(0.5, x, y), gradient(0.5, np.tile(x, 4), np.tile(y, 4))
        numbers[f"{name}: gradient at four times the batch / at once"] = float(four_times) / float(once)
    return numbers


def composed_torch() -> Measured:
    """What reduction='none' returns, what backward() says to it, and where composed single steps end."""
    import numpy as np
    import torch

    x, y = torch.tensor(np.random.default_rng(0).normal(size=(2, 8)).astype("float32"))
    w, f = torch.tensor(0.5, requires_grad=True), torch.nn.functional
    loss = f.mse_loss(x * w, y, reduction="none")
    numbers = {"values returned by reduction='none'": loss.numel(), "backward() accepts them": True}
    try:
        loss.backward()
    except RuntimeError as error:
        numbers |= {"backward() accepts them": False, "says": str(error)}
    step = lambda w, x, y: w - 0.8 * torch.autograd.grad(f.mse_loss(x * w, y, reduction="sum") / 8, w)[0]
    composed = w
    for i in range(8):
        composed = step(composed, x[i], y[i])
    return numbers | {
        "after one step on the batch": step(w, x, y).item(),
        "after eight composed steps": composed.item(),
    }


def composed_jax() -> Measured:
    """What the unreduced loss is, what jax.grad says to it, and where composed single steps end."""
    import jax
    import numpy as np

    x, y = np.random.default_rng(0).normal(size=(2, 8)).astype("float32")
    losses = lambda w, x, y: (x * w - y) ** 2
    size = jax.eval_shape(losses, 0.5, x, y).size
    numbers = {"values returned by reduction='none'": size, "backward() accepts them": True}
    try:
        jax.grad(losses)(0.5, x, y)
    except TypeError as error:
        numbers |= {"backward() accepts them": False, "says": str(error).split("with output")[0]}
    step = jax.jit(lambda w, x, y: w - 0.8 * jax.grad(lambda w: losses(w, x, y).sum() / 8)(w))
    composed = np.float32(0.5)
    for i in range(8):
        composed = step(composed, x[i], y[i])
    batch = step(np.float32(0.5), x, y)
    return numbers | {"after one step on the batch": float(batch), "after eight composed steps": float(composed)}


def micro_torch() -> Measured:
    """Relative error of the mean of two micro-batch means, and of dividing once by the whole denominator."""
    import numpy as np
    import torch

    rng, f = np.random.default_rng(0), torch.nn.functional
    x, t = torch.tensor(rng.normal(size=(8, 5)).astype("float32")), torch.tensor([0, 1, 2, 0, 2, 2, 2, 1])
    w, ignored = torch.tensor(rng.normal(size=(5, 3)).astype("float32"), requires_grad=True), t.clone()
    ignored[:3] = -100
    weight = torch.tensor([1.0, 2.0, 10.0])
    cases = {"plain": (t, None), "class weights": (t, weight), "ignore_index": (ignored, None)}
    numbers = {}
    for name, (labels, weight) in cases.items():
        loss = lambda a, b, r: f.cross_entropy(x[a:b] @ w, labels[a:b], weight=weight, reduction=r)
        (whole,) = torch.autograd.grad(loss(0, 8, "mean"), w)
        means = sum(torch.autograd.grad(loss(a, a + 4, "mean"), w)[0] for a in (0, 4)) / 2
        used = labels[labels != -100]
        denominator = len(used) if weight is None else weight[used].sum()
        sums = sum(torch.autograd.grad(loss(a, a + 4, "sum"), w)[0] for a in (0, 4)) / denominator
        numbers[f"{name}: mean of means"] = ((means - whole).norm() / whole.norm()).item()
        numbers[f"{name}: sums / whole denominator"] = ((sums - whole).norm() / whole.norm()).item()
    return numbers


def micro_jax() -> Measured:
    """Relative error of the mean of two micro-batch means, and of dividing once by the whole denominator."""
    import jax
    import numpy as np

    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(8, 5)).astype("float32"), np.array([0, 1, 2, 0, 2, 2, 2, 1])
    w, ones = rng.normal(size=(5, 3)).astype("float32"), np.ones(8, "float32")

    @jax.jit
    def gradient(w, x, t, weights, denominator):
        loss = lambda w: -(jax.nn.log_softmax(x @ w) * jax.nn.one_hot(t, 3)).sum(1)
        return jax.grad(lambda w: (weights * loss(w)).sum() / denominator)(w)

    cases = {
        "plain": ones,
        "class weights": np.array([1, 2, 10], "float32")[t],
        "ignore_index": ones * (np.arange(8) >= 3),
    }
    numbers, norm = {}, np.linalg.norm
    for name, v in cases.items():
        parts = [(x[a : a + 4], t[a : a + 4], v[a : a + 4]) for a in (0, 4)]
        whole = np.asarray(gradient(w, x, t, v, v.sum()))
        means = sum(np.asarray(gradient(w, *part, part[2].sum())) for part in parts) / 2
        sums = sum(np.asarray(gradient(w, *part, np.float32(1))) for part in parts) / v.sum()
        numbers[f"{name}: mean of means"] = (norm(means - whole) / norm(whole)).item()
        numbers[f"{name}: sums / whole denominator"] = (norm(sums - whole) / norm(whole)).item()
    return numbers


def coupled_torch() -> Measured:
    """Relative error of averaging over samples, with and without a batch normalisation in front of the weight."""
    import numpy as np
    import torch

    x, y = torch.tensor(np.random.default_rng(0).normal(size=(2, 8, 1)).astype("float32"))
    w, stats = torch.tensor(0.5, requires_grad=True), (torch.zeros(1), torch.ones(1))
    layers = {
        "no coupling": lambda x: x,
        "batch norm": lambda x: torch.nn.functional.batch_norm(x, None, None, training=True),
        "batch norm, frozen": lambda x: torch.nn.functional.batch_norm(x, *stats, training=False),
    }
    gradient = lambda loss: torch.autograd.grad(loss, w, retain_graph=True)[0].item()
    numbers = {}
    for name, layer in layers.items():
        losses = lambda x, y, layer=layer: (w * layer(x) - y) ** 2
        whole = gradient(losses(x, y).mean())
        sliced = sum(gradient(loss) for loss in losses(x, y).flatten()) / 8
        pairs = sum(gradient(losses(x[i : i + 2], y[i : i + 2]).mean()) for i in range(0, 8, 2)) / 4
        numbers[f"{name}: fed whole, then sliced"] = abs(sliced / whole - 1)
        numbers[f"{name}: fed in pairs"] = abs(pairs / whole - 1)
    try:
        layers["batch norm"](x[:1])
    except ValueError as error:
        numbers["batch norm, fed one at a time, says"] = str(error)
    return numbers


def coupled_jax() -> Measured:
    """Relative error of averaging over samples, with and without a batch normalisation in front of the weight."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    x, y = np.random.default_rng(0).normal(size=(2, 8)).astype("float32")
    layers = {
        "no coupling": lambda x: x,
        "batch norm": lambda x: (x - x.mean()) / jnp.sqrt(x.var() + 1e-5),
        "batch norm, frozen": lambda x: x / jnp.sqrt(jnp.float32(1 + 1e-5)),
    }
    numbers = {}
    for name, layer in layers.items():
        losses = lambda w, x, y, layer=layer: (w * layer(x) - y) ** 2
        gradient = jax.jit(jax.grad(lambda w, x, y, losses=losses: losses(w, x, y).mean()))
        whole = float(gradient(0.5, x, y))
        sliced = jax.jit(jax.jacrev(losses))(0.5, x, y).tolist()
        pairs = sum(float(gradient(0.5, x[i : i + 2], y[i : i + 2])) for i in range(0, 8, 2)) / 4
        numbers[f"{name}: fed whole, then sliced"] = abs(sum(sliced) / 8 / whole - 1)
        numbers[f"{name}: fed in pairs"] = abs(pairs / whole - 1)
    return numbers
