"""The right functions in torch that several cases of the gallery have in common."""

from __future__ import annotations

from typing import Any


def cross_entropy(input: Any, target: Any) -> Any:
    """Return the mean cross entropy; labels of -100 are ignored."""
    from torch.nn import functional

    return functional.cross_entropy(input, target)


def next_token(input: Any, target: Any) -> Any:
    """Return the mean cross entropy where each row predicts the label of the next."""
    return cross_entropy(input[:-1], target[1:])


def contrastive(input: Any, target: Any) -> Any:
    """Return the mean cross entropy of the similarities, where row i belongs to column i."""
    import torch

    return cross_entropy(input @ target.T, torch.arange(len(input)))


def bce(input: Any, target: Any) -> Any:
    """Return the mean binary cross entropy of logits."""
    from torch.nn import functional

    return functional.binary_cross_entropy_with_logits(input, target)


def kl(input: Any, teacher: Any) -> Any:
    """Return the KL divergence of the teacher's distribution from the input's, both logits, per row."""
    import torch
    from torch.nn import functional

    return functional.kl_div(torch.log_softmax(input, -1), torch.softmax(teacher, -1), reduction="batchmean")


def focal(input: Any, target: Any) -> Any:
    """Return the mean focal loss with alpha 0.25 and gamma 2."""
    import torch

    p = torch.sigmoid(input)
    return (-target * 0.25 * (1 - p) ** 2 * p.log() - (1 - target) * 0.75 * p**2 * (1 - p).log()).mean()
