"""Losses are recorded as programs: torch.export, make_fx, torch.jit.trace; what was recorded holds for other values.

A batch of any size, rows chosen by a mask (a size that depends on values), strict and not; no branch of the example's
values is kept, and no check of them either.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import OLD_TORCH, TORCH, VARIANTS, every_variant, ids, put

from xloss.catalog import LOSSES, Loss, Variant
from xloss.parity.inputs import Draw, applicable

torch = pytest.importorskip("torch")
proxy_tensor = pytest.importorskip("torch.fx.experimental.proxy_tensor")

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
BATCHED = [(loss, v) for loss, v in VARIANTS if not v.unbatched and v.per_sample]
batched = pytest.mark.parametrize(
    ("loss", "variant"),
    [pytest.param(*pair, id=name, marks=() if pair[1] is pair[0].variants[0] else pytest.mark.slow)
     for pair, name in zip(BATCHED, ids(BATCHED), strict=True)],
)  # fmt: skip
strictness = pytest.mark.parametrize(
    "strict",
    [pytest.param(False, id="not strict"), pytest.param(True, id="strict", marks=pytest.mark.slow)],
)
# Their recursion over frames, or the lengths of their rows, are Python's: of one number of rows, or of any.
FIXED = {"ctc_loss": "the recursion rolls over all rows, whose number must be known"}


class Called(torch.nn.Module):
    """The loss of tensors in order; with a mask first, of the rows that it chooses."""

    def __init__(self, loss: Loss, variant: Variant, arrays: dict[str, np.ndarray], masked: bool = False) -> None:
        super().__init__()
        self.function, self.options = loss.implementation("torch"), dict(variant.options)
        # adaptive_log_softmax_with_loss has no reduction: that of the harness looks at the number of rows.
        self.options["reduction"] = "none" if loss.class_form.parametric else loss.main_reduction
        self.names, self.masked, self.axes = list(arrays), masked, batch_axes(loss, variant, arrays)

    def forward(self, *tensors: Any) -> Any:
        if self.masked:
            rows, *tensors = tensors
            index = rows.nonzero().squeeze(1)
            pairs = zip(self.names, tensors, strict=True)
            tensors = [x.index_select(self.axes[n], index) if n in self.axes else x for n, x in pairs]
        return self.function(**dict(zip(self.names, tensors, strict=True)), **self.options)


def batch_axes(loss: Loss, variant: Variant, arrays: dict[str, np.ndarray]) -> dict[str, int]:
    """The axis of the batch of each argument that has it; one that is broadcast has it not."""
    axes = loss.arguments.batch_axes
    first = next(name for name in axes if name in arrays)
    size = arrays[first].shape[axes[first]]
    return {n: a for n, a in axes.items() if n in arrays and arrays[n].ndim > a and arrays[n].shape[a] == size
            and not (variant.broadcast and n == "target")}  # fmt: skip


def drawn(loss: Loss, variant: Variant, regime: str = "typical") -> dict[str, np.ndarray]:
    return loss.inputs(Draw(loss, variant, variant.shapes[0], regime, "float32"))


def same(got: Any, want: Any) -> None:
    torch.testing.assert_close(got, want, equal_nan=True, rtol=1e-5, atol=1e-6)


@strictness
@batched
def test_export_with_a_batch_of_any_size(loss: Loss, variant: Variant, strict: bool) -> None:
    arrays = drawn(loss, variant)
    tensors, called = put(TORCH, arrays), Called(loss, variant, arrays)
    size = torch.export.Dim("size", min=2, max=1024)
    dynamic = tuple({called.axes[name]: size} if name in called.axes else None for name in arrays)
    exported = torch.export.export(called, tuple(tensors.values()), dynamic_shapes=(dynamic,), strict=strict).module()
    twice = [torch.cat([x, x], called.axes[name]) if name in called.axes else x for name, x in tensors.items()]
    same(exported(*twice), called(*twice))


@strictness
@batched
def test_export_of_rows_that_a_mask_chooses(loss: Loss, variant: Variant, strict: bool) -> None:
    if loss.name in FIXED:
        pytest.skip(FIXED[loss.name])
    if loss.name in ("circle_loss", "ntxent_loss") and OLD_TORCH:
        pytest.skip("PyTorch takes the greatest of pairs whose number is unknown for one of an empty array")
    arrays = drawn(loss, variant)
    tensors, called = put(TORCH, arrays), Called(loss, variant, arrays, masked=True)
    name, axis = next(iter(called.axes.items()))
    rows = torch.arange(arrays[name].shape[axis])
    exported = torch.export.export(called, (rows % 2 == 0, *tensors.values()), strict=strict).module()
    for mask in (rows % 2 == 0, rows > 0):
        same(exported(mask, *tensors.values()), called(mask, *tensors.values()))


def at_other_values(recorded: Callable[..., Any], called: Called, loss: Loss, variant: Variant) -> int:
    """Compare what was recorded with the loss at the values of all regimes of that shape."""
    count = 0
    for regime in applicable(loss, variant):
        if regime not in ("empty", "one", "noncontiguous"):
            tensors = put(TORCH, drawn(loss, variant, regime)).values()
            same(recorded(*tensors), called(*tensors))
            count += 1
    return count


@every_variant
def test_jit_trace_keeps_no_branch_of_values(loss: Loss, variant: Variant) -> None:
    arrays = drawn(loss, variant)
    called = Called(loss, variant, arrays)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # of checks of shapes
        recorded = torch.jit.trace(called, tuple(put(TORCH, arrays).values()), check_trace=False)
    assert at_other_values(recorded, called, loss, variant) >= 3


@pytest.mark.parametrize("mode", ["real", pytest.param("symbolic", marks=pytest.mark.slow)])
@every_variant
def test_make_fx_keeps_no_branch_of_values(loss: Loss, variant: Variant, mode: str) -> None:
    arrays = drawn(loss, variant)
    called = Called(loss, variant, arrays)
    recorded = proxy_tensor.make_fx(called, tracing_mode=mode)(*put(TORCH, arrays).values())
    assert at_other_values(recorded, called, loss, variant) >= 3


CHECKED = {"binary_cross_entropy": "input", "dice_loss": "input", "tversky_loss": "input", "gaussian_nll_loss": "var"}


@pytest.mark.parametrize("name", CHECKED)
def test_jit_trace_does_not_check_the_values_of_the_example(name: str) -> None:
    """Values outside of the domain while tracing raise nothing; in the program they give NaN, and good ones do not."""
    loss = LOSSES[name]
    arrays = drawn(loss, variant := loss.variants[0])
    bad = {**arrays, CHECKED[name]: arrays[CHECKED[name]] - 4}
    called = Called(loss, variant, arrays)
    with pytest.raises(ValueError, match=CHECKED[name]):
        called(*put(TORCH, bad).values())
    for example in (arrays, bad):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # of checks of shapes
            recorded = torch.jit.trace(called, tuple(put(TORCH, example).values()), check_trace=False)
        same(recorded(*put(TORCH, arrays).values()), called(*put(TORCH, arrays).values()))
        assert recorded(*put(TORCH, bad).values()).isnan().all()


def test_a_branch_of_values_that_is_kept_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from xloss.ops import torch as ops

    monkeypatch.setattr(ops, "is_traced", lambda: False)
    loss = LOSSES["binary_cross_entropy"]
    with pytest.raises((AssertionError, ValueError)):
        test_jit_trace_keeps_no_branch_of_values(loss, loss.variants[0])
    with pytest.raises((AssertionError, ValueError, RuntimeError)):
        test_make_fx_keeps_no_branch_of_values(loss, loss.variants[0], "real")
