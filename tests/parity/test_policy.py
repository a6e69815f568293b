"""What a sweep asks: the table, the cells, and an engine that knows no catalogue."""

import dataclasses

import pytest

from xloss import parity
from xloss.catalog import LOSSES, Variant
from xloss.parity import policy
from xloss.parity.evaluate import evaluate
from xloss.parity.mechanisms import load

CELL = parity.Cell.parse("mse_loss:default:6x3:typical:float32:cpu:0")


def asked(cell, batch=6):
    rules = policy.asked(LOSSES[cell.loss], cell, batch)
    return {(rule.mechanism, reduction): frameworks for rule, reduction, frameworks, _ in rules}


def test_every_mechanism_of_a_framework_has_a_rule_and_the_other_way_round():
    for name in ("torch", "jax"):
        pytest.importorskip(name)
        ruled = {rule.mechanism for rule in policy.RULES if rule.requires(name) != policy.NEVER}
        assert ruled == set(load(name).mechanisms())


def test_a_main_cell_is_asked_everything_and_others_value_and_gradient():
    assert {name for name, _ in asked(CELL)} >= {"value", "backward", "vjp", "jvp", "hvp", "detach", "compiled"}
    for other in (dataclasses.replace(CELL, dtype="bfloat16", regime="large"), dataclasses.replace(CELL, shape=(5,))):
        values = {("value", "none"), ("value", "mean"), ("value", "sum"), ("backward", "mean")}
        assert {what for what in asked(other) if what[0] in ("value", "backward")} == values
        assert not {"vjp", "jvp", "hvp", "per_sample.vmap"} & {name for name, _ in asked(other)}
    assert {name for name, _ in asked(CELL, batch=1)} == {"value", "backward"}


def test_jax_is_asked_the_slow_ones_of_first_variants_only():
    weighted = dataclasses.replace(CELL, variant="weight", regime="large")
    assert asked(CELL)["hvp", "mean"] == ("torch", "jax")
    assert asked(weighted)["hvp", "mean"] == ("torch",)
    assert asked(dataclasses.replace(weighted, full=True))["hvp", "sum"] == ("torch", "jax")


def test_there_is_no_second_derivative_an_ulp_beside_a_kink():
    near = dataclasses.replace(CELL, loss="l1_loss", regime="near_kink", full=True)
    assert not {"hvp", "double_backward"} & {name for name, _ in asked(near)}


def test_full_asks_more_of_everything():
    default, full = asked(CELL), asked(dataclasses.replace(CELL, full=True))
    assert set(default) < set(full)
    assert all(set(default[question]) <= set(full[question]) for question in default)


def test_the_table_names_every_rule():
    rows = policy.table()
    assert len(rows) == len(policy.RULES)
    assert all(all(row.values()) for row in rows)


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_the_engine_judges_a_record_that_is_not_in_the_catalogue(framework):
    pytest.importorskip(framework)
    half = dataclasses.replace(
        LOSSES["mse_loss"],
        name="half_squared_error",
        torch=lambda input, target, reduction="mean": LOSSES["mse_loss"].torch(input, target, reduction=reduction) / 2,
        jax=lambda input, target, reduction="mean": LOSSES["mse_loss"].jax(input, target, reduction=reduction) / 2,
        truth=lambda t, input, target: (input - target) ** 2 / 2,
        variants=(Variant(shapes=((4, 2),)),),
        peers=(),
    )
    assert half.name not in LOSSES
    cell = parity.Cell(half.name, "default", (4, 2), "typical", "float32")
    rows = evaluate(half, cell, (framework,))
    assert len(rows) >= 19
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["loss"] for row in rows} == {half.name}
    wrong = dataclasses.replace(half, truth=LOSSES["mse_loss"].truth)
    # But for the zeros of a detached argument and of third derivatives, which are right whatever the truth.
    judged = [
        row for row in evaluate(wrong, cell, (framework,)) if not row["mechanism"].startswith(("detach", "third"))
    ]
    assert {row["status"] for row in judged} == {"inaccurate"}
