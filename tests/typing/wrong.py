"""Wrong calls of both modules; test_typing.py has type checkers find an error in each marked line, and in no other."""

import jax
import torch

import xloss.jax
import xloss.torch


def functions_of_torch(x: torch.Tensor, y: torch.Tensor) -> None:
    xloss.torch.huber_loss(x, y, reductoin="sum")  # error
    xloss.torch.huber_loss(x, y, reduction="men")  # error
    xloss.torch.huber_loss(x, y, reduction="batchmean")  # error
    xloss.torch.huber_loss(x)  # error
    xloss.torch.huber_loss(x, y, delta="1")  # error
    xloss.torch.cross_entropy(x, y, reductoin="sum")  # error
    xloss.torch.cross_entropy(x)  # error
    xloss.torch.cross_entropie(x, y)  # error
    xloss.torch.sum_and_denominator(xloss.torch.huber_loss, x, y, detla=1.0)  # error


def functions_of_jax(x: jax.Array, y: jax.Array) -> None:
    xloss.jax.huber_loss(x, y, reductoin="sum")  # error
    xloss.jax.huber_loss(x, y, reduction="men")  # error
    xloss.jax.huber_loss(x, y, reduction="batchmean")  # error
    xloss.jax.huber_loss(x)  # error
    xloss.jax.huber_loss(x, y, delta="1")  # error
    xloss.jax.cross_entropy(x, y, reductoin="sum")  # error
    xloss.jax.cross_entropy(x)  # error
    xloss.jax.cross_entropie(x, y)  # error
    xloss.jax.sum_and_denominator(xloss.jax.huber_loss, x, y, detla=1.0)  # error


def classes_of_torch(x: torch.Tensor, y: torch.Tensor) -> None:
    xloss.torch.HuberLoss(reductoin="sum")  # error
    xloss.torch.HuberLoss("men")  # error
    xloss.torch.HuberLoss(delta="1")  # error
    xloss.torch.HuberLoss()(x)  # error
    xloss.torch.HuberLoss()(x, y, delta=1.0)  # error
    xloss.torch.TripletMarginWithDistanceLoss(None)  # error
    xloss.torch.LinearCrossEntropyLoss(3)  # error


def classes_of_jax(x: jax.Array, y: jax.Array) -> None:
    xloss.jax.HuberLoss(reductoin="sum")  # error
    xloss.jax.HuberLoss("men")  # error
    xloss.jax.HuberLoss(delta="1")  # error
    xloss.jax.HuberLoss()(x)  # error
    xloss.jax.HuberLoss()(x, y, delta=1.0)  # error
    xloss.jax.TripletMarginWithDistanceLoss(None)  # error
    xloss.jax.LinearCrossEntropyLoss(3, 5)  # error
    xloss.jax.HuberLoss().delta = 2.0  # error
