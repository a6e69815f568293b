"""A pytest plugin: the fixture `parity`, and ``--xloss-report``. A run that does not use it imports no framework."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_found = pytest.StashKey[list[tuple[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("xloss", "parity of losses in PyTorch and JAX")
    group.addoption("--xloss-device", default="cpu", choices=("cpu", "cuda"), help="the device of the fixture `parity`")
    group.addoption("--xloss-report", metavar="FILE", default=None, help="write all comparisons to an HTML page")


def pytest_configure(config: pytest.Config) -> None:
    """Begin the list of what was compared."""
    config.stash[_found] = []


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Assert that two losses agree: `xloss.testing.assert_parity` on the device of ``--xloss-device``.

    Returns what was found, which goes into the report as well.
    """
    config = request.config

    def check(torch_fn: Any, jax_fn: Any, inputs: Any, **how: Any) -> Any:
        __tracebackhide__ = True
        from xloss import testing

        how.setdefault("device", config.getoption("--xloss-device"))
        found = testing.compare(torch_fn, jax_fn, inputs, **how)
        config.stash[_found].append((request.node.nodeid, found))
        if not found.ok:
            pytest.fail(testing.message(found), pytrace=False)
        return found

    return check


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the report; with pytest-xdist each worker sends its part as HTML to the first process."""
    config = session.config
    path = config.getoption("--xloss-report")
    if not path:
        return
    found = config.stash[_found]
    parts = [(name, _shown(one)) for name, one in found]
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output["xloss_report"] = parts
        return
    sent = config.stash.get(_sent, None)
    parts.extend(sent or [])
    from xloss.compare import show
    from xloss.files import write_text

    write_text(Path(path), show.page_of(parts))


_sent = pytest.StashKey[list[tuple[str, str]]]()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect what a worker of pytest-xdist found."""
    parts = [(str(name), str(shown)) for name, shown in getattr(node, "workeroutput", {}).get("xloss_report", [])]
    node.config.stash.setdefault(_sent, []).extend(parts)


def _shown(found: Any) -> str:
    from xloss.compare import show

    return show.html(found)
