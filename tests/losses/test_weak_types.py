"""A Python number, or an array of JAX's weak type, takes the dtype of what it meets; integer targets widen nothing.

So it is in `jnp`'s own arithmetic, with which the dtypes are compared.
"""

import warnings
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from helpers import LOSSES, Loss, jax, jnp

from xloss.parity.inputs import Draw

pytestmark = pytest.mark.usefixtures("x32")

HALF = [jnp.bfloat16, jnp.float16]


def scalars(loss: Loss) -> dict[str, np.ndarray] | None:
    """0-d inputs of a loss that has them."""
    if loss.wrap_call is not None or () not in loss.variants[0].shapes:
        return None
    return loss.inputs(Draw(loss, loss.variants[0], (), "typical", "float32"))


ZERO_D = {name: loss for name, loss in LOSSES.items() if scalars(loss) is not None}
WITH_INTEGERS = [
    (loss, variant) for loss in LOSSES.values() for variant in loss.variants if "integers" in variant.draws
]


@pytest.mark.parametrize("loss", ZERO_D.values(), ids=ZERO_D)
@pytest.mark.parametrize("dtype", HALF, ids=["bfloat16", "float16"])
def test_a_python_number_does_not_widen(loss: Loss, dtype: Any) -> None:
    """Whichever argument it is; eager, under `jit` as an argument, and as a weak array."""
    arrays = scalars(loss) or {}
    options = loss.variants[0].options
    for name in arrays:
        given = {key: jnp.asarray(array).astype(dtype) for key, array in arrays.items()}
        wide = {key: jnp.asarray(np.asarray(array.astype(np.float32))) for key, array in given.items()}
        number = float(arrays[name])
        want = loss.jax(**{**wide, name: jnp.asarray(np.float32(number))}, **options).astype(dtype)
        for value in (number, jnp.asarray(number)):
            got = loss.jax(**{**given, name: value}, **options)
            assert got.dtype == jnp.multiply(jnp.ones((), dtype), value).dtype == dtype
            np.testing.assert_array_equal(np.asarray(got, np.float32), np.asarray(want, np.float32))
        traced = jax.eval_shape(lambda given, options=options: loss.jax(**given, **options), {**given, name: number})
        assert traced.dtype == dtype


def test_an_int_and_a_strong_number() -> None:
    half = jnp.ones(3, jnp.bfloat16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of broadcasting: meant
        assert LOSSES["mse_loss"].jax(half, 0.0).dtype == jnp.bfloat16
        assert LOSSES["mse_loss"].jax(half, 0).dtype == jnp.bfloat16
        assert LOSSES["mse_loss"].jax(0.0, half).dtype == jnp.bfloat16
        assert LOSSES["mse_loss"].jax(half, np.float32(0)).dtype == jnp.float32
        assert LOSSES["mse_loss"].jax(half, jnp.zeros(3)).dtype == jnp.float32
        assert LOSSES["mse_loss"].jax(0.0, 1.0).dtype == jnp.float32
        with pytest.raises(TypeError, match="target: expected"):
            LOSSES["mse_loss"].jax(half, False)


@pytest.mark.parametrize(("loss", "variant"), WITH_INTEGERS, ids=[f"{x.name}-{v.name}" for x, v in WITH_INTEGERS])
@pytest.mark.parametrize("dtype", HALF, ids=["bfloat16", "float16"])
def test_integer_targets_do_not_widen(loss: Loss, variant: Any, dtype: Any) -> None:
    arrays = loss.inputs(Draw(loss, variant, variant.shapes[0], "typical", "float32"))
    given = {name: jnp.asarray(a).astype(dtype) if a.dtype.kind == "f" else a for name, a in arrays.items()}
    for kind in (np.int8, np.int32, np.int64):
        out = jax.eval_shape(
            lambda given: loss.jax(**given, **variant.options), {**given, "target": given["target"].astype(kind)}
        )
        with jax.numpy_dtype_promotion("standard"):
            assert out.dtype == dtype == jnp.multiply(jnp.ones((), dtype), jnp.ones((), jnp.int32)).dtype


def test_a_number_that_widens_is_seen() -> None:
    """A float32 array in its place does."""
    half = np.ones(3, ml_dtypes.bfloat16)
    assert LOSSES["l1_loss"].jax(half, np.zeros(3, np.float32)).dtype != jnp.bfloat16
