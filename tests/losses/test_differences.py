"""Where implementations truly differ: the catalogue says so, and these tests say when that changes, either way."""

import re
import types

import pytest

from xloss import environment
from xloss.catalog import LOSSES, Difference, Peer, Unsupported

DIFFERENCES = [difference for loss in LOSSES.values() for difference in loss.differences]


def watch(difference: Difference) -> None:
    """Fail when either side no longer gives what the record says."""
    for measure, expected in zip((difference.here, difference.there), difference.expected, strict=True):
        got = measure()
        assert got == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-6)), difference.case


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.id)
def test_difference_is_as_recorded(difference):
    """And not so in a version that is not among those it names."""
    try:
        if difference.holds_here():
            watch(difference)
        else:
            with pytest.raises(AssertionError, match=re.escape(difference.case)):
                watch(difference)
    except Unsupported as error:
        pytest.skip(str(error))
    assert difference.expected[0] != difference.expected[1]
    assert difference.id.split("/")[0] in LOSSES


def test_a_change_is_noticed():
    same = Difference("mse_loss/planted", "planted", "nobody", lambda: 1.0, lambda: 1.5, (1.0, 2.0), "never")
    with pytest.raises(AssertionError, match="planted"):
        watch(same)


@pytest.mark.parametrize(
    ("versions", "installed", "holds"),
    [("", "2.6.0", True), ("torch>=2.14", "2.14.0+cpu", True), ("torch>=2.14", "2.13.0+cpu", False),
     ("torch>=2.9,<2.14", "2.13.1", True), ("torch>=2.9,<2.14", "2.15.0a0", False), ("torch>=2.14", None, False)],
)  # fmt: skip
def test_a_difference_holds_in_the_versions_it_names(monkeypatch, versions, installed, holds):
    monkeypatch.setattr(environment, "version", lambda _: installed)
    found = Difference("x/y", "", "", lambda: 1, lambda: 2, (1, 2), "", versions=versions)
    assert found.holds_here() is holds


def test_what_a_library_lacks_is_unsupported_and_any_other_error_is_not():
    library = types.ModuleType("numpy.losses")
    with pytest.raises(Unsupported, match=r"numpy \d[\d.]* has no hinge"):
        Peer("numpy", "jax", lambda **_: library.hinge).call(input=1)
    with pytest.raises(AttributeError, match="nothing"):
        Peer("numpy", "jax", lambda input: input.nothing).call(input=1)


def test_ids_are_unique():
    assert len({difference.id for difference in DIFFERENCES}) == len(DIFFERENCES)
