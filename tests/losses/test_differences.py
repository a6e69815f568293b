"""Where implementations truly differ: the catalogue says so, and these tests say when that changes, either way."""

import pytest

from xloss.catalog import LOSSES, Difference

DIFFERENCES = [difference for loss in LOSSES.values() for difference in loss.differences]


def watch(difference: Difference) -> None:
    """Fail when either side no longer gives what the record says."""
    for measure, expected in zip((difference.here, difference.there), difference.expected, strict=True):
        got = measure()
        assert got == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-6)), difference.case


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.id)
def test_difference_is_as_recorded(difference):
    watch(difference)
    assert difference.expected[0] != difference.expected[1]
    assert difference.id.split("/")[0] in LOSSES


def test_a_change_is_noticed():
    same = Difference("mse_loss/planted", "planted", "nobody", lambda: 1.0, lambda: 1.5, (1.0, 2.0), "never")
    with pytest.raises(AssertionError, match="planted"):
        watch(same)


def test_ids_are_unique():
    assert len({difference.id for difference in DIFFERENCES}) == len(DIFFERENCES)
