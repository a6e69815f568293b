"""Two functions side by side: judged by truth or by each other, on inputs from everywhere."""

import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from xloss.compare import cases, show
from xloss.compare.pair import compare
from xloss.compare.reference import CatalogueTruth, FormulaTruth
from xloss.compare.run import Case
from xloss.compare.script import script
from xloss.compare.sides import framework_of, resolve, side

RNG = np.random.default_rng(3)


def torch_ce(input, target):
    import torch

    return torch.nn.functional.cross_entropy(input, target)


def jax_ce(logits, labels):
    import jax
    import jax.numpy as jnp

    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()


def jax_ce_sum(logits, labels):
    return jax_ce(logits, labels) * logits.shape[0]


def jax_ce_stopped(logits, labels):
    import jax

    return jax_ce(logits, labels) + 0.1 * (logits - jax.lax.stop_gradient(logits)).sum()


def plain_mse(a, b):
    return ((a - b) ** 2).mean()


def formula_ce(logits, labels):
    terms = [np.log(np.exp(row).sum()) - row[label] for row, label in zip(logits, labels, strict=True)]
    return sum(terms) / len(terms)


def labelled(rows=6):
    return Case("typical", {"x": RNG.normal(size=(rows, 4)), "y": RNG.integers(0, 4, rows)}, wrt=("x",))


def statuses(found, name):
    return {row["status"] for row in found.rows if row["side"] == name}


def test_frameworks_are_told_from_the_code():
    import torch

    assert framework_of(torch_ce) == "torch"
    assert framework_of(jax_ce_sum) == "jax"  # through what it calls
    assert framework_of(torch.nn.CrossEntropyLoss()) == "torch"
    assert framework_of(plain_mse) == ""
    with pytest.raises(ValueError, match="plain_mse: its code names neither torch nor jax"):
        side(plain_mse)
    with pytest.raises(TypeError, match="expected a function, got int"):
        side(3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cross_entropy", "expected module:name"),
        ("torch:cross_entrpy", "did you mean cross_entropy"),
        ("nowhere.to.be.found:f", "there is no module"),
        ("nowhere.py:f", "there is no file"),
        ("xloss:foo", "has no 'foo'"),
    ],
)
def test_a_name_that_names_nothing_is_said_to(text, says):
    with pytest.raises(ValueError, match=says):
        resolve(text)


def test_xloss_is_taken_in_the_other_framework():
    assert resolve("xloss:mse_loss", "torch").framework == "jax"
    assert resolve("xloss:mse_loss", "jax").framework == "torch"
    assert resolve("optax:huber_loss").framework == "jax"


def test_a_healthy_pair_agrees():
    found = compare(side(torch_ce), side(jax_ce), [labelled(), labelled(9)], dtypes=("float64", "float32", "bfloat16"))
    assert found.ok
    assert found.exit_code() == 0
    assert not found.diagnoses
    assert "agree" in show.verdict(found)


@pytest.mark.parametrize("truth", [None, FormulaTruth(formula_ce), CatalogueTruth("cross_entropy")])
def test_a_sum_is_not_a_mean(truth):
    found = compare(side(torch_ce), side(jax_ce_sum), [labelled(), labelled(9)], dtypes=("float32",), truth=truth,
                    per_sample=False)  # fmt: skip
    assert found.exit_code() == 1
    assert [d.cause for d in found.diagnoses][:1] == ["sum_against_mean"]
    if truth is not None:  # it says who
        assert statuses(found, "torch") == {"ok"}
        assert "inaccurate" in statuses(found, "jax")


def test_the_side_is_named_whose_gradient_is_not_the_derivative_of_its_value():
    found = compare(side(torch_ce), side(jax_ce_stopped), [labelled(), labelled(9)], dtypes=("float32",))
    wrong = [row for row in found.failures if row["argument"] == "x" and row["check"] == "value"]
    assert {row["side"] for row in wrong} == {"jax"}
    assert "not the derivative of its own value" in wrong[0]["reason"]


def test_an_exception_is_shown_with_the_users_line():
    def raises(logits, labels):
        import torch

        if len(logits) == 9:
            raise KeyError("mine")
        return torch.nn.functional.cross_entropy(logits, labels)

    cases = [labelled(), Case("nine", labelled(9).arrays, wrt=("x",))]
    found = compare(side(raises), side(jax_ce), cases, dtypes=("float32",), per_sample=False)
    assert found.exit_code() == 3
    (row,) = [row for row in found.failures if row["dtype"] == "float32"]
    assert "KeyError" in row["reason"]
    assert 'raise KeyError("mine")' in row["reason"]


def test_writing_into_an_argument_and_randomness_are_seen():
    def writes(logits, labels):
        import torch

        loss = torch.nn.functional.cross_entropy(logits.clone(), labels)
        with torch.no_grad():
            logits.data.mul_(2)
        return loss

    def random(logits, labels):
        import torch

        return torch.nn.functional.cross_entropy(logits, labels) + torch.rand((), dtype=logits.dtype)

    checks = {}
    for function in (writes, random):
        found = compare(side(function), side(jax_ce), [labelled()], dtypes=("float32",), per_sample=False)
        checks[function.__name__] = {row["check"] for row in found.failures}
    assert "arguments unchanged" in checks["writes"]
    assert "called twice" in checks["random"]


def test_what_the_dtype_loses_is_a_note_or_with_strict_a_fault():
    def log_of_softmax(logits, labels):
        import jax
        import jax.numpy as jnp

        p = jax.nn.softmax(logits)
        return -jnp.log(jnp.take_along_axis(p, labels[:, None], 1)[:, 0])

    def torch_none(logits, labels):
        import torch

        return torch.nn.functional.cross_entropy(logits, labels, reduction="none")

    sure = labelled()
    logits = np.array([[20.0, 0.0, 1.0, 2.0]] * 3 + [[1.0, 2.0, 3.0, 4.0]] * 3)
    confident = Case("confident", {"x": logits, "y": np.zeros(6, dtype=np.int64)}, wrt=("x",))
    how = {"dtypes": ("float32",), "truth": CatalogueTruth("cross_entropy", reduction="none"), "per_sample": False}
    loose = compare(side(torch_none), side(log_of_softmax), [sure, confident], **how)
    assert loose.ok
    assert any("loses digits" in note for note in loose.notes)
    assert compare(side(torch_none), side(log_of_softmax), [sure, confident], strict=True, **how).exit_code() == 1


def test_accumulation_names_its_denominator():
    y = np.array([0, -100, -100, 1, 2, 3, 1, -100])
    case = Case("typical", {"x": RNG.normal(size=(8, 4)), "y": y}, wrt=("x",))
    found = compare(side(torch_ce), side(torch_ce), [case], dtypes=("float64",), per_sample=False, microbatches=2)
    rows = [row for row in found.rows if row["check"] == "microbatches=2"]
    assert {row["status"] for row in rows} == {"inaccurate"}
    assert "its number of y that are not -100 (2, 3 of 5)" in rows[0]["reason"]
    whole = Case("typical", {"x": RNG.normal(size=(8, 4)), "y": np.abs(y) % 4}, wrt=("x",))
    fine = compare(side(torch_ce), side(torch_ce), [whole], dtypes=("float64",), per_sample=False, microbatches=2)
    assert fine.ok


def test_inputs_are_guessed_from_the_signature_and_said():
    (first, *_) = cases.guesses([side(torch_ce), side(jax_ce)])
    assert [a.kind for a in first.arguments] == ["real", "labels"]
    assert "labels 0 to 4" in first.assumed
    assert {case.name for case in first.cases()} >= {"typical", "more_rows", "large", "tiny", "ties", "one_row"}


def test_inputs_of_a_file(tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text('[inputs.x]\nshape = [3, 4]\n[inputs.y]\nkind = "labels"\nshape = [3]\nclasses = 4\nignore = -1\n'
                    '[options]\nreduction = "sum"\n')  # fmt: skip
    (case, *_) = cases.from_toml(spec).cases()
    assert case.arrays["x"].shape == (3, 4)
    assert case.options == {"reduction": "sum"}
    assert -1 in case.arrays["y"]
    for wrong, says in [("x = 1", "expected tables"), ("[inputs.x]\nkind='rael'", "rael"),
                        ("[inputs.x]\nshp=[1]", "shp"), ("[inputs.x]\nshape='3'", "shape"),
                        ("nonsense", "spec.toml")]:  # fmt: skip
        spec.write_text(wrong)
        with pytest.raises(ValueError, match=says):
            cases.from_toml(spec)


def test_labels_take_the_place_of_their_axis():
    made = cases.from_shapes(("a", "b"), (2, 7, 5, 5), 7)
    assert made.arguments[1].shape == (2, 5, 5)
    with pytest.raises(ValueError, match="labels: expected the size of an axis"):
        cases.from_shapes(("a", "b"), (2, 7), 6)


@pytest.mark.parametrize(
    "loss", ["kl_div", *(pytest.param(name, marks=pytest.mark.slow) for name in
                         ("cross_entropy", "huber_loss", "triplet_margin_loss"))],
)  # fmt: skip
def test_the_catalogue_agrees_with_itself(loss):
    found = compare(resolve(f"xloss.torch:{loss}"), resolve(f"xloss.jax:{loss}"), cases.like(loss),
                    dtypes=("float32",), truth=CatalogueTruth(loss), strict=True)  # fmt: skip
    assert found.ok, str(found)


@pytest.fixture(scope="module")
def failed():
    return compare(side(torch_ce), side(jax_ce_sum, "<script>alert(1)</script>|`x`"), [labelled(), labelled(9)],
                   dtypes=("float32",), per_sample=False)  # fmt: skip


def test_reports_are_escaped_and_readable(failed):
    assert "<script>" not in failed._repr_html_()
    assert "<table>" in failed._repr_html_()
    assert "cause: " in str(failed)
    assert "| value |" in show.markdown(failed)
    assert json.loads(show.as_json(failed))["exit_code"] == 1
    suite = ElementTree.fromstring(show.junit(failed))
    assert int(suite.get("failures")) == len(suite.findall("testcase/failure")) > 0


def test_the_script_shows_it_without_xloss(failed, tmp_path):
    import subprocess
    import sys

    (tmp_path / "t_losses.py").write_text(
        "import torch\n\n\ndef f(x, y):\n    return torch.nn.functional.cross_entropy(x, y)\n"
    )
    (tmp_path / "j_losses.py").write_text(
        "import jax\nimport jax.numpy as jnp\n\n\ndef f(x, y):\n"
        "    return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1).sum()\n"
    )
    code = script(failed, (f"{tmp_path}/t_losses.py:f", f"{tmp_path}/j_losses.py:f"))
    assert "xloss" not in code
    assert len(code.splitlines()) <= 20
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    row = failed.failures[0]["reason"]
    one = float(row.split()[1].rstrip(","))
    assert math.isclose(float(out.split()[1]), one, rel_tol=1e-6)


def test_the_exact_result_of_a_loss_whose_formula_has_names_of_its_own() -> None:
    """The tail weights of the adaptive softmax are a list for its callers, and arrays of their own for its formula."""
    from xloss.compare.cases import like
    from xloss.compare.reference import CatalogueTruth

    name = "adaptive_log_softmax_with_loss"
    case = like(name)[0]
    right = CatalogueTruth(name)(case)
    assert np.isfinite(right.value.high).all()
    assert {"input", "head_weight", "tail0_projection"} <= set(right.grads)
