"""Options crossed with each other: all pairs meet, names say what is combined, another seed is another design."""

import itertools

import pytest

from xloss import crossed
from xloss.catalog import LOSSES
from xloss.parity import Cell, cells
from xloss.parity.cells import large_shapes
from xloss.parity.inputs import applicable
from xloss.parity.policy import CROSSED_REGIMES


def combinations(name, **more):
    return [cell for cell in cells([name], **more) if crossed.is_crossed(cell.variant)]


def words(loss, variant):
    """Return the word of each factor in the name of a combination."""
    given = variant.split(",")[1:]
    return [next((choice.word for choice in factor if choice.word in given), "") for factor in loss.crossed]


@pytest.mark.parametrize("name", LOSSES)
def test_every_two_choices_that_fit_meet(name):
    loss = LOSSES[name]
    rows = [words(loss, cell.variant) for cell in combinations(name)]
    met = {pair for row in rows for pair in itertools.combinations(enumerate(row), 2)}
    for (i, one), (j, other) in itertools.combinations(enumerate(loss.crossed), 2):
        for a, b in itertools.product(one, other):
            made = crossed.variant(loss, [a, b])
            if loss.excluded is None or not loss.excluded(made):
                assert ((i, a.word), (j, b.word)) in met, (a.word, b.word)


@pytest.mark.parametrize("name", LOSSES)
def test_every_choice_meets_every_dtype_and_regime(name):
    loss = LOSSES[name]
    rows = [(set(words(loss, cell.variant)), cell.dtype, cell.regime) for cell in combinations(name)]
    regimes = [regime for regime in CROSSED_REGIMES if regime in applicable(loss, loss.variants[0])]
    for factor in loss.crossed:
        for choice in factor[1:]:
            mine = [(dtype, regime) for chosen, dtype, regime in rows if choice.word in chosen]
            assert {dtype for dtype, _ in mine} == {"float64", "float32", "bfloat16", "float16"}, choice.word
            assert {regime for _, regime in mine} == set(regimes), choice.word


@pytest.mark.parametrize("name", LOSSES)
def test_a_case_id_makes_the_same_cell_again(name):
    for cell in combinations(name):
        assert Cell.parse(cell.case_id) == cell
        assert LOSSES[name].variant(cell.variant).name == cell.variant


def test_a_seed_is_a_design():
    assert combinations("cross_entropy", seed=0) == combinations("cross_entropy", seed=0)
    first, second = (
        {(c.variant, c.shape, c.regime, c.dtype) for c in combinations("cross_entropy", seed=n)} for n in (0, 1)
    )
    assert first != second
    assert len(combinations("cross_entropy", full=True)) > len(first)


def test_an_unknown_combination_is_refused():
    with pytest.raises(KeyError, match=r"no variant 'crossed,gamma=2'; what is crossed is weight, ignore_index=0"):
        LOSSES["cross_entropy"].variant("crossed,gamma=2")
    with pytest.raises(KeyError, match="no variant 'crossed,weight,weight'"):
        LOSSES["cross_entropy"].variant("crossed,weight,weight")


@pytest.mark.parametrize("name", LOSSES)
def test_large_shapes_are_asked_and_large(name):
    loss = LOSSES[name]
    asked = {cell.shape for cell in cells([name]) if not crossed.is_crossed(cell.variant)}
    assert set(large_shapes(loss)) <= asked
    for shape in large_shapes(loss):
        Cell.parse(Cell(name, loss.variants[0].name, shape, "typical", "float32").case_id)
    if loss.arguments.class_axes is not None:
        assert max(max(shape) for shape in large_shapes(loss)) >= 40
