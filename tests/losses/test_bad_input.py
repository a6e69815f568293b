"""Bad input of every kind, to every argument of every loss: refused by the argument's name, alike in both frameworks.

`test_errors.py` has single cases, and asks while tracing, too. Here each loss gets whatever is no flag, no number, no
tensor, on two devices, or without elements; and what is taken is said: a convention is tested, too.
"""

import inspect
import json
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from helpers import (
    FRAMEWORKS,
    JAX,
    LOSSES,
    TORCH,
    Loss,
    alike,
    both,
    compiler_says,
    every_loss,
    functional,
    torch,
    well_put,
)

from xloss.ops import arguments
from xloss.parity.inputs import Draw

pytestmark = pytest.mark.usefixtures("x64")

NAN, INF, HUGE = math.nan, math.inf, 10**400
# One that is no bool; no number; no integer; no reduction.
FLAGS = ("false", "", 0, 1, None, 2.0, np.float64(1), np.array([True]), [True], {})
NUMBERS = (None, True, np.bool_(True), "1", 1j, [1.0], np.ones(2), NAN, np.float32(NAN), HUGE, -HUGE, {}, len)
INTEGERS = (True, np.bool_(True), 1.5, 1.0, "1", NAN, INF, 2**63, -(2**70), HUGE, np.ones(2, int), [1], (1,))
REDUCTIONS = (None, 1, True, "Mean", "", ["mean"], ("mean",), np.array(["mean", "sum"]), len)
CUTOFFS = (5, None, "13", [], [1], [3, 1], [0, 3], [1, 1], [1.0, 3.0], [True, 3], [1, 2**70], {1, 3}, np.array([1, 3]))
# Infinity has a meaning.
INFINITE = {("huber_loss", "delta"), ("smooth_l1_loss", "beta"), ("triplet_margin_loss", "p")}
DISTANCES = (1, "x", [], True)


@dataclass
class Own:
    """A NumPy array that is to come as the framework's own."""

    array: np.ndarray


def drawn(loss: Loss, variant: Any) -> dict[str, Any]:
    """Good arguments of the loss's own call."""
    given = loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "float64"))
    if "cutoffs" not in inspect.signature(loss.torch).parameters:
        return {name: np.asarray(array) for name, array in given.items()}
    cutoffs = variant.options.get("cutoffs", (1, 3))
    tails = [tuple(given.pop(f"tail{i}_{part}") for part in ("projection", "weight")) for i in range(len(cutoffs) - 1)]
    return {**given, "tail_weights": tails, "cutoffs": list(cutoffs)}


def with_tensor(loss: Loss, name: str) -> dict[str, Any]:
    """Good arguments that have a tensor of that name."""
    every = [drawn(loss, variant) for variant in loss.variants]
    return next(given for given in every if isinstance(given.get(name), np.ndarray))


def parameters(loss: Loss) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(loss.torch).parameters


def tensors_of(loss: Loss) -> list[str]:
    every = {name for variant in loss.variants for name, a in drawn(loss, variant).items() if isinstance(a, np.ndarray)}
    return [name for name in parameters(loss) if name in every]


def is_number(loss: Loss, name: str) -> bool:
    annotation = str(parameters(loss)[name].annotation)
    return "float" in annotation and "Tensor" not in annotation


def put(framework: Any, value: Any, device: str = "cpu") -> Any:
    if isinstance(value, np.ndarray):
        return framework.put(value, framework.device(device))
    if isinstance(value, (list, tuple)):
        return type(value)(put(framework, each, device) for each in value)
    return {name: put(framework, each, device) for name, each in value.items()} if isinstance(value, dict) else value


def refusal(function: Callable[..., Any], given: dict[str, Any], what: object) -> Exception:
    """The `ValueError` or `TypeError` that a call raises; anything else is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of broadcasting, before it is refused
            function(**given)
    except (ValueError, TypeError) as error:
        return error
    pytest.fail(f"{what}: accepted")


def refused(loss: Loss, name: str, value: Any, good: dict[str, Any], same_words: bool = True) -> None:
    """Raise unless both frameworks refuse it by its name, as the same kind of error and in the same words."""
    what = f"{name}={type(value).__name__} {value!r:.40}"
    errors = []
    for framework in FRAMEWORKS.values():
        given = {**put(framework, good), name: put(framework, value.array) if isinstance(value, Own) else value}
        errors.append(refusal(getattr(loss, framework.name), given, what))
        well_put(errors[-1], name)
    assert type(errors[0]) is type(errors[1]), what
    if same_words:
        assert alike(str(errors[0])) == alike(str(errors[1]))


def bad_options(loss: Loss) -> Iterator[tuple[str, Any]]:
    for name, parameter in parameters(loss).items():
        if name == "reduction":
            kinds: tuple[Any, ...] = REDUCTIONS
        elif type(parameter.default) is bool:
            kinds = FLAGS
        elif is_number(loss, name):
            kinds = NUMBERS if (loss.name, name) in INFINITE else (*NUMBERS, INF, -INF, np.float64(INF))
        elif name == "p":
            kinds = (*NUMBERS, INF, 3, 0, 1.5)
        elif str(parameter.annotation) in ("int", "int | None"):
            kinds = INTEGERS if parameter.default is None else (*INTEGERS, None)
        elif name == "cutoffs":
            kinds = CUTOFFS
        elif name in ("options", "distance_function"):
            kinds = DISTANCES
        else:
            continue
        yield from ((name, value) for value in kinds)


@every_loss
def test_an_option_of_another_kind(loss: Loss) -> None:
    good = drawn(loss, loss.variants[0])
    for name, value in bad_options(loss):
        refused(loss, name, value, good)


@every_loss
def test_an_option_that_is_an_array_of_another_kind(loss: Loss) -> None:
    """Only a floating array of shape () can be a number, and none can be a flag."""
    good = drawn(loss, loss.variants[0])
    arrays = [np.array(True), np.array(1), np.array(1j), np.ones(1), np.array(NAN)]
    for name, parameter in parameters(loss).items():
        if is_number(loss, name):
            kinds = arrays if (loss.name, name) in INFINITE else [*arrays, np.array(INF), np.array(-INF)]
        elif type(parameter.default) is bool:
            kinds = [np.array(True), np.array(1.0)]
        else:
            continue
        for array in kinds:
            refused(loss, name, Own(array), good, same_words=False)
        given = {**put(TORCH, good), name: torch.tensor(0.5, device="meta")}
        well_put(refusal(loss.torch, given, f"{name} on meta"), name)


@every_loss
def test_a_number_beyond_float32(loss: Loss) -> None:
    """In float64 it is one, unless it is out of range."""
    good = {
        name: array.astype(np.float32) if isinstance(array, np.ndarray) and array.dtype == np.float64 else array
        for name, array in drawn(loss, loss.variants[0]).items()
    }
    for name in parameters(loss):
        if is_number(loss, name) and (loss.name, name) not in INFINITE:
            refused(loss, name, 1e300, good)
            refused(loss, name, 2**1000, good)


@every_loss
def test_no_tensor_or_one_of_another_kind(loss: Loss) -> None:
    for name in tensors_of(loss):
        good = with_tensor(loss, name)
        array = good[name]
        strange: list[Any] = ["x", object(), {}, slice(1), 1j, array.astype(object), array.astype(str)]
        strange += [] if parameters(loss)[name].default is None else [None]
        strange += [] if name in loss.arguments.untyped else [array.tolist() if array.ndim else [1.0]]
        for value in strange:
            refused(loss, name, value, good, same_words=type(value) is not np.ndarray)
        kinds = [np.complex64] if array.dtype == bool else [bool, np.complex64]
        for kind in kinds:
            refused(loss, name, Own(array.astype(kind)), good)
        if array.ndim:
            given = {**put(TORCH, good), name: put(TORCH, array).to_sparse()}
            well_put(refusal(loss.torch, given, f"{name} is sparse"), name)


@every_loss
def test_a_bool_is_no_tensor(loss: Loss) -> None:
    """JAX takes Python's numbers for arrays; `True` is none of them, and an integer has 64 bits at most."""
    for name in tensors_of(loss):
        if name in loss.arguments.untyped or parameters(loss)[name].annotation == "Tensor | float":
            continue
        good = with_tensor(loss, name)
        refused(loss, name, True, good)
        well_put(refusal(loss.jax, {**good, name: 2**70}, name), name)


# --- devices --------------------------------------------------------------------------------------


def moved(value: Any, device: str) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(moved(each, device) for each in value)
    return value.to(device) if isinstance(value, torch.Tensor) else value


def of_two_devices(error: Exception, name: str, others: set[str]) -> None:
    """Raise unless it says which of two tensors is where; one is the one in question."""
    message = str(error)
    first, _, rest = message.partition(": expected the device of ")
    second = rest.partition(", ")[0]
    assert name in (first.split("[")[0], second), message
    assert {first.split("[")[0], second} <= {name, *others}, message
    assert rest.partition(", ")[2] in ("cpu, got device meta", "meta, got device cpu"), message


@every_loss
def test_tensors_on_two_devices(loss: Loss) -> None:
    """Without a value, as of `meta`, there is none to return."""
    names = [*tensors_of(loss), *(["tail_weights"] if "tail_weights" in parameters(loss) else [])]
    for name in names:
        good = put(TORCH, drawn(loss, loss.variants[0]) if name == "tail_weights" else with_tensor(loss, name))
        for own, rest in (("meta", "cpu"), ("cpu", "meta")):
            if own == "cpu" and sum(isinstance(each, torch.Tensor) for each in good.values()) == 1:
                continue
            given = {other: moved(value, own if other == name else rest) for other, value in good.items()}
            error = refusal(loss.torch, given, f"{name} on {own}, the others on {rest}")
            of_two_devices(error, name, set(good))


@every_loss
def test_all_tensors_on_meta(loss: Loss) -> None:
    """The shape and dtype of the loss, without a value."""
    for variant in loss.variants:
        good = put(TORCH, drawn(loss, variant))
        options = {name: value for name, value in variant.options.items() if name in parameters(loss)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of broadcasting
            want = loss.torch(**{**good, **options})
            got = loss.torch(**{**{name: moved(value, "meta") for name, value in good.items()}, **options})
        for one, other in zip(got, want, strict=True) if isinstance(want, tuple) else [(got, want)]:
            assert one.device.type == "meta"
            assert (one.shape, one.dtype) == (other.shape, other.dtype)


def test_numbers_on_the_cpu_go_with_tensors_elsewhere() -> None:
    """As in torch; a device that this machine need not have."""
    with torch._subclasses.fake_tensor.FakeTensorMode():
        x, number = torch.ones(4, 3, device="cuda"), torch.tensor(2.0)
        loss = LOSSES["binary_cross_entropy_with_logits"].torch
        for given in ({"pos_weight": number}, {"weight": number}, {"weight": number, "pos_weight": number}):
            assert loss(x, x, **given).device == x.device
        assert LOSSES["huber_loss"].torch(x, x, delta=number).device == x.device
        with pytest.raises(ValueError, match=r"^target: expected the device of input, cuda:0, got device cpu"):
            loss(x, torch.ones(4, 3))
        with pytest.raises(ValueError, match=r"^weight: expected the device of input, cuda:0, got device cpu"):
            loss(x, x, weight=torch.ones(3))
        with pytest.raises(ValueError, match=r"^delta: expected the device of the tensors, cpu, got device cuda:0"):
            LOSSES["huber_loss"].torch(torch.ones(3), torch.ones(3), delta=torch.ones((), device="cuda"))


def test_two_devices_under_compile() -> None:
    compiled = torch.compile(LOSSES["mse_loss"].torch, fullgraph=True, backend="eager")
    words = "target: expected the device of input, cpu, got device meta"
    with pytest.raises(Exception, match=compiler_says(words)):
        compiled(torch.ones(3), torch.ones(3, device="meta"))


# In a process of its own, where the CPU is two devices.
IN_JAX = """
import json, sys
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from xloss.catalog import LOSSES
from xloss.parity.inputs import Draw

wrong, asked = [], 0
here, there = jax.devices()
for loss in LOSSES.values():
    for variant in loss.variants:
        arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "float64"))
        arrays = {name: np.asarray(array) for name, array in arrays.items()}
        for name in arrays if loss.wrap_call is None else []:
            asked += 1
            given = {n: jax.device_put(array, there if n == name else here) for n, array in arrays.items()}
            try:
                loss.jax(**given, **variant.options)
                wrong.append(f"{loss.name}, {name}: accepted")
            except ValueError as error:
                if ": expected the device of " not in str(error) or name not in str(error).split(", got device ")[0]:
                    wrong.append(f"{loss.name}, {name}: {error}")
x = jax.device_put(np.ones(3), there)
loss = LOSSES["huber_loss"].jax
fine = [loss(x, np.ones(3)), loss(x, jax.numpy.ones(3)), jax.jit(loss)(x, np.ones(3)), loss(x, 1.0)]
try:
    loss(x, x, delta=jax.device_put(np.float64(1.0), here))
    wrong.append("delta: accepted")
except ValueError as error:
    wrong += [] if str(error).startswith("delta: expected the device of the tensors") else [str(error)]
print(json.dumps([asked, wrong, [str(each.devices()) == str(x.devices()) for each in fine]]))
"""


def test_arrays_on_two_devices_in_jax() -> None:
    """An array that nobody has put anywhere goes where it is needed."""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_JAX], capture_output=True, text=True, timeout=300, env=environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    asked, wrong, fine = json.loads(done.stdout.splitlines()[-1])
    assert not wrong
    assert asked > 200
    assert fine == [True] * 4


# --- axes of size 0 -------------------------------------------------------------------------------

EMBEDDINGS = [loss for loss in LOSSES.values() if "(D = 0)" in (loss.torch.__doc__ or "")]
WITH_CLASSES = [loss for loss in LOSSES.values() if {"ignore_index", "temperature"} & set(parameters(loss))]


@pytest.mark.parametrize("loss", EMBEDDINGS, ids=lambda loss: loss.name)
def test_vectors_without_elements(loss: Loss) -> None:
    """A cosine of 0, as that of the zero vector, and a distance of 0, as the empty sum; as torch.nn.functional."""
    variant = loss.variants[0]
    good = drawn(loss, variant)
    rank = next(iter(good.values())).ndim
    empty, zero = (
        {name: cut(array) if array.ndim == rank and array.dtype.kind == "f" else array for name, array in good.items()}
        for cut in (lambda a: a[..., :0], lambda a: 0 * a[..., :1])
    )
    options = {"eps": 0.0} if "eps" in parameters(loss) else {}
    got = [framework.get(getattr(loss, framework.name)(**put(framework, empty), **options, reduction="none"))
           for framework in FRAMEWORKS.values()]  # fmt: skip
    assert got[0].size > 0
    np.testing.assert_allclose(got[0], got[1], rtol=1e-12)
    if "distance_function" not in parameters(loss):  # whose default adds its own eps
        want = loss.torch(**put(TORCH, zero), **options, reduction="none")
        np.testing.assert_allclose(got[0], want, rtol=1e-12)
    if hasattr(functional, loss.name):
        np.testing.assert_allclose(
            got[0], getattr(functional, loss.name)(**put(TORCH, empty), **options, reduction="none"), rtol=1e-12
        )


@pytest.mark.parametrize("loss", WITH_CLASSES, ids=lambda loss: loss.name)
def test_inputs_without_a_class(loss: Loss) -> None:
    """Also where all labels are ignored, and none is out of range; class probabilities likewise."""
    if "linear_weight" in parameters(loss):
        name, given = "linear_weight", {"input": np.ones((4, 2)), "linear_weight": np.ones((0, 2))}
    elif "temperature" in parameters(loss) and "ignore_index" not in parameters(loss):
        pairs = drawn(loss, loss.variants[0])["target"].dtype.kind != "f"
        if pairs:
            return  # embeddings, and labels of pairs
        name, given = "input", {"input": np.ones((4, 0)), "target": np.ones((4, 0))}
    else:
        name, given = "input", {"input": np.ones((4, 0))}
    for target in (np.full(4, -100), np.ones((4, 0))):
        labels_only = target.dtype.kind == "f" and not any(v.probabilities for v in loss.variants)
        if not labels_only or "target" in given:
            refused(loss, name, Own(given[name]), {"target": target, **given})


@both
def test_rows_without_features_leave_the_bias(framework: Any) -> None:
    given = {"input": np.ones((4, 0)), "linear_weight": np.ones((3, 0)), "linear_bias": np.array([0.0, 1.0, 2.0])}
    loss = getattr(LOSSES["linear_cross_entropy"], framework.name)
    for target in (np.array([0, 1, 2, 1]), np.full((4, 3), 1 / 3)):
        for chunk_size in (None, 2):
            got = loss(**put(framework, {**given, "target": target}), reduction="none", chunk_size=chunk_size)
            logits = put(framework, np.tile(given["linear_bias"], (4, 1)))
            want = getattr(LOSSES["cross_entropy"], framework.name)(logits, put(framework, target), reduction="none")
            np.testing.assert_allclose(framework.get(got), framework.get(want), rtol=1e-12)
    leaf = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    tensors = {**put(TORCH, given), "linear_bias": leaf}
    LOSSES["linear_cross_entropy"].torch(**tensors, target=torch.tensor([0, 0, 0, 0])).backward()
    np.testing.assert_allclose(leaf.grad, [-2 / 3, 1 / 3, 1 / 3], rtol=1e-12)


# --- what is taken, and by which convention -------------------------------------------------------

SIGNS = np.array([1.0, -1.0, 0.0, 2.0, -3.0, 0.5, NAN])
SCORES = np.array([0.5, -0.25, 1.5, -1.5, 0.75, 0.25, 1.0])
SIGNED = {
    "hinge_embedding_loss": {"input": SCORES},
    "cosine_embedding_loss": {"input1": np.stack([SCORES, SIGNS**0], 1), "input2": np.stack([SCORES**2, SCORES], 1)},
    "margin_ranking_loss": {"input1": SCORES, "input2": SCORES[::-1].copy()},
    "soft_margin_loss": {"input": SCORES},
    "hinge_loss": {"input": SCORES},
    "squared_hinge_loss": {"input": SCORES},
}


@pytest.mark.parametrize("name", SIGNED)
def test_labels_other_than_a_sign(name: str) -> None:
    """By the convention that the docstring states: both terms, none, or a factor; torch's own where it has one."""
    for target in (SIGNS, SIGNS[:5].astype(int)):
        given = {key: array[: len(target)] for key, array in SIGNED[name].items()} | {"target": target}
        got = [framework.get(getattr(LOSSES[name], framework.name)(**put(framework, given), reduction="none"))
               for framework in FRAMEWORKS.values()]  # fmt: skip
        np.testing.assert_allclose(got[0], got[1], rtol=1e-12)
        if hasattr(functional, name):
            want = getattr(functional, name)(**put(TORCH, given), reduction="none")
            np.testing.assert_allclose(got[0], want, rtol=1e-7, atol=1e-11 if "cosine" in name else 0)
    assert "other" in (LOSSES[name].torch.__doc__ or "")


def test_large_integers_are_numbers() -> None:
    """Where an integer dtype would not hold them: 2^40 in JAX's 32 bits, 2^70 in any."""
    with JAX.scope("float32"):
        for size in (2**40, 2**70, -(2**70), np.int64(2**40)):
            for framework in FRAMEWORKS.values():
                loss = getattr(LOSSES["hinge_embedding_loss"], framework.name)
                x, y = put(framework, np.ones(3, np.float32)), put(framework, -np.ones(3, np.float32))
                got, want = loss(x, y, margin=size), loss(x, y, margin=float(size))
                np.testing.assert_array_equal(framework.get(got), framework.get(want))


@both
def test_an_infinite_threshold_or_degree_is_taken(framework: Any) -> None:
    for loss, name in INFINITE:
        given = put(framework, drawn(LOSSES[loss], LOSSES[loss].variants[0]))
        for value in (INF, 1e300, 2**70, np.float32(INF)):
            assert np.isfinite(framework.get(getattr(LOSSES[loss], framework.name)(**given, **{name: value})))


DISTANCE = {
    "none": lambda _x, _y: None,
    "a number": lambda _x, _y: 1.0,
    "a list": lambda x, _y: [x],
    "booleans": lambda x, y: (x - y).sum(-1) > 0,
}


@pytest.mark.parametrize("kind", DISTANCE)
def test_a_distance_that_is_no_tensor(kind: str) -> None:
    loss = LOSSES["triplet_margin_with_distance_loss"]
    good = drawn(loss, loss.variants[0])
    for which in range(3):
        calls = 0

        def distance(x: Any, y: Any, which: int = which) -> Any:
            nonlocal calls
            calls += 1
            return (DISTANCE[kind] if (calls - 1) % 3 == which else lambda x, y: (x - y).sum(-1))(x, y)

        for framework in FRAMEWORKS.values():
            calls = 0
            given = {**put(framework, good), "distance_function": distance, "swap": True}
            error = refusal(getattr(loss, framework.name), given, kind)
            well_put(error, "distance_function")
            pairs = ("anchor to positive", "anchor to negative", "positive to negative")
            assert pairs[which] in str(error)
            assert type(error) is TypeError


@both
def test_distances_that_do_not_fit(framework: Any) -> None:
    loss = LOSSES["triplet_margin_with_distance_loss"]
    given = put(framework, {name: np.ones((n, 2)) for n, name in ((4, "anchor"), (3, "positive"), (2, "negative"))})
    function = getattr(loss, framework.name)
    error = refusal(lambda **kw: function(**kw, distance_function=lambda _x, y: y.sum(-1)), given, "shapes")
    well_put(error, "distance_function")


# --- the checks themselves ------------------------------------------------------------------------


def test_a_long_integer_does_not_fill_the_message() -> None:
    with pytest.raises(ValueError, match=r"^n: expected an integer of at most 64 bits, got an integer of 16610 bits$"):
        arguments.check_integer("n", 10**5000)
    with pytest.raises(ValueError, match=r"^n: expected a number that is finite, got an integer of 16610 bits$"):
        arguments.check_number("n", 10**5000)


def test_a_call_that_is_accepted_and_one_without_a_name_are_seen() -> None:
    loss = LOSSES["mse_loss"]
    good = drawn(loss, loss.variants[0])
    with pytest.raises(pytest.fail.Exception, match="accepted"):
        refused(loss, "reduction", "mean", good)
    with pytest.raises(AssertionError):
        well_put(RuntimeError("Expected all tensors to be on the same device"), "input")
    with pytest.raises(AssertionError):
        of_two_devices(ValueError("weight: expected the device of target, cpu, got device meta"), "input", set(good))
