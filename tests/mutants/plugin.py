"""A pytest plugin that plants the mutant named in the environment: `-p tests.mutants.plugin`."""

from __future__ import annotations

import os


def pytest_configure() -> None:
    """Plant it before any test is imported."""
    from tests.mutants.catalogue import find
    from tests.mutants.run import VARIABLE

    find(os.environ[VARIABLE]).plant()
