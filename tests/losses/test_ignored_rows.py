"""A row whose label is ignored may hold NaN and infinities: they reach neither the value nor any gradient.

What is asked is equality, bit by bit, with the same call on numbers. Over the catalogue: every loss with an
`ignore_index`, and the frames beyond a sequence's length of ctc_loss.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import JAX, LOSSES, TORCH, VARIANTS, Loss, Variant, fast_compile_jit, floating, ids, jax, jnp, put, torch

from xloss.parity.inputs import Draw

pytestmark = pytest.mark.usefixtures("x64")

Arrays = dict[str, np.ndarray]
BAD = {"nan": [np.nan], "inf": [np.inf], "neginf": [-np.inf], "all": [np.inf, np.nan, -np.inf]}
WITH_IGNORE_INDEX = [
    loss.name for loss in LOSSES.values() if "ignore_index" in inspect.signature(loss.torch).parameters
]
CASES = [
    (loss, variant)
    for loss, variant in VARIANTS
    if loss.name in WITH_IGNORE_INDEX and not (variant.probabilities or variant.unbatched)
]
every_case = pytest.mark.parametrize(("loss", "variant"), CASES, ids=ids(CASES))
every_kind = pytest.mark.parametrize("bad", BAD.values(), ids=BAD)


def prepare(loss: Loss, variant: Variant, bad: list[float], shape: tuple[int, ...] | None = None) -> tuple[Any, ...]:
    """The arrays with what is not finite in ignored rows, those without, and the mask of the ignored rows."""
    arrays = loss.inputs(Draw(loss, variant, shape or variant.shapes[0], "typical", "float64"))
    ignore_index = variant.options.get("ignore_index", -100)
    target = np.array(arrays["target"])
    target[1::2] = ignore_index
    target[0] = np.where(target[0] == ignore_index, (0 if ignore_index else 2), target[0])
    rows = target == ignore_index
    spoiled = np.array(arrays["input"])
    if loss.name == "linear_cross_entropy":  # its rows have many labels: those with none left
        rows = rows.reshape(len(rows), -1).all(1)
    axis = 1
    last = np.moveaxis(spoiled, axis, -1)
    picked = last[rows]
    picked[..., : len(bad)] = np.array(bad)[: picked.shape[-1]]
    # In one of the ignored rows, all of it.
    picked[0] = bad[0]
    last[rows] = picked
    arrays = {name: np.asarray(array) for name, array in arrays.items()} | {"target": target}
    return {**arrays, "input": spoiled}, arrays, np.moveaxis(np.broadcast_to(rows[..., None], last.shape), -1, axis)


def compare(got: Arrays, want: Arrays, silent: np.ndarray) -> None:
    """Raise unless both are the same bits and the gradient of ignored rows is 0."""
    assert got.keys() == want.keys()
    for key, expected in want.items():
        given = np.asarray(got[key])
        np.testing.assert_array_equal(given, np.asarray(expected), err_msg=key)
        if key.endswith("/input") or key == "per_sample":
            assert (given.reshape(silent.shape)[silent] == 0).all(), key


def torch_numbers(loss: Loss, call: Callable[..., Any], arrays: Arrays) -> Arrays:
    tensors, out = put(TORCH, arrays), {}
    leaves = {name: tensors[name].clone().requires_grad_() for name in floating(loss, arrays)}
    value = call(**{**tensors, **leaves})
    grads = torch.autograd.grad(value.sum(), list(leaves.values()), materialize_grads=True)
    out["value"] = value.detach().numpy()
    return out | {f"grad/{name}": grad.numpy() for name, grad in zip(leaves, grads, strict=True)}


def torch_per_sample(loss: Loss, call: Callable[..., Any], arrays: Arrays) -> Arrays:
    """By `vmap(grad)`, where no value may be read."""
    tensors = put(TORCH, arrays)
    rest = {name: tensor for name, tensor in tensors.items() if name not in ("input", "target")}

    def single(x: Any, y: Any) -> Any:
        return call(input=x.unsqueeze(0), target=y.unsqueeze(0), **rest)

    return {"per_sample": torch.func.vmap(torch.func.grad(single))(tensors["input"], tensors["target"]).numpy()}


def calls(loss: Loss, variant: Variant, function: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    return {
        reduction: functools.partial(function, **variant.options, reduction=reduction) for reduction in loss.reductions
    }


@every_kind
@every_case
def test_in_torch(loss: Loss, variant: Variant, bad: list[float]) -> None:
    for shape in variant.shapes:
        spoiled, clean, silent = prepare(loss, variant, bad, shape)
        for call in calls(loss, variant, loss.torch).values():
            compare(torch_numbers(loss, call, spoiled), torch_numbers(loss, call, clean), silent)
    spoiled, clean, silent = prepare(loss, variant, bad)
    call = calls(loss, variant, loss.torch)["sum"]
    compare(torch_per_sample(loss, call, spoiled), torch_per_sample(loss, call, clean), silent)


@pytest.mark.slow
@every_case
def test_compiled_in_torch(loss: Loss, variant: Variant) -> None:
    spoiled, clean, silent = prepare(loss, variant, BAD["all"])
    torch._dynamo.reset()
    for reduction in ("sum", "mean"):
        call = calls(loss, variant, loss.torch)[reduction]
        compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
        compare(torch_numbers(loss, compiled, spoiled), torch_numbers(loss, compiled, clean), silent)


def jax_program(loss: Loss, variant: Variant, wrt: tuple[str, ...]) -> Callable[..., Any]:
    def program(arrays: Any) -> Any:
        out = {}
        for reduction, call in calls(loss, variant, loss.jax).items():
            value, pull = jax.vjp(lambda leaves, call=call: call(**{**arrays, **leaves}),
                                  {name: arrays[name] for name in wrt})  # fmt: skip
            (grads,) = pull(jnp.ones_like(value))
            out |= {reduction: value} | {f"{reduction}/{name}": grad for name, grad in grads.items()}
        rest = {name: array for name, array in arrays.items() if name not in ("input", "target")}

        def single(x: Any, y: Any) -> Any:
            return calls(loss, variant, loss.jax)["sum"](input=x[None], target=y[None], **rest)

        return out | {"per_sample": jax.vmap(jax.grad(single))(arrays["input"], arrays["target"])}

    return program


@every_case
def test_in_jax(loss: Loss, variant: Variant) -> None:
    wrt = None
    for number, bad in enumerate(BAD.values()):
        spoiled, clean, silent = prepare(loss, variant, bad)
        if wrt is None:
            wrt = floating(loss, clean)
            program = fast_compile_jit(jax_program(loss, variant, wrt))
        compare(program(put(JAX, spoiled)), program(put(JAX, clean)), silent)
        if number == 3 and variant is loss.variants[0]:  # eager, where values may be read
            for call in calls(loss, variant, loss.jax).values():
                gradient = jax.grad(lambda x, call=call: call(**{**put(JAX, spoiled), "input": x}).sum())  # noqa: B023
                got = np.asarray(gradient(jnp.asarray(spoiled["input"])))
                assert np.isfinite(got).all()
                assert (got[silent] == 0).all()
                assert (got != 0).any()


def test_all_rows_ignored() -> None:
    """The mean is 0/0, the sum 0, and the gradient 0, whatever the rows hold."""
    for name in WITH_IGNORE_INDEX:
        loss = LOSSES[name]
        arrays = loss.inputs(Draw(loss, loss.variants[0], loss.variants[0].shapes[0], "typical", "float64"))
        arrays |= {"target": np.full_like(arrays["target"], -100), "input": np.full_like(arrays["input"], np.nan)}
        for reduction, want in (("mean", np.nan), ("sum", 0.0)):
            x = torch.tensor(arrays["input"], requires_grad=True)
            value = loss.torch(**{**put(TORCH, arrays), "input": x}, reduction=reduction)
            value.backward()
            np.testing.assert_array_equal(value.item(), want)
            assert (x.grad == 0).all()
            call = lambda x, loss=loss, arrays=arrays, reduction=reduction: loss.jax(  # noqa: E731
                **{**put(JAX, arrays), "input": x}, reduction=reduction
            )
            value, grad = jax.value_and_grad(call)(jnp.asarray(arrays["input"]))
            np.testing.assert_array_equal(value, want)
            assert (grad == 0).all()


def test_frames_beyond_the_length() -> None:
    """Of ctc_loss: they hold what they may, and have gradient 0."""
    loss = LOSSES["ctc_loss"]
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 2, 4))
    clean = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    spoiled = clean.copy()
    spoiled[4:, 0], spoiled[5:, 1] = np.nan, [np.inf, -np.inf, np.nan, 0.0]
    targets, lengths = (
        np.array([[1, 2], [3, 3]]),
        {"input_lengths": np.array([4, 5]), "target_lengths": np.array([2, 2])},
    )
    for reduction in loss.reductions:
        found = []
        for array in (spoiled, clean):
            x = torch.tensor(array, requires_grad=True)
            value = loss.torch(x, torch.tensor(targets), **{k: torch.tensor(v) for k, v in lengths.items()},
                               reduction=reduction)  # fmt: skip
            value.sum().backward()
            call = lambda x, reduction=reduction: loss.jax(x, targets, **lengths, reduction=reduction).sum()  # noqa: E731
            other, grad = jax.jit(jax.value_and_grad(call))(jnp.asarray(array))
            found.append((value.detach().numpy(), x.grad.numpy(), np.asarray(other), np.asarray(grad)))
        for got, want in zip(*found, strict=True):
            np.testing.assert_array_equal(got, want)
        for grad in found[0][1::2]:
            assert np.isfinite(grad).all()
            assert (grad[4:, 0] == 0).all()
            assert (grad[5:, 1] == 0).all()


def test_a_mask_after_the_loss_alone_is_seen() -> None:
    """`where` on the value leaves 0 * NaN in the gradient."""
    loss, variant = LOSSES["cross_entropy"], LOSSES["cross_entropy"].variants[0]
    spoiled, clean, silent = prepare(loss, variant, BAD["nan"])

    def careless(input: Any, target: Any) -> Any:
        every = -torch.log_softmax(input, 1).gather(1, target.clamp(min=0).unsqueeze(1)).squeeze(1)
        return torch.where(target == -100, 0.0, every).sum()

    with pytest.raises(AssertionError):
        compare(torch_numbers(loss, careless, spoiled), torch_numbers(loss, careless, clean), silent)
