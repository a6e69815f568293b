"""A NumPy integer of 64 bits is looked at as it is: without x64 JAX would take 2^32 + 1 for 1.

Labels, groups, lengths and options of every loss, eager and closed over in `jit`, of functions and of their classes:
`xloss.jax` accepts, and refuses in the same words, what `xloss.torch` does.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers import LOSSES, TORCH, VARIANTS, Loss, Variant, every_loss, jax, jnp, torch

import xloss.jax
import xloss.torch
from xloss.modules.signatures import class_name
from xloss.parity.inputs import Draw

pytestmark = pytest.mark.usefixtures("x32")

BEYOND = {"2**32+1": 2**32 + 1, "2**32-100": 2**32 - 100, "2**63-1": 2**63 - 1}


def arrays_of(loss: Loss, variant: Variant) -> dict[str, np.ndarray]:
    arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "float32"))
    return {name: np.asarray(a, np.int64) if a.dtype.kind in "iu" else a for name, a in arrays.items()}


def integers(loss: Loss, variant: Variant) -> list[str]:
    return [name for name, array in arrays_of(loss, variant).items() if array.dtype.kind in "iu"]


INTEGERS = [(loss, variant, name) for loss, variant in VARIANTS for name in integers(loss, variant)]
every_integer = pytest.mark.parametrize(
    ("loss", "variant", "name"),
    INTEGERS,
    ids=[f"{loss.name}-{variant.name}-{name}" for loss, variant, name in INTEGERS],
)
IGNORING = [loss for loss in LOSSES.values() if "ignore_index" in inspect.signature(loss.jax).parameters]


def replaced(array: np.ndarray, value: int) -> np.ndarray:
    """With the first element that is not padding replaced; of int64."""
    out = array.copy()
    out.reshape(-1)[int(np.argmax(out.reshape(-1) >= 0))] = value
    return out


def outcome(call: Callable[[], Any]) -> Any:
    """The value, or what was refused in which words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            out = call()
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return np.asarray(out.detach() if isinstance(out, torch.Tensor) else out)


def same(got: Any, want: Any) -> None:
    if isinstance(want, str):
        assert got == want
    else:
        np.testing.assert_allclose(got, want, 1e-5, 1e-6)


def ways(loss: Loss, arrays: dict[str, np.ndarray], options: dict[str, Any]) -> Iterator[Callable[[], Any]]:
    """In JAX: eager, and closed over in a compiled function of the floating arguments."""
    function = loss.implementation("jax")
    reduction = {"reduction": loss.main_reduction}
    yield lambda: function(**arrays, **options, **reduction)
    floating = {name: array for name, array in arrays.items() if array.dtype.kind not in "iu"}
    rest = {name: array for name, array in arrays.items() if name not in floating}
    yield lambda: jax.jit(lambda given: function(**given, **rest, **options, **reduction))(floating)


def in_torch(loss: Loss, arrays: dict[str, np.ndarray], options: dict[str, Any]) -> Any:
    tensors = {name: TORCH.put(array, "cpu") for name, array in arrays.items()}
    return loss.implementation("torch")(**tensors, **options, reduction=loss.main_reduction)


@every_integer
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(value, id=name, marks=() if name == "2**32+1" else pytest.mark.slow)
        for name, value in BEYOND.items()
    ],
)
def test_beyond_32_bits_is_what_it_is_in_torch(loss: Loss, variant: Variant, name: str, value: int) -> None:
    """An error with the label that came, or, where any integer will do, the same loss."""
    arrays = arrays_of(loss, variant)
    arrays[name] = replaced(arrays[name], value)
    options = dict(variant.options)
    want = outcome(lambda: in_torch(loss, arrays, options))
    if isinstance(want, str):
        assert want.startswith(f"ValueError: {name}: expected")
        assert str(value) in want
    for way in ways(loss, arrays, options):
        same(outcome(way), want)


@pytest.mark.slow
@every_integer
def test_unsigned_integers_of_64_bits(loss: Loss, variant: Variant, name: str) -> None:
    """Good ones are accepted, and 2^64 - 100 is not -100."""
    arrays, options = arrays_of(loss, variant), dict(variant.options)
    if (arrays[name] < 0).any():
        arrays[name] = np.abs(arrays[name]).clip(max=1)
    want = [outcome(way) for way in ways(loss, arrays, options)]
    arrays[name] = arrays[name].astype(np.uint64)
    for way, before in zip(ways(loss, arrays, options), want, strict=True):
        same(outcome(way), before)
    if not isinstance(want[0], str):
        bad = arrays[name].copy()
        bad.reshape(-1)[0] = 2**64 - 100
        for way in ways(loss, {**arrays, name: bad}, options):
            got = outcome(way)
            labels_of_any_size = loss.arguments.class_axes is None or name in loss.arguments.untyped[:1]
            assert labels_of_any_size or (isinstance(got, str) and str(2**64 - 100) in got)


@pytest.mark.parametrize("loss", IGNORING, ids=[loss.name for loss in IGNORING])
@pytest.mark.parametrize("value", [2**40, 2**32 + 1, -(2**40)])
def test_ignore_index_beyond_32_bits(loss: Loss, value: int) -> None:
    """It ignores the labels that are equal to it, and no others, also in JAX's own 32 bits."""
    arrays = arrays_of(loss, loss.variants[0])
    for target in (arrays["target"], replaced(arrays["target"], value)):
        given = {**arrays, "target": target}
        want = outcome(lambda given=given: in_torch(loss, given, {"ignore_index": value}))
        assert not isinstance(want, str)
        for way in ways(loss, given, {"ignore_index": value}):
            same(outcome(way), want)
    given = {name: jnp.asarray(array) for name, array in arrays.items()}
    same(outcome(lambda: loss.jax(**given, ignore_index=value)), outcome(lambda: loss.jax(**given)))


@pytest.mark.parametrize("loss", IGNORING, ids=[loss.name for loss in IGNORING])
def test_an_option_beyond_64_bits_is_refused_by_name(loss: Loss) -> None:
    arrays = arrays_of(loss, loss.variants[0])
    for call in (in_torch, lambda *given: next(ways(*given))()):
        got = outcome(lambda call=call: call(loss, arrays, {"ignore_index": 2**70}))
        assert got == f"ValueError: ignore_index: expected an integer of at most 64 bits, got {2**70}"


CLASSES = [loss for loss in LOSSES.values() if not loss.class_form.parametric and integers(loss, loss.variants[0])
           and loss.wrap_call is None]  # fmt: skip


@pytest.mark.parametrize("loss", CLASSES, ids=[loss.name for loss in CLASSES])
def test_classes_refuse_what_the_functions_refuse(loss: Loss) -> None:
    arrays = arrays_of(loss, loss.variants[0])
    name = integers(loss, loss.variants[0])[0]
    arrays[name] = replaced(arrays[name], 2**32 + 1)
    ours, theirs = (getattr(module, class_name(loss)) for module in (xloss.jax, xloss.torch))
    want = outcome(lambda: theirs()(**{key: TORCH.put(array, "cpu") for key, array in arrays.items()}))
    same(outcome(lambda: ours()(**arrays)), want)
    same(outcome(lambda: jax.jit(lambda: ours()(**arrays))()), want)


@pytest.mark.parametrize("which", ["input_lengths", "target_lengths"])
@pytest.mark.parametrize("kind", [tuple, list, np.asarray], ids=["tuple", "list", "array"])
def test_lengths_of_every_kind(which: str, kind: Any) -> None:
    loss = LOSSES["ctc_loss"]
    arrays: dict[str, Any] = arrays_of(loss, loss.variants[0])
    arrays[which] = kind([int(n) for n in replaced(arrays[which], 2**32 + 1)])
    rest = {name: torch.as_tensor(a) if isinstance(a, np.ndarray) else a for name, a in arrays.items()}
    want = outcome(lambda: loss.torch(**rest))
    assert want.startswith(f"ValueError: {which}: expected lengths")
    assert want.endswith(str(2**32 + 1))
    same(outcome(lambda: loss.jax(**arrays)), want)


def test_padding_beyond_the_length_may_be_anything() -> None:
    log_probs = np.log(np.full((4, 1, 3), 1 / 3, np.float32))
    labels = np.array([[1, 2**32 + 2]])
    want = outcome(lambda: LOSSES["ctc_loss"].torch(torch.from_numpy(log_probs), torch.from_numpy(labels), [4], [1]))
    same(outcome(lambda: LOSSES["ctc_loss"].jax(log_probs, labels, [4], [1])), want)
    traced = jax.jit(lambda n: LOSSES["ctc_loss"].jax(log_probs, labels, [4], n, reduction="none"))
    same(traced(np.array([1])), want)
    assert np.isnan(traced(np.array([2])))  # the length is seen by no one: neither is the label's place


@every_loss
def test_a_number_of_more_than_64_bits_names_its_argument(loss: Loss) -> None:
    if loss.wrap_call is not None:
        pytest.skip("its own call is another")
    arrays: dict[str, Any] = arrays_of(loss, loss.variants[0])
    for name in arrays:
        got = outcome(lambda name=name: loss.jax(**{**arrays, name: 2**70}))
        assert str(got).split(": ")[1].startswith(name), got


def test_a_wrapped_label_is_seen() -> None:
    """What `jnp.asarray` makes of it is another loss, and no error."""
    loss = LOSSES["cross_entropy"]
    arrays = arrays_of(loss, loss.variants[0])
    arrays["target"] = replaced(arrays["target"], 2**32 + 1)
    want = outcome(lambda: in_torch(loss, arrays, {}))
    wrapped = {**arrays, "target": arrays["target"].astype(np.int32)}
    with pytest.raises(AssertionError):
        same(outcome(lambda: loss.jax(**wrapped)), want)
