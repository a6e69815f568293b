"""Healthy losses and planted faults, each written once and run in both frameworks by the same few operations."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xloss.compare.diagnosis import Evidence
from xloss.compare.run import Case, Result, run
from xloss.compare.sides import Side


@functools.cache
def operations(framework: str) -> Any:
    """The operations that the losses below are written in."""
    if framework == "torch":
        import torch
        from torch.nn import functional

        def gather(x, t):
            return torch.gather(x, 1, t.unsqueeze(1)).squeeze(1)

        return types.SimpleNamespace(
            exp=torch.exp, log=torch.log, sqrt=torch.sqrt, abs=torch.abs, where=torch.where, sigmoid=torch.sigmoid,
            softplus=lambda x: -functional.logsigmoid(-x), relu=torch.relu, maximum=torch.maximum,
            log_softmax=lambda x, axis=-1: torch.log_softmax(x, axis),
            softmax=lambda x, axis=-1: torch.softmax(x, axis),
            stop=lambda x: x.detach(), gather=gather, clip=lambda x, a, b: torch.clamp(x, a, b),
            like=lambda x, y: x.to(y.dtype), cast=lambda x, d: x.to(getattr(torch, d)),
            sum=lambda x, axis=None: x.sum() if axis is None else x.sum(axis),
            mean=lambda x, axis=None: x.mean() if axis is None else x.mean(axis),
            var=lambda x, axis, ddof: x.var(axis, correction=ddof),
            onehot=lambda t, c, y: functional.one_hot(t, c).to(y.dtype), moveaxis=torch.moveaxis, T=lambda x: x.mT,
            ones=torch.ones_like, max=lambda x, axis: x.amax(axis), take=lambda w, t: w[t],
            reshape=lambda x, s: x.reshape(s), matmul=torch.matmul, scan_sum=_torch_scan,
        )  # fmt: skip
    import jax
    import jax.numpy as jnp

    return types.SimpleNamespace(
        exp=jnp.exp, log=jnp.log, sqrt=jnp.sqrt, abs=jnp.abs, where=jnp.where, sigmoid=jax.nn.sigmoid,
        softplus=jax.nn.softplus, relu=jax.nn.relu, maximum=jnp.maximum,
        log_softmax=lambda x, axis=-1: jax.nn.log_softmax(x, axis), softmax=lambda x, axis=-1: jax.nn.softmax(x, axis),
        stop=jax.lax.stop_gradient, gather=lambda x, t: jnp.take_along_axis(x, t[:, None], 1).squeeze(1),
        clip=jnp.clip, like=lambda x, y: x.astype(y.dtype), cast=lambda x, d: x.astype(d),
        sum=jnp.sum, mean=jnp.mean, var=lambda x, axis, ddof: jnp.var(x, axis, ddof=ddof),
        onehot=lambda t, c, y: jax.nn.one_hot(t, c, dtype=y.dtype), moveaxis=jnp.moveaxis, T=lambda x: x.mT,
        ones=jnp.ones_like, max=lambda x, axis: jnp.max(x, axis), take=lambda w, t: w[t],
        reshape=lambda x, s: x.reshape(s), matmul=jnp.matmul, scan_sum=_jax_scan,
    )  # fmt: skip


def _torch_scan(x):
    total = x.reshape(-1)[0]
    for item in x.reshape(-1)[1:]:
        total = total + item
    return total


def _jax_scan(x):
    import jax
    import jax.numpy as jnp

    flat = x.reshape(-1)
    return jax.lax.scan(_add, jnp.zeros((), flat.dtype), flat)[0]


def _add(total, item):
    return total + item, None


# --- losses: o are the operations ---------------------------------------------------------------------------------


def cross_entropy(o, x, t):
    return -o.mean(o.gather(o.log_softmax(x, 1), t))


def bce_logits(o, x, t):
    return o.mean(o.softplus(x) - x * t)


def bce(o, p, t):
    return -o.mean(t * o.log(p) + (1 - t) * o.log(1 - p))


def mse(o, x, y):
    return o.mean((x - y) ** 2)


def huber(o, x, y, delta=1.5):
    e = o.abs(x - y)
    return o.mean(o.where(e < delta, 0.5 * e * e, delta * (e - 0.5 * delta)))


def l1(o, x, y):
    return o.mean(o.abs(x - y))


def kl_div(o, x, q):
    """x: log-probabilities, q: probabilities; batchmean."""
    return o.sum(q * (o.log(q) - x)) / x.shape[0]


def kl_logits(o, x, y, temperature=3.0):
    p = o.log_softmax(x / temperature, 1)
    q = o.log_softmax(y / temperature, 1)
    return o.sum(o.exp(q) * (q - p)) / x.shape[0] * temperature**2


def focal(o, x, t, gamma=2.0, alpha=0.25):
    p = o.sigmoid(x)
    ce = o.softplus(x) - x * t
    pt = p * t + (1 - p) * (1 - t)
    return o.mean((alpha * t + (1 - alpha) * (1 - t)) * (1 - pt) ** gamma * ce)


def nll_ignore(o, x, t, ignore_index=-100):
    keep = t != ignore_index
    picked = -o.gather(o.log_softmax(x, 1), o.where(keep, t, 0 * t))
    keep = o.like(keep, x)
    return o.sum(picked * keep) / o.sum(keep)


def weighted_ce(o, x, t, w):
    taken = o.take(w, t)
    return -o.sum(taken * o.gather(o.log_softmax(x, 1), t)) / o.sum(taken)


def masked_lm(o, x, t, mask):
    """x: (B, V, T), t: (B, T), mask: (B, T)."""
    return o.sum(-o.gather(o.log_softmax(x, 1), t) * mask) / o.sum(mask)


def gaussian_nll(o, x, y, v):
    return o.mean(0.5 * (o.log(v) + (x - y) ** 2 / v))


def cosine(o, x, y, eps=1e-8):
    nx, ny = o.sqrt(o.sum(x * x, 1)), o.sqrt(o.sum(y * y, 1))
    return o.mean(1 - o.sum(x * y, 1) / (nx * ny))


def triplet(o, a, p, n, margin=1.0):
    dp, dn = o.sqrt(o.sum((a - p) ** 2, 1)), o.sqrt(o.sum((a - n) ** 2, 1))
    return o.mean(o.relu(dp - dn + margin))


def dice(o, x, t, smooth=1.0):
    p = o.sigmoid(x)
    return 1 - (2 * o.sum(p * t) + smooth) / (o.sum(p) + o.sum(t) + smooth)


def dice_probabilities(o, p, t, smooth=1.0):
    return 1 - (2 * o.sum(p * t) + smooth) / (o.sum(p) + o.sum(t) + smooth)


def entropy(o, x):
    p = o.log_softmax(x, 1)
    return -o.mean(o.sum(o.exp(p) * p, 1))


def smooth_ce(o, x, t, label_smoothing=0.1):
    p = o.log_softmax(x, 1)
    return o.mean(-(1 - label_smoothing) * o.gather(p, t) - label_smoothing * o.mean(p, 1))


def contrastive(o, x, y, temperature=0.5):
    x, y = x / o.sqrt(o.sum(x * x, 1))[:, None], y / o.sqrt(o.sum(y * y, 1))[:, None]
    logits = o.log_softmax(o.matmul(x, o.T(y)) / temperature, 1)
    return -o.mean(o.sum(logits * _eye(o, logits), 1))


def _eye(o, like):
    n = like.shape[0]
    return o.onehot(_arange(o, n, like), n, like)


def _arange(o, n, like):
    if type(like).__module__.startswith("torch"):
        import torch

        return torch.arange(n)
    import jax.numpy as jnp

    return jnp.arange(n)


def vicreg_variance(o, x):
    return o.mean(o.relu(2.0 - o.sqrt(o.var(x, 0, 0) + 1e-4)))


def td(o, v, n, r, discount=0.9):
    return o.mean((r + discount * o.stop(n) - v) ** 2)


def poisson(o, x, t):
    return o.mean(o.exp(x) - t * x)


def quantile(o, x, y, q=0.3):
    e = y - x
    return o.mean(o.maximum(q * e, (q - 1) * e))


def logcosh(o, x, y):
    e = x - y
    return o.mean(e + o.softplus(-2 * e) - float(np.log(2)))


def hinge(o, x, t):
    return o.mean(o.relu(1 - t * x))


def segmentation(o, x, t):
    """x: (N, C, H, W), t: (N, H, W)."""
    return -o.mean(o.gather(o.log_softmax(x, 1), t))


def charbonnier(o, x, y, eps=1e-3):
    return o.mean(o.sqrt((x - y) ** 2 + eps * eps))


def dpo(o, c, r, beta=0.3):
    return o.mean(o.softplus(-beta * (c - r)))


# --- inputs -------------------------------------------------------------------------------------------------------


def softmax(x, axis=1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def cases(kind: str, seed: int = 0, scale: float = 1.0, **options: Any) -> list[Case]:
    """Two typical cases of different sizes (and a large one) of one kind of inputs."""
    out = []
    for i, (n, c) in enumerate(((6, 5), (4, 7))):
        draw = np.random.default_rng([seed, i, len(kind)])
        arrays, wrt = _arrays(kind, draw, n, c, scale)
        name = "typical" if i == 0 else "smaller"
        out.append(Case(name, arrays, options, (), wrt, kind not in ("joint",)))
    return out


def _arrays(kind, draw, n, c, scale):
    x = draw.normal(size=(n, c)) * scale
    y = draw.normal(size=(n, c)) * scale
    label = draw.integers(0, c, n)
    if kind == "logits":
        return {"x": x}, ("x",)
    if kind == "labels":
        return {"x": x, "t": label}, ("x",)
    if kind == "binary":
        return {"x": x, "t": (draw.random((n, c)) < 0.4).astype(float)}, ("x",)
    if kind == "soft binary":
        return {"x": x, "t": draw.uniform(0.1, 0.9, (n, c))}, ("x",)
    if kind == "probabilities":
        return {"p": draw.uniform(0.05, 0.95, (n, c)), "t": (draw.random((n, c)) < 0.4).astype(float)}, ("p",)
    if kind == "two probabilities":
        return {"p": draw.uniform(0.05, 0.95, (n, c)), "t": draw.uniform(0.05, 0.95, (n, c))}, ("p", "t")
    if kind == "distributions":
        return {"x": np.log(softmax(x)), "q": softmax(y)}, ("x", "q")
    if kind == "pairs":
        return {"x": x, "y": y}, ("x", "y")
    if kind == "vectors":
        return {"x": x[:, 0], "y": y[:, 0]}, ("x", "y")
    if kind == "ignored":
        label[: n // 2] = -100
        return {"x": x, "t": draw.permutation(label)}, ("x",)
    if kind == "weighted":
        return {"x": x, "t": label, "w": draw.uniform(0.5, 3.0, c)}, ("x",)
    if kind == "masked":
        steps = 3 + c % 3
        mask = np.arange(steps)[None] < draw.integers(1, steps, n)[:, None]
        return {"x": draw.normal(size=(n, c, steps)) * scale, "t": draw.integers(0, c, (n, steps)),
                "mask": mask.astype(float)}, ("x",)  # fmt: skip
    if kind == "variances":
        return {"x": x, "y": y, "v": draw.uniform(0.3, 2.0, (n, c))}, ("x", "y", "v")
    if kind == "triplets":
        return {"a": x, "p": y, "n": draw.normal(size=(n, c)) * scale}, ("a", "p", "n")
    if kind == "counts":
        return {"x": x, "t": draw.poisson(2.0, (n, c)).astype(float)}, ("x",)
    if kind == "signs":
        return {"x": x, "t": draw.choice([-1.0, 1.0], (n, c))}, ("x",)
    if kind == "images":
        return {"x": draw.normal(size=(n // 2, c, 3, 2)) * scale, "t": draw.integers(0, c, (n // 2, 3, 2))}, ("x",)
    if kind == "values":
        return {"v": x[:, 0], "n": y[:, 0], "r": draw.normal(size=n)}, ("v", "n")
    raise ValueError(kind)


@dataclass(frozen=True)
class Healthy:
    """A loss and its inputs."""

    loss: Callable[..., Any]
    kind: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.loss.__name__


HEALTHY = [
    Healthy(cross_entropy, "labels"),
    Healthy(bce_logits, "soft binary"),
    Healthy(bce, "probabilities"),
    Healthy(mse, "pairs"),
    Healthy(huber, "pairs", {"delta": 0.7}),
    Healthy(l1, "pairs"),
    Healthy(kl_div, "distributions"),
    Healthy(kl_logits, "pairs", {"temperature": 3.0}),
    Healthy(focal, "binary", {"gamma": 2.0, "alpha": 0.25}),
    Healthy(nll_ignore, "ignored", {"ignore_index": -100}),
    Healthy(weighted_ce, "weighted"),
    Healthy(masked_lm, "masked"),
    Healthy(gaussian_nll, "variances"),
    Healthy(cosine, "pairs"),
    Healthy(triplet, "triplets"),
    Healthy(dice, "binary"),
    Healthy(entropy, "logits"),
    Healthy(smooth_ce, "labels", {"label_smoothing": 0.1}),
    Healthy(contrastive, "pairs", {"temperature": 0.5}),
    Healthy(vicreg_variance, "logits"),
    Healthy(td, "values", {"discount": 0.9}),
    Healthy(poisson, "counts"),
    Healthy(quantile, "pairs", {"q": 0.3}),
    Healthy(logcosh, "pairs"),
    Healthy(hinge, "signs"),
    Healthy(segmentation, "images"),
    Healthy(charbonnier, "pairs", {"eps": 1e-3}),
    Healthy(dpo, "vectors", {"beta": 0.3}),
    Healthy(dice_probabilities, "probabilities"),
]


def side(loss: Callable[..., Any], framework: str) -> Side:
    """A loss in one framework; it takes any option that it names."""
    import inspect

    o = operations(framework)
    names = frozenset(list(inspect.signature(loss).parameters)[1:])

    def call(*args: Any, **options: Any) -> Any:
        return loss(o, *args, **options)

    return Side(f"{framework}:{loss.__name__}", framework, call, names)


def evidence(torch_loss, jax_loss, inputs: list[Case], right=None) -> Evidence:
    """Both functions on those inputs; `right` is a loss, run in PyTorch."""
    sides = (side(torch_loss, "torch"), side(jax_loss, "jax"))
    exact = None
    if right is not None:
        good = side(right, "torch")

        def exact(case: Case) -> Result:
            got = run(good, case)
            if not isinstance(got, Result):
                raise ValueError(f"outside the domain: {got}")
            return got

    return Evidence(sides, inputs, ("torch", "jax"), exact)
