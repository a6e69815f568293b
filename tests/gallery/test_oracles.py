import json
from dataclasses import replace

import pytest

from tests.gallery import cases
from tests.gallery.healthy import names, pair
from tests.gallery.oracles import ORACLES, check_grads, gradcheck, outputs_and_numerical, xloss
from tests.gallery.report import (
    COMMAND,
    REPORTS,
    ask,
    case_of,
    counts,
    facts,
    jobs,
    kept,
    markdown,
    measured,
    table,
)  # fmt: skip
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
    assert (first["missed"], first["healthy"], first["false alarms"]) == (["b"], 1, 0)
    assert first["raised"] == {"mended b": "ValueError: no"}
    alarm = dict.fromkeys(ORACLES, Verdict(True))
    assert table([(("mended", "b"), alarm), (job, answers)])[0]["alarms"] == ["mended b"]
    found = facts(rows, {job: answers})
    text = markdown(found)
    assert "| xloss | 1 of 2 | 1 of 2 |" in text
    assert "Not caught by xloss: b." in text
    assert f"`{COMMAND}`" in text
    assert "| torch | mean_against_batchmean | side, cause |" in text
    assert "| jax | wrong_shape | no |" not in text
    assert sum(bug["caught"] for bug in found["bugs"]) == 1


def test_what_is_committed_is_of_these_cases():
    found = json.loads((REPORTS / "gallery.json").read_text("utf-8"))
    assert markdown(found) == (REPORTS / "gallery.md").read_text("utf-8")
    assert {bug["case"]: bug["cause"] for bug in found["bugs"]} == {n: case.cause for n, case in cases().items()}
    first = found["rows"][0]
    assert first["oracle"] == "xloss"
    assert first["caught"] == first["cases"] == len(cases())
    assert min(first["side named"], first["cause named"]) >= 52
    assert first["false alarms"] == 0
    readme = (REPORTS.parent / "README.md").read_text("utf-8")
    assert "\n".join(counts(found["rows"])) in readme


def test_a_stopped_run_goes_on_from_what_it_has_kept(tmp_path, monkeypatch):
    path = tmp_path / "answers.jsonl"
    known = {"xloss": {"caught": True, "side": True, "cause": False}, "np.allclose on values": "ValueError: no"}
    path.write_text(json.dumps([["bug", "mse_outer"], known]) + '\n[["bug", "kl_')
    assert kept(path) == {
        ("bug", "mse_outer"): {"xloss": Verdict(True, True), "np.allclose on values": "ValueError: no"}
    }
    monkeypatch.setattr("tests.gallery.report.jobs", lambda: [("bug", "mse_outer")])
    assert dict(measured(1, path)) == kept(path)
