"""What all tests share: hypothesis without a clock or chance, one thread, JAX on the CPU under strict dtype
promotion.
"""

import importlib.util
import os
from collections.abc import Iterator

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# Looked at when Triton is first imported, by whichever test.
os.environ.setdefault("TRITON_INTERPRET", "1")

import pytest
from hypothesis import HealthCheck, Phase, settings

pytest.register_assert_rewrite("helpers")

# Derandomized: a test that fails fails everywhere, and one that passes is not luck. No deadline: machines are busy.
settings.register_profile(
    "xloss",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=15,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "xloss"))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """PyTorch with one thread: the tests are small, and many run at once."""
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="module")
def x64() -> Iterator[None]:
    """JAX with 64-bit dtypes, on the CPU, under strict dtype promotion."""
    yield from _jax("float64")


@pytest.fixture(scope="module")
def x32() -> Iterator[None]:
    """JAX as it starts: without 64-bit dtypes; on the CPU, under strict dtype promotion."""
    yield from _jax("float32")


def _jax(dtype: str) -> Iterator[None]:
    jax = pytest.importorskip("jax")
    from xloss.parity.mechanisms import load

    with load("jax").scope(dtype), jax.default_device(jax.devices("cpu")[0]):
        yield
