"""Right calls of both modules; test_typing.py has type checkers read this file and find nothing."""

from typing import assert_type

import jax
import torch

import xloss.jax
import xloss.torch
from xloss.jax import CrossEntropyLoss, cross_entropy
from xloss.torch import sum_and_denominator


def functions_of_torch(x: torch.Tensor, y: torch.Tensor) -> None:
    assert_type(xloss.torch.huber_loss(x, y), torch.Tensor)
    assert_type(xloss.torch.huber_loss(x, y, "none", 2.0), torch.Tensor)
    assert_type(xloss.torch.huber_loss(target=y, input=x, reduction="sum", delta=2, weight=x), torch.Tensor)
    xloss.torch.cross_entropy(x, y, None, -100, "mean", 0.1)
    xloss.torch.cross_entropy(input=x, target=y, weight=x, ignore_index=0, label_smoothing=0.1)
    xloss.torch.kl_div(x, y, reduction="batchmean")
    assert_type(sum_and_denominator(xloss.torch.huber_loss, x, y, delta=2.0), tuple[torch.Tensor, torch.Tensor])


def functions_of_jax(x: jax.Array, y: jax.Array) -> None:
    assert_type(xloss.jax.huber_loss(x, y), jax.Array)
    assert_type(xloss.jax.huber_loss(x, 0.0, "none", 2.0), jax.Array)
    assert_type(xloss.jax.huber_loss(target=y, input=x, reduction="sum", delta=2, weight=x), jax.Array)
    cross_entropy(x, y, None, -100, "mean", 0.1)
    cross_entropy(input=x, target=y, weight=x, ignore_index=0, label_smoothing=0.1)
    xloss.jax.kl_div(x, y, reduction="batchmean")
    assert_type(xloss.jax.sum_and_denominator(xloss.jax.huber_loss, x, y), tuple[jax.Array, jax.Array])


def classes_of_torch(x: torch.Tensor, y: torch.Tensor) -> None:
    loss = xloss.torch.HuberLoss("sum", delta=2.0)
    module: torch.nn.Module = loss
    module.train()
    assert_type(loss(x, y), torch.Tensor)
    assert_type(loss.forward(input=x, target=y, weight=x), torch.Tensor)
    assert_type(loss.delta, float)
    xloss.torch.CrossEntropyLoss(x, ignore_index=0)(x, y)
    xloss.torch.TripletMarginWithDistanceLoss(margin=2.0)(x, y, negative=y)
    assert_type(xloss.torch.LinearCrossEntropyLoss(3, 5, bias=True, reduction="sum")(x, y), torch.Tensor)


def classes_of_jax(x: jax.Array, y: jax.Array) -> None:
    loss = xloss.jax.HuberLoss("sum", delta=2.0)
    assert_type(loss(x, y), jax.Array)
    assert_type(loss(input=x, target=y, weight=x), jax.Array)
    assert_type(loss.delta, float)
    CrossEntropyLoss(x, ignore_index=0)(x, y)
    xloss.jax.TripletMarginWithDistanceLoss(margin=2.0)(x, y, negative=y)
    assert_type(xloss.jax.LinearCrossEntropyLoss(3, 5, key=x, reduction="sum")(x, y), jax.Array)
