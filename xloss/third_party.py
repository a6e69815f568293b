"""Implementations from other libraries, adapted to the signature of a loss so that they are judged alike."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable
from typing import Any

from xloss.catalog import Difference, Peer, Unsupported


def functional(name: str) -> Peer:
    """Make a peer of `torch.nn.functional.<name>`, called with the arguments of the loss unchanged."""

    def call(**kwargs: Any) -> Any:
        import torch.nn.functional

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on broadcasting and on kl_div's 'mean': both intended here
            return getattr(torch.nn.functional, name)(**kwargs)

    return Peer("torch.nn.functional", "torch", call)


def optax(unreduced: Callable[..., Any], same_shape: bool = True) -> Peer:
    """Make a peer of an optax loss, `unreduced(optax, input, target, ...)`, reduced by `mean()` or `sum()`.

    An argument that is not a parameter of `unreduced` raises `Unsupported`, and so does broadcasting with `same_shape`.
    """
    known = set(inspect.signature(unreduced).parameters)

    def call(reduction: str, **kwargs: Any) -> Any:
        import optax

        _refuse_unknown("optax", kwargs, known)
        if same_shape and kwargs["input"].shape != kwargs["target"].shape:
            raise Unsupported("optax refuses to broadcast, or broadcasts without a word")
        loss = unreduced(optax, **kwargs)
        if reduction == "none":
            return loss
        if reduction == "batchmean":
            return loss.sum() / kwargs["input"].shape[0]
        return loss.mean() if reduction == "mean" else loss.sum()

    return Peer("optax", "jax", call)


def keras(build: Callable[..., Any], reductions: tuple[str, ...] = ("mean",)) -> Peer:
    """Make a peer of a Keras loss on the JAX backend: `build(losses, **options)`, called with (target, input).

    Keras averages over the last axis before it reduces, so that only `'mean'` (or what `reductions` says) agrees.
    """
    known = set(inspect.signature(build).parameters)

    def call(input: Any, target: Any, reduction: str, **kwargs: Any) -> Any:
        os.environ.setdefault("KERAS_BACKEND", "jax")
        import keras

        if keras.backend.backend() != "jax":
            raise Unsupported(f"Keras is set to its {keras.backend.backend()} backend; set KERAS_BACKEND=jax")
        if reduction not in reductions:
            raise Unsupported(f"Keras has no reduction that is {reduction!r}: it averages over the last axis first")
        _refuse_unknown("Keras", kwargs, known)
        if input.ndim == 0:
            raise Unsupported("Keras averages over the last axis, and there is none")
        return build(keras.losses, **kwargs)(target, input)

    return Peer("keras", "jax", call)


def sum_as_text(framework: str, **given: Any) -> Callable[[Callable[..., Any]], str]:
    """Make a measure of a `Difference`: the sum of the loss of float32 arrays (nested lists), as text.

    As text, for NaN is not equal to NaN. What is not a list is an option; lists of integers are labels.
    """

    def measure(function: Callable[..., Any]) -> str:
        import numpy as np

        arrays = {name: np.asarray(value) for name, value in given.items() if isinstance(value, list)}
        arrays = {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in arrays.items()}
        if framework == "torch":
            import torch

            tensors: dict[str, Any] = {name: torch.from_numpy(a) for name, a in arrays.items()}
        else:
            import jax.numpy as jnp

            tensors = {name: jnp.asarray(a) for name, a in arrays.items()}
        return f"{float(function(**{**given, **tensors}, reduction='sum')):.4g}"

    return measure


def kink(loss: str, ours: Callable[..., Any], theirs: Callable[..., Any], by: str, slope: float,
         **given: Any) -> Difference:  # fmt: skip
    """Record that torch 2.14 and newer give the term of a margin no derivative where it is exactly 0; here, `slope`."""

    def measure(function: Callable[..., Any]) -> float:
        import torch

        tensors = {name: torch.tensor(value) for name, value in given.items() if isinstance(value, list)}
        tensors[by].requires_grad_()
        function(**{**given, **tensors}, reduction="sum").backward()
        return float(tensors[by].grad.sum())

    return Difference.between(f"{loss}/kink", "derivative where the term of the margin is exactly 0: its slope, or 0",
                              "torch.nn.functional", measure, ours, theirs, (slope, 0.0), "torch 2.15.0",
                              versions="torch>=2.14")  # fmt: skip


def _refuse_unknown(who: str, kwargs: dict[str, Any], known: set[str]) -> None:
    """Raise `Unsupported` for arguments that are not `known`."""
    unknown = sorted(name for name in kwargs if name not in known)
    if unknown:
        raise Unsupported(f"{who} has no {', '.join(unknown)}")
