"""Batch invariance is measured: an implementation whose rows depend on the batch is found."""

import dataclasses

import pytest

from xloss.catalog import LOSSES
from xloss.parity.invariance import BATCHES, ROWS, measure

LOSS = dataclasses.replace(LOSSES["mse_loss"], large=())  # of few elements


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_a_row_that_depends_on_the_size_of_the_batch_is_found(framework):
    pytest.importorskip(framework)
    right = getattr(LOSS, framework)
    same = measure(LOSS, framework, "xloss", right)
    assert same.asked == sum(ROWS // size * size for size in BATCHES[1:])
    assert (same.value, same.gradient, same.threads) == (0, 0, 0)

    def depends(input, target, **options):
        return right(input, target, **options) * (1 + input.shape[0] % 2 * 2.0**-23)

    found = measure(LOSS, framework, "xloss", depends)
    odd = sum(ROWS // size * size for size in BATCHES[1:] if size % 2)
    assert 0 < found.value <= odd
    assert 0 < found.gradient <= odd


def test_coupled_samples_are_not_asked():
    pytest.importorskip("torch")
    coupled = next(loss for loss in LOSSES.values() if loss.arguments.class_axes is None)
    assert "samples" in measure(coupled, "torch", "xloss", coupled.torch).reason
