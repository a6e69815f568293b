"""The PyTorch half of the README's example of `xloss compare`."""

import torch
from torch.nn import functional


def token_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross entropy of the tokens; padding is labelled -100."""
    return functional.cross_entropy(logits, labels, ignore_index=-100)
