"""Experiments on notes about loss functions: the ones between classes; see `xloss.claims.notes_on_losses`."""

# A named lambda is the shortest form of what a reader shall copy.
# ruff: noqa: E731

from xloss.claims.model import Measured


def values_torch() -> Measured:
    """NLL and cross-entropy as the notes write them, in double precision, against float32; distances in ulps."""
    import numpy as np
    import torch

    rng = np.random.default_rng(0)
    x, t, w = rng.normal(size=(1000, 10)).astype("float32"), rng.integers(10, size=1000), np.linspace(1, 2, 10)
    rows, w = np.arange(1000), w.astype("float32")
    logits, wn = x.astype(float), w.astype(float)[t]
    formulas = {
        "NLL": -wn * logits[rows, t],
        "CrossEntropy": -wn * np.log(np.exp(logits[rows, t]) / np.exp(logits).sum(1)),
    }
    numbers, f = {}, torch.nn.functional
    for (name, ln), loss in zip(formulas.items(), (f.nll_loss, f.cross_entropy), strict=True):
        for reduction, truth in {"none": ln, "sum": ln.sum(), "mean": ln.sum() / wn.sum()}.items():
            got = loss(torch.tensor(x), torch.tensor(t), torch.tensor(w), reduction=reduction).numpy()
            apart, size = np.abs(got - truth).max(), np.abs(truth).max()
            numbers[f"{name}, {reduction}: ulps"] = (apart / np.spacing(np.float32(size))).item()
    return numbers


def values_jax() -> Measured:
    """NLL and cross-entropy as the notes write them, in double precision, against float32; distances in ulps."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    rng = np.random.default_rng(0)
    x, t, w = rng.normal(size=(1000, 10)).astype("float32"), rng.integers(10, size=1000), np.linspace(1, 2, 10)
    rows, w = np.arange(1000), w.astype("float32")
    logits, wn = x.astype(float), w.astype(float)[t]
    formulas = {
        "NLL": -wn * logits[rows, t],
        "CrossEntropy": -wn * np.log(np.exp(logits[rows, t]) / np.exp(logits).sum(1)),
    }

    @jax.jit
    def measure(x, wn):
        losses = {"NLL": -wn * x[rows, t], "CrossEntropy": -wn * jax.nn.log_softmax(x)[rows, t]}
        return {name: {"none": ln, "sum": ln.sum(), "mean": ln.sum() / wn.sum()} for name, ln in losses.items()}

    got, numbers = measure(jnp.asarray(x), w[t]), {}
    for name, ln in formulas.items():
        for reduction, truth in {"none": ln, "sum": ln.sum(), "mean": ln.sum() / wn.sum()}.items():
            apart, size = np.abs(np.asarray(got[name][reduction]) - truth).max(), np.abs(truth).max()
            numbers[f"{name}, {reduction}: ulps"] = (apart / np.spacing(np.float32(size))).item()
    return numbers


def overflow_torch() -> Measured:
    """The cross-entropy formula computed as written, in float32, as the logits grow; the true loss is log 2."""
    import math

    import torch

    numbers: dict = {"largest logit": [1.0, 80.0, 100.0], "formula gives a number": [], "cross_entropy's error": []}
    for size in numbers["largest logit"]:
        x = torch.tensor([[size, size]])
        formula = -(x.exp()[0, 0] / x.exp().sum()).log()
        numbers["formula gives a number"].append(formula.isfinite().item())
        loss = torch.nn.functional.cross_entropy(x, torch.tensor([0])).item()
        numbers["cross_entropy's error"].append(abs(loss - math.log(2)))
    return numbers


def overflow_jax() -> Measured:
    """The cross-entropy formula computed as written, in float32, as the logits grow; the true loss is log 2."""
    import math

    import jax
    import jax.numpy as jnp
    import numpy as np

    formula = lambda x: -jnp.log(jnp.exp(x)[0] / jnp.exp(x).sum())
    measure = jax.jit(lambda x: (formula(x), -jax.nn.log_softmax(x)[0]))
    numbers: dict = {"largest logit": [1.0, 80.0, 100.0], "formula gives a number": [], "cross_entropy's error": []}
    for size in numbers["largest logit"]:
        value, loss = measure(np.array([size, size], "float32"))
        numbers["formula gives a number"].append(math.isfinite(value))
        numbers["cross_entropy's error"].append(abs(float(loss) - math.log(2)))
    return numbers


def probabilities_torch() -> Measured:
    """nll_loss given probabilities, and given their logarithms; the true class is the first."""
    import torch

    f, target = torch.nn.functional, torch.tensor([0])
    numbers: dict = {"probability of the true class": [0.9, 0.7, 0.5, 0.3, 0.1, 0.01], "raised an error": False}
    for name in ("nll_loss of probabilities", "nll_loss of log-probabilities"):
        losses, slopes = [], []
        for true in numbers["probability of the true class"]:
            p = torch.tensor([[true, 1 - true]], requires_grad=True)
            try:
                loss = f.nll_loss(p.log() if "log-" in name else p, target)
            except (RuntimeError, ValueError):
                numbers["raised an error"] = True
                continue
            losses.append(loss.item())
            slopes.append(torch.autograd.grad(loss, p)[0][0, 0].item())
        numbers |= {name: losses, f"slope of {name}": slopes}
    true = torch.tensor(numbers["probability of the true class"])
    return numbers | {"-log of the probability": (-true.log()).tolist()}


def probabilities_jax() -> Measured:
    """The NLL formula given probabilities, and given their logarithms; the true class is the first."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    true = np.array([0.9, 0.7, 0.5, 0.3, 0.1, 0.01], "float32")
    nll = lambda x: -x[0]
    losses = {
        "nll_loss of probabilities": lambda p: nll(jnp.stack([p, 1 - p])),
        "nll_loss of log-probabilities": lambda p: nll(jnp.log(jnp.stack([p, 1 - p]))),
    }
    numbers: dict = {"probability of the true class": true.tolist(), "raised an error": False}
    for name, loss in losses.items():
        value, slope = jax.jit(jax.vmap(jax.value_and_grad(loss)))(true)
        numbers |= {name: value.tolist(), f"slope of {name}": slope.tolist()}
    return numbers | {"-log of the probability": (-np.log(true)).tolist()}


def weighted_torch() -> Measured:
    """Class weights 1, 2, 5 under reduction='mean': class labels, the same as one-hot, and rows repeated."""
    import numpy as np
    import torch

    rng, f = np.random.default_rng(0), torch.nn.functional
    x, t = torch.tensor(rng.normal(size=(6, 3)).astype("float32")), torch.tensor([0, 0, 0, 1, 1, 2])
    w = torch.tensor([1.0, 2.0, 5.0])
    each = f.cross_entropy(x, t, weight=w, reduction="none")
    return {
        "sum / sum of weights": (each.sum() / w[t].sum()).item(),
        "sum / number of rows": (each.sum() / 6).item(),
        "cross_entropy, labels": f.cross_entropy(x, t, weight=w).item(),
        "nll_loss, labels": f.nll_loss(f.log_softmax(x, 1), t, weight=w).item(),
        "cross_entropy, one-hot": f.cross_entropy(x, f.one_hot(t, 3).float(), weight=w).item(),
        "no weights, rows repeated 1, 2, 5 times": f.cross_entropy(
            x.repeat_interleave(w[t].int(), 0), t.repeat_interleave(w[t].int())
        ).item(),
    }


def weighted_jax() -> Measured:
    """Class weights 1, 2, 5 in a mean: jnp.average over labels, the plain mean over one-hot, and rows repeated."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    x, t = np.random.default_rng(0).normal(size=(6, 3)).astype("float32"), np.array([0, 0, 0, 1, 1, 2])
    w, repeat = np.array([1, 2, 5], "float32"), np.repeat(np.arange(6), [1, 1, 1, 2, 2, 5])
    losses = lambda x, t: -jax.nn.log_softmax(x)[jnp.arange(len(t)), t]

    @jax.jit
    def measure(x):
        one_hot = jax.nn.one_hot(t, 3)
        return {
            "sum / sum of weights": (w[t] * losses(x, t)).sum() / w[t].sum(),
            "sum / number of rows": (w[t] * losses(x, t)).sum() / 6,
            "cross_entropy, labels": jnp.average(losses(x, t), weights=w[t]),
            "nll_loss, labels": jnp.average(losses(x, t), weights=w[t]),
            "cross_entropy, one-hot": -(w * one_hot * jax.nn.log_softmax(x)).sum(1).mean(),
            "no weights, rows repeated 1, 2, 5 times": losses(x[repeat], t[repeat]).mean(),
        }

    return jax.tree.map(float, measure(x))


def same_torch() -> Measured:
    """cross_entropy against nll_loss of log_softmax and against nll_loss of the same input, a thousand rows."""
    import numpy as np
    import torch

    rng, f = np.random.default_rng(0), torch.nn.functional
    x = torch.tensor((3 * rng.normal(size=(1000, 10))).astype("float32"))
    t = torch.tensor(rng.integers(10, size=1000))
    loss = f.cross_entropy(x, t, reduction="none")
    logp = f.log_softmax(x, 1)
    nll = f.nll_loss(logp, t, reduction="none")
    apart = (loss - nll).abs().double().numpy()
    return {
        "ulps from nll_loss of log_softmax, at most": (apart / np.spacing(loss.numpy())).max().item(),
        "largest distance": apart.max().item(),
        "distance from nll_loss of the same input": (loss - f.nll_loss(x, t, reduction="none")).abs().max().item(),
        "log_softmax applied twice moves": (logp - f.log_softmax(logp, 1)).abs().max().item(),
    }


def same_jax() -> Measured:
    """logsumexp(x) - x[target] against log_softmax's entry and against -x[target], a thousand rows."""
    import jax
    import numpy as np

    rng = np.random.default_rng(0)
    x, rows = (3 * rng.normal(size=(1000, 10))).astype("float32"), np.arange(1000)
    t = rng.integers(10, size=1000)
    log_softmax = jax.jit(jax.nn.log_softmax)
    loss = np.asarray(jax.jit(lambda x: jax.nn.logsumexp(x, axis=1) - x[rows, t])(x))
    nll = -np.asarray(log_softmax(x))[rows, t]
    apart = np.abs(loss.astype(float) - nll)
    return {
        "ulps from nll_loss of log_softmax, at most": (apart / np.spacing(loss)).max().item(),
        "largest distance": apart.max().item(),
        "distance from nll_loss of the same input": np.abs(loss + x[rows, t]).max().item(),
        "log_softmax applied twice moves": np.abs(log_softmax(log_softmax(x)) - log_softmax(x)).max().item(),
    }


def exclude_torch() -> Measured:
    """Class 0 excluded by ignore_index and by a zero weight: gradients of its rows, and of its logit elsewhere."""
    import numpy as np
    import torch

    x = torch.tensor(np.random.default_rng(0).normal(size=(4, 3)).astype("float32"), requires_grad=True)
    t, f, numbers = torch.tensor([0, 0, 1, 2]), torch.nn.functional, {}
    ways = {"ignore_index": {"ignore_index": 0}, "weight 0": {"weight": torch.tensor([0.0, 1, 1])}}
    for name, options in ways.items():
        (g,) = torch.autograd.grad(f.cross_entropy(x, t, **options), x)
        numbers[f"{name}: largest gradient in rows of class 0"] = g[:2].abs().max().item()
        numbers[f"{name}: largest gradient of logit 0 in other rows"] = g[2:, 0].abs().max().item()
        apart = f.cross_entropy(x, t, **options) - f.cross_entropy(x[2:], t[2:])
        numbers[f"{name}: distance from leaving the rows out"] = apart.abs().item()
    return numbers


def exclude_jax() -> Measured:
    """Class 0 excluded by a mask and by a zero weight: gradients of its rows, and of its logit elsewhere."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    x, t = np.random.default_rng(0).normal(size=(4, 3)).astype("float32"), np.array([0, 0, 1, 2])
    losses = lambda x: -jax.nn.log_softmax(x)[jnp.arange(4), t]
    ways = {
        "ignore_index": lambda x: jnp.where(t != 0, losses(x), 0).sum() / np.float32((t != 0).sum()),
        "weight 0": lambda x: jnp.average(losses(x), weights=np.array([0, 1, 1], "float32")[t]),
    }
    numbers = {}
    for name, loss in ways.items():
        value, left_out, g = jax.jit(lambda x, f=loss: (f(x), losses(x)[2:].mean(), jax.grad(f)(x)))(x)
        g = np.abs(np.asarray(g))
        numbers[f"{name}: largest gradient in rows of class 0"] = g[:2].max().item()
        numbers[f"{name}: largest gradient of logit 0 in other rows"] = g[2:, 0].max().item()
        numbers[f"{name}: distance from leaving the rows out"] = abs(float(value) - float(left_out))
    return numbers


def named_torch() -> Measured:
    """The losses that the notes name, by their names as functions, looked up in xloss.torch and its catalogue."""
    import xloss.torch
    from xloss.catalog import LOSSES

    names = ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "nll_loss", "cross_entropy"]
    names += ["adaptive_log_softmax_with_loss", "binary_cross_entropy", "kl_div", "binary_cross_entropy_with_logits"]
    names += ["hinge_embedding_loss", "margin_ranking_loss", "triplet_margin_loss", "soft_margin_loss"]
    names += ["multilabel_margin_loss", "cosine_embedding_loss"]
    missing = [name for name in names if name not in LOSSES or not callable(getattr(xloss.torch, name, None))]
    implemented = len(names) - len(missing)
    return {"named": len(names), "implemented": implemented, "missing": ", ".join(missing) or "none"}


def named_jax() -> Measured:
    """The losses that the notes name, by their names as functions, looked up in xloss.jax and its catalogue."""
    import xloss.jax
    from xloss.catalog import LOSSES

    names = ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "nll_loss", "cross_entropy"]
    names += ["adaptive_log_softmax_with_loss", "binary_cross_entropy", "kl_div", "binary_cross_entropy_with_logits"]
    names += ["hinge_embedding_loss", "margin_ranking_loss", "triplet_margin_loss", "soft_margin_loss"]
    names += ["multilabel_margin_loss", "cosine_embedding_loss"]
    missing = [name for name in names if name not in LOSSES or not callable(getattr(xloss.jax, name, None))]
    implemented = len(names) - len(missing)
    return {"named": len(names), "implemented": implemented, "missing": ", ".join(missing) or "none"}
