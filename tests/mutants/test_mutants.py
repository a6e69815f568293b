import collections
from dataclasses import replace

import pytest

from tests.mutants import survivors
from tests.mutants.catalogue import catalogue, harmless
from tests.mutants.edits import EditError
from tests.mutants.run import KILLED, SURVIVED, Control, asked_of, examine, known_results
from xloss.parity import Cell

pytest.importorskip("torch")
pytest.importorskip("jax")

#: One of each sort, that a sweep sees.
SEEN = (
    "torch/mse_loss/gradient(target)*1.001/always",
    "torch/l1_loss/draws-a-random-number/always",
    "torch/mse_loss/writes-target/rank=3",
    "torch/linear_cross_entropy/source/slope-sign",
    "torch/soft_margin_loss/value-rounded-to-float16/dtype=float32",
    "torch/smooth_l1_loss/value*1.01/reduction=sum",
    "jax/mse_loss/tangent(input)*1.01/always",
    "jax/mse_loss/second(input)+0.1/always",
    "jax/kl_div/source/zero-times-log-zero",
    "jax/hinge_loss/source/half-at-kink",
    "jax/multi_margin_loss/source/nan-swallowed",
    "jax/quantile_loss/value*1.05/dtype=bfloat16",
    "torch/multi_margin_loss/source/kink-counted",
)
EDITED = [mutant for mutant in catalogue().values() if mutant.edit is not None]


def test_there_are_many_of_each_sort():
    by = {
        name: collections.Counter(getattr(one, name) for one in catalogue().values()) for name in ("loss", "framework")
    }
    assert len(catalogue()) >= 240
    assert len(by["loss"]) >= 16
    assert min(by["framework"].values()) >= 100
    assert len(EDITED) >= 60


def test_each_mutant_has_an_outcome_and_each_survivor_a_reason():
    results = known_results()
    assert set(results) == set(catalogue())
    assert {one["verdict"] for one in results.values()} == {KILLED, SURVIVED}
    lost = [id for id, one in results.items() if one["verdict"] == SURVIVED and not survivors.reason_of(id)]
    assert not lost
    why = {survivors.reason_of(id) for id, one in results.items() if one["verdict"] == SURVIVED}
    idle = set(survivors.REASONS) - why
    assert not idle, "a reason that no survivor needs any more"


@pytest.mark.parametrize("mutant", [pytest.param(one, id=one.id) for one in EDITED])
def test_an_edit_fits_its_source(mutant):
    target = mutant.edit.target()
    compile(mutant.edit.source(target), "edited", "exec")


def test_an_edit_that_does_not_fit_is_refused():
    right = EDITED[0].edit
    for old in ("no such text", "e"):
        with pytest.raises(EditError, match="times, not once"):
            replace(right, old=old).source(right.target())


@pytest.mark.parametrize("id", SEEN)
def test_a_mutant_is_seen_in_the_case_that_is_known_to_tell(id):
    case = known_results()[id]["by"].partition("#")[0]
    found = examine(catalogue()[id], [[Cell.parse(case)]], truth=None)
    assert found["verdict"] == KILLED, id
    assert found["reason"]


def test_what_changes_nothing_is_not_seen():
    cells = [cell for cell in asked_of("torch", "mse_loss") if cell.dtype == "float32" and cell.regime == "typical"]
    assert len(cells) > 4
    found = examine(harmless(), [cells], truth=None)
    assert found["verdict"] == SURVIVED, found


def test_a_fault_that_no_call_reaches_is_told_from_one_that_is_not_seen():
    cells = [cell for cell in asked_of("torch", "mse_loss") if cell.regime == "typical" and cell.dtype == "float32"]
    control = Control("mse_loss", "torch", cells, truth=None)
    assert not control.asked_of(catalogue()["torch/mse_loss/value*1.01/dtype(input)!=dtype(weight)"])
    assert control.asked_of(catalogue()["torch/mse_loss/third(input)+0.1/always"])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("loss", "framework"), sorted({(one.loss, one.framework) for one in catalogue().values()}))
def test_all_are_run_again(loss, framework):
    results, control = known_results(), Control(loss, framework, asked_of(framework, loss))
    assert not control.known
    for mutant in catalogue().values():
        if (mutant.loss, mutant.framework) == (loss, framework):
            told = results[mutant.id]
            found = examine(mutant, control.asked_of(mutant), first=told.get("by", ""))
            assert found["verdict"] == told["verdict"], found
