"""The class forms: torch.nn's names and constructors, the functions' numbers, modules in PyTorch and pytrees in JAX."""

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest

from xloss import modules
from xloss.catalog import LOSSES, Loss
from xloss.modules import signatures
from xloss.parity.inputs import Draw
from xloss.parity.mechanisms import load

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("x64")

TORCH, JAX = load("torch"), load("jax")
FRAMEWORKS = {"torch": TORCH, "jax": JAX}
both = pytest.mark.parametrize("framework", FRAMEWORKS.values(), ids=FRAMEWORKS)
# Those with parameters of their own have tests of their own.
GENERATED = {name: loss for name, loss in modules.by_class().items() if not loss.class_form.parametric}
every_class = pytest.mark.parametrize(("name", "loss"), GENERATED.items(), ids=list(GENERATED))


def losses_of(framework: Any) -> Any:
    import xloss.jax
    import xloss.torch

    return {"torch": xloss.torch, "jax": xloss.jax}[framework.name]


def options_and_call(loss: Loss, framework: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the constructor takes and what the call takes, for the variant with most of the former."""
    taken = {option.name for option in signatures.options_of(loss)}
    variant = max(loss.variants, key=lambda v: len(taken & {*v.options, *v.tensors}))
    arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "float64"))
    given = {name: framework.put(array, framework.device("cpu")) for name, array in arrays.items()}
    given |= {} if loss.wrap_call is not None else variant.options
    return {k: v for k, v in given.items() if k in taken}, {k: v for k, v in given.items() if k not in taken}


@every_class
def test_the_constructor_is_that_of_torch_nn(name: str, loss: Loss) -> None:
    theirs = getattr(torch.nn, name, None)
    if theirs is None:
        assert not hasattr(torch.nn.functional, loss.name), f"torch.nn has a class for {loss.name}, by another name"
        pytest.skip("torch.nn has no such class")
    kept = [p for p in inspect.signature(theirs).parameters.values() if p.name not in ("size_average", "reduce")]
    for framework in FRAMEWORKS.values():
        ours = list(inspect.signature(getattr(losses_of(framework), name)).parameters.values())
        # Ours may have more options, at the end and by keyword only.
        assert [(p.name, p.default, p.kind) for p in ours[: len(kept)]] == [(p.name, p.default, p.kind) for p in kept]
        assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in ours[len(kept) :])


def test_every_loss_of_torch_nn_has_its_class() -> None:
    theirs = {name for name in dir(torch.nn) if name.endswith("Loss")} - {"NLLLoss2d"}
    assert theirs <= set(modules.by_class())


@every_class
@both
def test_it_gives_what_the_function_gives(name: str, loss: Loss, framework: Any) -> None:
    options, call = options_and_call(loss, framework)
    form = getattr(losses_of(framework), name)(**options, reduction="sum")
    want = getattr(loss, framework.name)(**call, **options, reduction="sum")
    np.testing.assert_array_equal(framework.get(form(**call)), framework.get(want))
    shown = repr(form)
    assert shown.startswith(f"{name}(")
    assert "reduction='sum'" in shown
    for option, value in options.items():
        assert f"{option}=" in shown
        assert hasattr(value, "shape") or repr(value) in shown


@every_class
@both
def test_it_is_a_class_of_the_module_with_the_documentation_of_the_loss(name: str, loss: Loss, framework: Any) -> None:
    form = getattr(losses_of(framework), name)
    assert form is getattr(losses_of(framework), name)
    assert (form.__name__, form.__module__) == (name, f"xloss.{framework.name}")
    assert name in dir(losses_of(framework))
    assert "Formula" in form.__doc__
    with pytest.raises(TypeError, match=f"^{name}: .*no_such_option"):
        form(no_such_option=1)


def test_a_module_keeps_its_weight_as_a_buffer() -> None:
    import xloss.torch

    weight = torch.tensor([1.0, 2.0, 0.5])
    ours, theirs = (place.CrossEntropyLoss(weight, ignore_index=1) for place in (xloss.torch, torch.nn))
    assert list(ours.state_dict()) == list(theirs.state_dict()) == ["weight"]
    assert list(xloss.torch.CrossEntropyLoss().state_dict()) == []
    assert ours.double().weight.dtype == torch.float64
    assert ours.weight.dtype == torch.float64
    other = xloss.torch.CrossEntropyLoss(torch.zeros(3, dtype=torch.float64))
    other.load_state_dict(ours.state_dict())
    assert torch.equal(other.weight, ours.weight)
    for twin in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert repr(twin) == repr(ours)
        assert torch.equal(twin.weight, ours.weight)


def test_a_module_compiles_and_maps() -> None:
    import xloss.torch

    form = xloss.torch.CrossEntropyLoss(torch.tensor([1.0, 2.0, 0.5]))
    x, y = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1])
    torch.compiler.reset()
    assert torch.allclose(torch.compile(form, fullgraph=True, backend="eager")(x, y), form(x, y))
    per_sample = torch.func.vmap(torch.func.grad(form))(x[:, None], y[:, None])
    assert per_sample.shape == (4, 1, 3)


def test_a_pytree_has_its_weight_for_a_leaf_and_its_options_fixed() -> None:
    import xloss.jax

    weight = jnp.asarray([1.0, 2.0, 0.5])
    form = xloss.jax.CrossEntropyLoss(weight, ignore_index=1)
    (path, leaf), *more = jax.tree_util.tree_flatten_with_path(form)[0]
    assert not more
    assert jax.tree_util.keystr(path) == ".weight"
    assert leaf is weight
    assert jax.tree.leaves(xloss.jax.CrossEntropyLoss()) == []
    x, y = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3))), jnp.asarray([0, 1, 2, 0])
    want = form(x, y)
    np.testing.assert_allclose(jax.jit(lambda form, x: form(x, y))(form, x), want)
    slope = jax.grad(lambda form: form(x, y))(form)
    assert isinstance(slope, xloss.jax.CrossEntropyLoss)
    assert slope.ignore_index == 1
    assert np.abs(slope.weight).max() > 0
    many = jax.tree.map(lambda w: jnp.stack([w, 2 * w]), form)
    np.testing.assert_allclose(jax.vmap(lambda form: form(x, y))(many), [want, want])
    with pytest.raises(AttributeError, match="immutable"):
        form.reduction = "sum"
    for immutable in (form, xloss.jax.LinearCrossEntropyLoss(2, 3, key=jax.random.key(0))):
        with pytest.raises(AttributeError, match="immutable"):
            del immutable.weight
    assert pickle.loads(pickle.dumps(form)) == form
    assert copy.copy(form) == form


def test_a_pytree_without_tensors_is_a_static_argument() -> None:
    import xloss.jax

    form, same, other = xloss.jax.MSELoss(), xloss.jax.MSELoss("mean"), xloss.jax.MSELoss("sum")
    assert form == same
    assert hash(form) == hash(same)
    assert form != other
    assert form != xloss.jax.L1Loss()
    program = jax.jit(lambda form, x: form(x, 0 * x), static_argnums=0)
    assert float(program(form, jnp.ones(3))) == 1
    assert float(program(other, jnp.ones(3))) == 3
    weighted = xloss.jax.NLLLoss(jnp.ones(3))
    assert weighted == xloss.jax.NLLLoss(jnp.ones(3))
    assert weighted != xloss.jax.NLLLoss(jnp.zeros(3))
    assert weighted != xloss.jax.NLLLoss()
    with pytest.raises(TypeError, match="hashed"):
        hash(weighted)


def test_a_loss_at_the_call_takes_what_its_class_does_not() -> None:
    """The elementwise weights of mse_loss belong to the data."""
    import xloss.jax
    import xloss.torch

    x, weight = np.array([1.0, 3.0]), np.array([1.0, 0.0])
    assert float(xloss.jax.MSELoss()(x, 0 * x, weight=weight)) == 1
    assert float(xloss.torch.MSELoss()(*map(torch.tensor, (x, 0 * x)), weight=torch.tensor(weight))) == 1


def test_a_class_of_another_loss_is_seen() -> None:
    """That the comparison with the function can fail."""
    with pytest.raises(AssertionError):
        test_it_gives_what_the_function_gives("L1Loss", LOSSES["mse_loss"], TORCH)
