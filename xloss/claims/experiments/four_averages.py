"""Experiments on four ways to average a gradient; see `xloss.claims.four_averages`."""

# A named lambda is the shortest form of what a reader shall copy.
# ruff: noqa: E731

from xloss.claims.model import Measured


def four_ways_torch() -> Measured:
    """The question's four averages and their six discrepancies, in its order; gradients stored as it stores them."""
    import itertools

    import numpy as np
    import torch

    rng, f, n = np.random.default_rng(0), torch.nn.functional, 8
    x, t = torch.tensor(rng.normal(size=(n, 5)).astype("float32")), torch.tensor(rng.integers(3, size=n))
    w = torch.tensor(rng.normal(size=(5, 3)).astype("float32"), requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1)

    def average(losses, set_to_none, keep):
        stored: list = []
        for loss in losses:
            optimizer.zero_grad(set_to_none=set_to_none)
            loss.backward(retain_graph=True)
            grad = keep(w.grad.view(-1, 1))  # a view: it shows whatever w.grad will hold
            stored = [torch.cat((*stored, grad), dim=1) if stored else grad]
        return stored[0].sum(1) / len(losses)

    def four(set_to_none, keep=lambda grad: grad):
        w.grad, output = None, x @ w
        losses = {
            "none": f.cross_entropy(output, t, reduction="none"),
            "sum": [f.cross_entropy(output, t, reduction="sum") / n],
            "mean": [f.cross_entropy(output, t)],
            "one by one": [f.cross_entropy(output[i : i + 1], t[i : i + 1]) for i in range(n)],
        }
        return {name: average(loss, set_to_none, keep) for name, loss in losses.items()}

    def six(ways):
        return [(a - b).abs().max().item() for a, b in itertools.combinations(ways.values(), 2)]

    g = [torch.autograd.grad(loss, w, retain_graph=True)[0] for loss in f.cross_entropy(x @ w, t, reduction="none")]
    in_place = four(set_to_none=False)
    overwritten = torch.stack([g[1].flatten(), *(v.flatten() for v in g[1:])], 1).sum(1) / n
    return {
        "the six, in order": ", ".join("-".join(pair) for pair in itertools.combinations(in_place, 2)),
        "zeroed in place": six(in_place),
        "zeroed in place, clone() stored": six(four(set_to_none=False, keep=torch.clone)),
        "set to None, as today": six(four(set_to_none=True)),
        "max |g_1 - g_0| / n": (g[1] - g[0]).abs().max().item() / n,
        "in place: distance from averaging g_1, g_1, g_2, ...": (in_place["none"] - overwritten).abs().max().item(),
    }


def four_ways_jax() -> Measured:
    """The question's four averages and their six discrepancies, in its order; a gradient is a value, not a field."""
    import itertools

    import jax
    import numpy as np

    rng, n = np.random.default_rng(0), 8
    x, t = rng.normal(size=(n, 5)).astype("float32"), rng.integers(3, size=n)
    w = rng.normal(size=(5, 3)).astype("float32")

    def losses(w, x, t):
        return -(jax.nn.log_softmax(x @ w) * jax.nn.one_hot(t, 3)).sum(1)

    one = jax.jit(jax.grad(lambda w, x, t: losses(w, x, t).mean()))
    g = [one(w, x[i : i + 1], t[i : i + 1]) for i in range(n)]
    none = jax.jit(jax.jacrev(losses))(w, x, t)
    ways = {
        "none": np.asarray(none).sum(0) / n,
        "sum": np.asarray(jax.jit(jax.grad(lambda w: losses(w, x, t).sum() / n))(w)),
        "mean": np.asarray(one(w, x, t)),
        "one by one": sum(map(np.asarray, g)) / n,
    }
    return {
        "the six, in order": ", ".join("-".join(pair) for pair in itertools.combinations(ways, 2)),
        "nothing to zero": [np.abs(a - b).max().item() for a, b in itertools.combinations(ways.values(), 2)],
        "max |g_1 - g_0| / n": np.abs(np.asarray(g[1]) - np.asarray(g[0])).max().item() / n,
    }


def stored_torch() -> Measured:
    """What happens to a stored gradient when the field is zeroed and filled again."""
    import torch

    w, numbers = torch.tensor([1.0, 2.0], requires_grad=True), {}
    for name, set_to_none in {"zeroed in place": False, "set to None": True}.items():
        w.grad = None
        (w * torch.tensor([3.0, 5.0])).sum().backward()
        stored = w.grad.view(-1)
        torch.optim.SGD([w]).zero_grad(set_to_none=set_to_none)
        (w * torch.tensor([7.0, 9.0])).sum().backward()
        numbers[f"stored gradient, then {name}"] = stored.tolist()
    return numbers | {"what was stored": [3.0, 5.0]}


def stored_jax() -> Measured:
    """What happens to a stored gradient when the next one is computed, and when somebody writes into it."""
    import jax
    import numpy as np

    gradient = jax.jit(jax.grad(lambda w, c: (w * c).sum()))
    w = np.array([1, 2], "float32")
    stored = gradient(w, np.array([3, 5], "float32"))
    numbers = {"what was stored": stored.tolist(), "an array can be written into": True}
    gradient(w, np.array([7, 9], "float32"))
    numbers["stored gradient after the next one"] = stored.tolist()
    try:
        stored[:] = 0
    except TypeError as error:
        numbers |= {"an array can be written into": False, "says": str(error).split(". ")[0]}
    try:
        np.asarray(stored)[:] = 0
    except ValueError as error:
        numbers["its NumPy view says"] = str(error)
    return numbers | {"stored gradient after the attempts": stored.tolist()}


def retain_torch() -> Measured:
    """The discrepancy between none and mean, with one retained graph and with a fresh graph for every sample."""
    import numpy as np
    import torch

    rng, f, n = np.random.default_rng(0), torch.nn.functional, 8
    x, t = torch.tensor(rng.normal(size=(n, 5)).astype("float32")), torch.tensor(rng.integers(3, size=n))
    w = torch.tensor(rng.normal(size=(5, 3)).astype("float32"), requires_grad=True)
    losses = lambda: f.cross_entropy(x @ w, t, reduction="none")
    (mean,) = torch.autograd.grad(losses().mean(), w)
    numbers = {}
    for retained in (True, False):
        for name, set_to_none in {"zeroed in place": False, "set to None": True}.items():
            w.grad, graph = None, losses()
            stored: list = []
            for i in range(n):
                torch.optim.SGD([w]).zero_grad(set_to_none=set_to_none)
                (graph if retained else losses())[i].backward(retain_graph=retained)
                grad = w.grad.view(-1, 1)
                stored = [torch.cat((*stored, grad), dim=1) if stored else grad]
            key = f"{'one retained graph' if retained else 'fresh graphs'}, {name}"
            numbers[key] = (stored[0].sum(1) / n - mean.flatten()).abs().max().item()
    return numbers


def retain_jax() -> Measured:
    """The discrepancy between none and mean, with one pullback used again and with a fresh one for every sample."""
    import jax
    import numpy as np

    rng, n = np.random.default_rng(0), 8
    x, t = rng.normal(size=(n, 5)).astype("float32"), rng.integers(3, size=n)
    w, unit = rng.normal(size=(5, 3)).astype("float32"), np.eye(n, dtype="float32")
    losses = lambda w: -(jax.nn.log_softmax(x @ w) * jax.nn.one_hot(t, 3)).sum(1)
    mean = jax.jit(jax.grad(lambda w: losses(w).mean()))(w)

    @jax.jit
    def retained(w):
        _, pullback = jax.vjp(losses, w)
        return sum(pullback(unit[i])[0] for i in range(n)) / n

    fresh = jax.jit(lambda w, v: jax.vjp(losses, w)[1](v)[0])
    return {
        "one retained graph, nothing to zero": np.abs(retained(w) - mean).max().item(),
        "fresh graphs, nothing to zero": np.abs(sum(np.asarray(fresh(w, v)) for v in unit) / n - mean).max().item(),
    }


def linear_torch() -> Measured:
    """Gradient of the summed losses, sum of the single gradients, and the loss of the summed inputs instead."""
    import numpy as np
    import torch

    rng, f, n = np.random.default_rng(0), torch.nn.functional, 8
    x, t = torch.tensor(rng.normal(size=(n, 5)).astype("float32")), torch.tensor(rng.integers(3, size=n))
    w = torch.tensor(rng.normal(size=(5, 3)).astype("float32"), requires_grad=True)
    gradient = lambda loss: torch.autograd.grad(loss, w)[0]
    of_sum = gradient(f.cross_entropy(x @ w, t, reduction="sum"))
    of_mean = gradient(f.cross_entropy(x @ w, t))
    sum_of = sum(gradient(f.cross_entropy(x[i] @ w, t[i])) for i in range(n))
    of_summed_inputs = gradient(f.cross_entropy(x.sum(0) @ w, t[0]))
    return {
        "size of the gradient": sum_of.abs().max().item(),
        "gradient of the sum, from the sum of gradients": (of_sum - sum_of).abs().max().item(),
        "gradient of the mean times n, from the sum of gradients": (n * of_mean - sum_of).abs().max().item(),
        "gradient at the summed inputs, from the sum of gradients": (of_summed_inputs - sum_of).abs().max().item(),
        "gradient of the sum / gradient of the mean": (of_sum / of_mean).flatten()[:4].tolist(),
        "n": n,
    }


def linear_jax() -> Measured:
    """Gradient of the summed losses, sum of the single gradients, and the loss of the summed inputs instead."""
    import jax
    import numpy as np

    rng, n = np.random.default_rng(0), 8
    x, t = rng.normal(size=(n, 5)).astype("float32"), rng.integers(3, size=n)
    w = rng.normal(size=(5, 3)).astype("float32")
    loss = lambda w, x, t: -(jax.nn.log_softmax(x @ w) * jax.nn.one_hot(t, 3)).sum(-1)
    one = jax.jit(jax.grad(loss))
    of_sum = np.asarray(jax.jit(jax.grad(lambda w: loss(w, x, t).sum()))(w))
    of_mean = np.asarray(jax.jit(jax.grad(lambda w: loss(w, x, t).mean()))(w))
    sum_of = sum(np.asarray(one(w, x[i], t[i])) for i in range(n))
    of_summed_inputs = np.asarray(one(w, x.sum(0), t[0]))
    return {
        "size of the gradient": np.abs(sum_of).max().item(),
        "gradient of the sum, from the sum of gradients": np.abs(of_sum - sum_of).max().item(),
        "gradient of the mean times n, from the sum of gradients": np.abs(n * of_mean - sum_of).max().item(),
        "gradient at the summed inputs, from the sum of gradients": np.abs(of_summed_inputs - sum_of).max().item(),
        "gradient of the sum / gradient of the mean": (of_sum / of_mean).flatten()[:4].tolist(),
        "n": n,
    }
