from dataclasses import replace

import pytest

from tests.gallery import cases
from tests.gallery.healthy import names, pair
from tests.gallery.oracles import ORACLES, check_grads, gradcheck, outputs_and_numerical, xloss
from tests.gallery.report import ask, case_of, jobs, markdown, table
from tests.gallery.verdicts import Verdict

pytest.importorskip("torch")
pytest.importorskip("jax")

# Among them a value that is NaN, one that is infinite, and inputs at which float32 loses all digits.
QUICK = ("mse_outer", "gather_world_size", "td_pseudo_loss", "kl_negative_target", "logsumexp_minus_inf", "mlx_shift")


def names_the_side(slug):
    case = cases()[slug]
    found = xloss(case)
    assert found.caught
    assert found.side
    assert not xloss(case.mended()).caught


@pytest.mark.parametrize("slug", QUICK)
def test_xloss_names_the_side_and_passes_the_right_pair(slug):
    names_the_side(slug)


@pytest.mark.slow
@pytest.mark.parametrize("slug", [slug for slug in cases() if slug not in QUICK])
def test_xloss_names_the_side_in_every_case(slug):
    names_the_side(slug)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant"), names())
def test_xloss_passes_the_catalogue(name, variant):
    assert not xloss(pair(name, variant)).caught


def test_xloss_catches_a_factor_in_a_pair_of_the_catalogue():
    right = pair("mse_loss", "default")
    wrong = replace(right, jax=lambda *arrays, **options: 2 * right.jax(*arrays, **options), wrong="jax")
    assert xloss(wrong) == Verdict(True, True, xloss(wrong).cause)


def test_the_usual_checks_name_a_side_where_they_ask_one():
    factor = cases()["gather_world_size"]  # the torch gradient is not that of its value
    assert gradcheck(factor) == Verdict(True, True)
    assert outputs_and_numerical(factor) == Verdict(True, True)
    assert not check_grads(factor).caught
    for check in (gradcheck, check_grads, outputs_and_numerical):
        assert not check(factor.mended()).caught


def test_every_job_has_its_case():
    asked = jobs()
    assert len(set(asked)) == len(asked) == 2 * len(cases()) + len(names())
    assert len(names()) >= 60
    assert case_of(("bug", "mse_outer")).wrong == "torch"
    assert case_of(("mended", "mse_outer")).torch is cases()["mse_outer"].healthy
    assert case_of(("mse_loss", "default")).wrt == ("input", "target")


def test_the_table_counts_what_each_check_says():
    job, answers = ask(("bug", "grpo_aggregation"))
    assert set(answers) == set(ORACLES)
    quiet = dict.fromkeys(ORACLES, Verdict(False))
    refused = dict.fromkeys(ORACLES, "ValueError: no")
    rows = table([(job, answers), (("bug", "b"), quiet), (("mended", "b"), refused), (("mse_loss", "default"), quiet)])
    first = rows[0]
    assert (first["oracle"], first["cases"], first["caught"], first["side named"]) == ("xloss", 2, 1, 1)
    assert (first["missed"], first["healthy"], first["false alarms"]) == (["b"], 2, 0)
    assert first["raised"] == {"mended b": "ValueError: no"}
    alarm = dict.fromkeys(ORACLES, Verdict(True))
    assert table([(("mended", "b"), alarm), (job, answers)])[0]["alarms"] == ["mended b"]
    text = markdown(rows, "the command")
    assert "| xloss | 1 of 2 | 1 of 2 |" in text
    assert "Not caught by xloss: b." in text
    assert "`the command`" in text
