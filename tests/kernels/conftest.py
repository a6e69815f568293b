"""Triton under its interpreter."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def triton_kernels() -> Iterator[Any]:
    """The kernels, loaded to be interpreted; where Triton is not installed the test is skipped, but not in CI."""
    if importlib.util.find_spec("triton") is None:
        assert "CI" not in os.environ or sys.platform != "linux", "CI installs requirements.lock, which has Triton"
        pytest.skip("triton is not installed")
    from xloss.kernels import triton_kernels

    with np.errstate(all="ignore"):  # the interpreter computes infinities and NaN in NumPy
        yield triton_kernels
