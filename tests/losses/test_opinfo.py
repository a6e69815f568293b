"""PyTorch's own sample inputs and error inputs, those that its test-suite asks its operators and modules, asked here.

Every sample of every loss that the catalogue shares with torch.nn.functional goes through torch, `xloss.torch` and, a
few of each loss (all with the `slow` marker), `xloss.jax`; every error input is refused by both modules.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from xloss.catalog import LOSSES
from xloss.modules import by_class
from xloss.parity.mechanisms import load
from xloss.parity.mechanisms.jax import fast_compile_jit

pytest.importorskip("expecttest")  # which torch.testing._internal wants
torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
methods = pytest.importorskip("torch.testing._internal.common_methods_invocations")
common_modules = pytest.importorskip("torch.testing._internal.common_modules")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("x64")

TORCH, JAX = load("torch"), load("jax")
FEW = 3  # samples of a loss that JAX, which compiles each, is asked in a quick run
MANY = 120  # calls of a class (torch has 857 for one)

OPS = {
    op.name.removeprefix("nn.functional."): op
    for op in methods.op_db
    if op.name.startswith("nn.functional.") and op.name.removeprefix("nn.functional.") in LOSSES
}
MODULES = {
    info.module_cls.__name__: info for info in common_modules.module_db if info.module_cls.__name__ in by_class()
}
# The distance of the others is a function of torch's tensors, which JAX's arrays are none of.
OPS_FOR_JAX = [name for name in OPS if name != "triplet_margin_with_distance_loss"]
# F.ctc_loss takes its input for the output of a log_softmax: its gradient is right behind one only.
BEHIND_LOG_SOFTMAX = ("ctc_loss",)


# --- samples --------------------------------------------------------------------------------------


class Call:
    """Arguments of one call, tensors among them, and what becomes of them in either framework."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.args, self.kwargs = args, kwargs
        leaves = [x for x in [*args, *kwargs.values()] if isinstance(x, torch.Tensor)]
        self.tensors = [leaf.detach() for leaf in leaves]
        self.wrt = [i for i, leaf in enumerate(leaves) if leaf.requires_grad]

    def filled(self, tensors: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments with other tensors, or arrays, in place of their own."""
        left = iter(tensors)
        fill = lambda x: next(left) if isinstance(x, torch.Tensor) else x  # noqa: E731
        return [fill(x) for x in self.args], {name: fill(x) for name, x in self.kwargs.items()}

    def __repr__(self) -> str:
        shown = lambda x: f"{str(x.dtype)[6:]}{list(x.shape)}" if isinstance(x, torch.Tensor) else repr(x)  # noqa: E731
        return ", ".join([*map(shown, self.args), *(f"{name}={shown(x)}" for name, x in self.kwargs.items())])


def samples(name: str) -> list[Call]:
    torch.manual_seed(0)
    return [
        Call((sample.input, *sample.args), dict(sample.kwargs))
        for sample in OPS[name].sample_inputs("cpu", torch.float64, requires_grad=True)
    ]


def weigh(shape: tuple[int, ...]) -> np.ndarray:
    """A cotangent, other for every element."""
    return np.linspace(0.5, 1.5, int(np.prod(shape))).reshape(shape)


def in_torch(function: Callable[..., Any], call: Call) -> list[np.ndarray]:
    """The value, and the gradients by the tensors that require one."""
    tensors = [x.clone().requires_grad_(i in call.wrt) for i, x in enumerate(call.tensors)]
    args, kwargs = call.filled(tensors)
    loss = function(*args, **kwargs)
    leaves = [tensors[i] for i in call.wrt]
    grads = torch.autograd.grad(loss, leaves, torch.from_numpy(weigh(tuple(loss.shape))).to(loss), allow_unused=True)
    zeros = [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, grads, strict=True)]
    return [TORCH.get(x) for x in (loss, *zeros)]


def in_jax(function: Callable[..., Any], call: Call) -> list[np.ndarray]:
    arrays = [JAX.put(TORCH.get(x), JAX.device("cpu")) for x in call.tensors]

    def program(arrays: list[Any]) -> list[Any]:
        def loss(*leaves: Any) -> Any:
            given = dict(zip(call.wrt, leaves, strict=True))
            args, kwargs = call.filled([given.get(i, x) for i, x in enumerate(arrays)])
            return function(*args, **kwargs)

        value, pull = jax.vjp(loss, *(arrays[i] for i in call.wrt))
        return [value, *pull(jnp.asarray(weigh(value.shape), value.dtype))]

    return [np.asarray(x) for x in fast_compile_jit(program)(arrays)]


def same(got: list[np.ndarray], want: list[np.ndarray]) -> None:
    """Raise unless values and gradients are equal, NaN and infinities included."""
    assert len(got) == len(want)
    for mine, theirs in zip(got, want, strict=True):
        assert mine.shape == theirs.shape
        scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=1.0)
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12 * scale)


def entered(name: str, function: Callable[..., Any], log_softmax: Callable[..., Any]) -> Callable[..., Any]:
    """The function, behind a log_softmax where its gradient makes sense there only."""
    if name not in BEHIND_LOG_SOFTMAX:
        return function
    return lambda input, *args, **kwargs: function(log_softmax(input, -1), *args, **kwargs)


def each(calls: Iterable[Call], check: Callable[[Call], None]) -> None:
    """Check all calls; a failure says of which it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of broadcasting, of kl_div's 'mean', of what is deprecated
        for call in calls:
            try:
                check(call)
            except Exception as error:
                error.add_note(f"call: {call}")
                raise


def spread(calls: list[Any], count: int) -> list[Any]:
    """At most that many of the calls, from everywhere among them; some."""
    assert calls
    return calls[:: -(-len(calls) // count)]


def check_torch(name: str, ours: Callable[..., Any], theirs: Callable[..., Any], call: Call) -> None:
    mine, other = (entered(name, function, torch.log_softmax) for function in (ours, theirs))
    same(in_torch(mine, call), in_torch(other, call))


def check_jax(name: str, ours: Callable[..., Any], theirs: Callable[..., Any], call: Call) -> None:
    mine, other = entered(name, ours, jax.nn.log_softmax), entered(name, theirs, torch.log_softmax)
    same(in_jax(mine, call), in_torch(other, call))


@pytest.mark.parametrize("name", OPS)
def test_torch_gives_what_functional_gives_for_every_sample(name: str) -> None:
    calls = samples(name)
    assert calls
    each(calls, lambda call: check_torch(name, LOSSES[name].torch, OPS[name].op, call))


@pytest.mark.parametrize("name", OPS_FOR_JAX)
def test_jax_gives_what_functional_gives_for_a_few_samples(name: str) -> None:
    each(spread(samples(name), FEW), lambda call: check_jax(name, LOSSES[name].jax, OPS[name].op, call))


@pytest.mark.slow
@pytest.mark.parametrize("name", OPS_FOR_JAX)
def test_jax_gives_what_functional_gives_for_every_sample(name: str) -> None:
    each(samples(name), lambda call: check_jax(name, LOSSES[name].jax, OPS[name].op, call))


@pytest.mark.parametrize("factor", [0.0, 1 + 1e-8, np.nan])
def test_a_wrong_value_or_gradient_of_a_sample_is_seen(factor: float) -> None:
    theirs = torch.nn.functional.mse_loss
    wrong_value = lambda *args, **kwargs: factor * theirs(*args, **kwargs)  # noqa: E731

    def wrong_slope(*args: Any, **kwargs: Any) -> Any:
        value = theirs(*args, **kwargs)
        return value.detach() + factor * (value - value.detach())

    for wrong in (wrong_value, wrong_slope):
        with pytest.raises(AssertionError):
            each(samples("mse_loss"), lambda call: check_torch("mse_loss", wrong, theirs, call))  # noqa: B023


# --- classes --------------------------------------------------------------------------------------


def module_calls(name: str) -> Iterator[tuple[Any, Call]]:
    """What the constructor takes, and the call of the module."""
    info = MODULES[name]
    torch.manual_seed(0)
    for one in info.module_inputs_func(info, "cpu", torch.float64, True, training=True):
        given = one.constructor_input
        yield given, Call(tuple(one.forward_input.args), dict(one.forward_input.kwargs))


@pytest.mark.parametrize("name", MODULES)
def test_the_class_gives_what_that_of_torch_nn_gives(name: str) -> None:
    import xloss.torch

    ours, theirs = getattr(xloss.torch, name), getattr(torch.nn, name)
    loss = by_class()[name].name
    calls = list(module_calls(name))
    assert calls
    for given, call in spread(calls, MANY):
        mine, other = (made(*given.args, **given.kwargs).double() for made in (ours, theirs))
        mine.load_state_dict(other.state_dict(), strict=False)  # the parameters, where there are any
        each([call], lambda call: check_torch(loss, mine, other, call))  # noqa: B023


# --- errors ---------------------------------------------------------------------------------------


def refused(function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((ValueError, TypeError)) as caught:
            function(*args, **kwargs)
    assert str(caught.value)


def error_calls(name: str) -> list[Call]:
    op = OPS[name]
    found = op.error_inputs("cpu") if op.error_inputs_func else ()
    return [Call((one.sample_input.input, *one.sample_input.args), dict(one.sample_input.kwargs)) for one in found]


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.error_inputs_func])
def test_what_torch_refuses_both_refuse(name: str) -> None:
    calls = error_calls(name)
    assert calls

    def check(call: Call) -> None:
        refused(LOSSES[name].torch, *call.filled(call.tensors))
        refused(LOSSES[name].jax, *call.filled([JAX.put(TORCH.get(x), JAX.device("cpu")) for x in call.tensors]))

    each(calls, check)


def test_a_call_that_is_not_refused_is_seen() -> None:
    call = samples("mse_loss")[0]
    with pytest.raises(pytest.fail.Exception):
        refused(LOSSES["mse_loss"].torch, *call.filled(call.tensors))


@pytest.mark.parametrize("name", [name for name, info in MODULES.items() if info.module_error_inputs_func])
def test_what_the_module_refuses_the_class_refuses(name: str) -> None:
    """At its construction or, at the latest, when it is called: the functions check their options."""
    import xloss.torch

    info, ours = MODULES[name], getattr(xloss.torch, name)
    good = samples(by_class()[name].name)[0]
    for one in info.module_error_inputs_func(info, "cpu", torch.float64, False, training=True):
        given, call = one.module_error_input.constructor_input, one.module_error_input.forward_input

        def built_and_called(given: Any = given, call: Any = call) -> None:
            made = ours(*given.args, **given.kwargs)
            made(*(good.tensors if call is None else call.args), **({} if call is None else call.kwargs))

        refused(built_and_called, (), {})
