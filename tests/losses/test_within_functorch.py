"""Within `torch.func` a loss may get tensors that are not transformed: constants, and leaves of plain autograd."""

from typing import Any

import pytest
from helpers import TORCH, VARIANTS, Loss, Variant, floating, ids, put, torch

from xloss.parity.inputs import Draw

CASES = [(loss, variant) for loss, variant in VARIANTS if variant is loss.variants[0]]


@pytest.mark.parametrize(("loss", "variant"), CASES, ids=ids(CASES))
def test_a_factor_outside_of_the_loss_is_differentiated(loss: Loss, variant: Variant) -> None:
    arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "float32"))
    tensors = put(TORCH, arrays)
    tensors |= {name: tensors[name].requires_grad_() for name in floating(loss, arrays)}
    call = loss.implementation("torch")

    def scaled(factor: Any) -> Any:
        return factor * call(**tensors, **variant.options, reduction="sum")

    value = scaled(torch.tensor(1.0)).detach()
    slope = torch.func.grad(scaled)(torch.tensor(2.0))
    torch.testing.assert_close(slope.detach(), value, rtol=1e-5, atol=1e-6)
    several = torch.func.vmap(scaled)(torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(several.detach(), torch.stack([value, 3 * value]), rtol=1e-5, atol=1e-6)
