"""Experiments on a notebook's losses and their values; see `xloss.claims.notebook_backward`."""

# A named lambda is the shortest form of what a reader shall copy.
# ruff: noqa: E731

from xloss.claims.model import Measured


def printed_torch() -> Measured:
    """The notebook's two predictions, with a large and with a small error."""
    import torch

    y = torch.tensor([0.0, 1, 0, 0])
    numbers = {}
    for row, certainty in {"large error": 0.5, "small error": 0.9}.items():
        p = torch.tensor([0.001, certainty, 0.1, 0.1])
        norm = (y - p).norm()
        numbers[f"'L1 Loss', {row}"] = norm.item()
        numbers[f"L2 Loss, {row}"] = norm.item() ** 2
        numbers[f"Log Loss, {row}"] = (-y * p.log()).sum().item()
        numbers[f"sum of |y - p|, {row}"] = (y - p).abs().sum().item()
    return numbers


def printed_jax() -> Measured:
    """The notebook's two predictions, with a large and with a small error."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    @jax.jit
    def measure(y, p):
        return jnp.linalg.norm(y - p), (-y * jnp.log(p)).sum(), jnp.abs(y - p).sum()

    y, numbers = np.array([0, 1, 0, 0], "float32"), {}
    for row, certainty in {"large error": 0.5, "small error": 0.9}.items():
        norm, log_loss, total = map(float, measure(y, np.array([0.001, certainty, 0.1, 0.1], "float32")))
        numbers[f"'L1 Loss', {row}"] = norm
        numbers[f"L2 Loss, {row}"] = norm**2
        numbers[f"Log Loss, {row}"] = log_loss
        numbers[f"sum of |y - p|, {row}"] = total
    return numbers


def penalties_torch() -> Measured:
    """Value and slope of the squared and of the log penalty, as the true class gets less likely."""
    import torch

    p = torch.tensor([0.9, 0.5, 0.1, 0.01, 0.0001], requires_grad=True)
    numbers = {"p": p.tolist()}
    for name, loss in {"squared": (1 - p) ** 2, "log": -p.log()}.items():
        numbers[f"{name} loss"] = loss.tolist()
        numbers[f"{name} slope"] = (-torch.autograd.grad(loss.sum(), p)[0]).tolist()
        numbers[f"{name} growth from p = 0.9 to 0.5"] = (loss[1] / loss[0]).item()
    return numbers


def penalties_jax() -> Measured:
    """Value and slope of the squared and of the log penalty, as the true class gets less likely."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    p = np.array([0.9, 0.5, 0.1, 0.01, 0.0001], "float32")
    numbers = {"p": p.tolist()}
    for name, penalty in {"squared": lambda p: (1 - p) ** 2, "log": lambda p: -jnp.log(p)}.items():
        loss, slope = jax.jit(jax.vmap(jax.value_and_grad(penalty)))(p)
        numbers[f"{name} loss"] = loss.tolist()
        numbers[f"{name} slope"] = (-slope).tolist()
        numbers[f"{name} growth from p = 0.9 to 0.5"] = float(loss[1]) / float(loss[0])
    return numbers


def multilabel_torch() -> Measured:
    """What the log loss notices when a wrong class ("violet") rises from 0.001 to 0.999."""
    import torch

    y = torch.tensor([0.0, 1, 0, 0])
    p, worse = torch.tensor([0.001, 0.5, 0.1, 0.1]), torch.tensor([0.999, 0.5, 0.1, 0.1])
    log_loss = lambda p: (-y * p.log()).sum().item()
    binary = lambda p: torch.nn.functional.binary_cross_entropy(p, y, reduction="sum").item()
    return {
        "log loss, before and after": [log_loss(p), log_loss(worse)],
        "log loss of p / sum(p), before and after": [log_loss(p / p.sum()), log_loss(worse / worse.sum())],
        "binary cross-entropy, before and after": [binary(p), binary(worse)],
        "sum of the notebook's p": p.sum().item(),
    }


def multilabel_jax() -> Measured:
    """What the log loss notices when a wrong class ("violet") rises from 0.001 to 0.999."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    y = np.array([0, 1, 0, 0], "float32")
    log_loss = lambda p: (-y * jnp.log(p)).sum()
    binary = lambda p: -(y * jnp.log(p) + (1 - y) * jnp.log1p(-p)).sum()
    measure = jax.jit(lambda p: (log_loss(p), log_loss(p / p.sum()), binary(p), p.sum()))
    p, worse = (
        measure(np.array([0.001, 0.5, 0.1, 0.1], "float32")),
        measure(np.array([0.999, 0.5, 0.1, 0.1], "float32")),
    )
    return {
        "log loss, before and after": [float(p[0]), float(worse[0])],
        "log loss of p / sum(p), before and after": [float(p[1]), float(worse[1])],
        "binary cross-entropy, before and after": [float(p[2]), float(worse[2])],
        "sum of the notebook's p": float(p[3]),
    }
