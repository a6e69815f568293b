"""Every loss has torch.nn.functional's signature, one in both frameworks, and is shown under its name."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import SHARED, TORCH, both, every_loss, functional, put, reference

from xloss.catalog import Loss

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("loss", SHARED, ids=lambda loss: loss.name)
def test_the_signature_is_that_of_functional(loss: Loss) -> None:
    """Ours may have more options, at the end and by keyword only."""
    theirs = inspect.signature(getattr(functional, loss.name)).parameters.values()
    kept = [(p.name, p.default) for p in theirs if p.name not in ("size_average", "reduce")]
    ours = list(inspect.signature(loss.torch).parameters.values())
    assert [(p.name, p.default) for p in ours[: len(kept)]] == kept
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in ours[len(kept) :])


@every_loss
def test_both_frameworks_have_one_signature(loss: Loss) -> None:
    ours, theirs = (inspect.signature(twin).parameters.values() for twin in (loss.torch, loss.jax))
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]
    if loss.wrap_call is None or "reduction" in inspect.signature(loss.torch).parameters:
        assert inspect.signature(loss.torch).parameters["reduction"].default == "mean"


@every_loss
def test_the_faces_show_it_under_its_name(loss: Loss) -> None:
    import xloss.jax
    import xloss.torch

    for face, function in ((xloss.torch, loss.torch), (xloss.jax, loss.jax)):
        assert getattr(face, loss.name) is function
        assert loss.name in dir(face)
        assert loss.name in face.__all__
        assert (function.__name__, function.__module__) == (loss.name, face.__name__)
        assert "Formula" in function.__doc__
        assert "Source" in function.__doc__


@both
def test_a_face_has_no_other_loss(framework: Any) -> None:
    import importlib

    face = importlib.import_module(f"xloss.{framework.name}")
    with pytest.raises(AttributeError, match="no_such_loss"):
        face.no_such_loss  # noqa: B018


def warns(function: Callable[[], Any]) -> bool:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return any("broadcast" in str(warning.message) for warning in caught)


@pytest.mark.parametrize("loss", SHARED, ids=lambda loss: loss.name)
def test_broadcasting_warns_where_it_does_in_functional(loss: Loss) -> None:
    if not any(variant.broadcast for variant in loss.variants):
        pytest.skip("refuses, or takes broadcasting for granted")
    x, y = np.ones((4, 1)), np.zeros(4)
    assert warns(lambda: reference(loss)(*put(TORCH, {"x": x, "y": y}).values()))
    assert warns(lambda: loss.torch(*put(TORCH, {"x": x, "y": y}).values()))
    assert warns(lambda: loss.jax(x, y))
    assert not warns(lambda: loss.torch(*put(TORCH, {"x": x, "y": x}).values()))
    assert not warns(lambda: loss.jax(x, x))
