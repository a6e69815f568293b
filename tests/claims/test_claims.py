"""Every claim: its verdict, the numbers it rests on, what would change it, and the snippets that show it."""

import ast
import contextlib
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from xloss.claims import CLAIMS, SOURCES, Claim, EvidenceError, Result, run
from xloss.claims.model import FRAMEWORKS, Numbers, as_list, near

pytest.importorskip("torch")
pytest.importorskip("jax")

every_claim = pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)

# What float32 leaves where nothing should be, after 200 steps of training at most. A matrix product sums in an order
# that depends on how the memory is aligned, so two processes agree on its size alone.
ROUNDING = 1e-5


_RUNNER = """
import contextlib, io, json, pathlib, runpy, sys, traceback
printed = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(str(path), run_name="__main__")
    except Exception:
        traceback.print_exc(file=out)
    printed[path.stem] = out.getvalue()
print(json.dumps(printed))
"""


@pytest.fixture(scope="module")
def snippets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Every snippet, each in a file of its own; those of one framework share a process that knows nothing of xloss."""
    with contextlib.ExitStack() as stack:
        processes = {}
        for framework in FRAMEWORKS:
            folder = tmp_path_factory.mktemp(framework)
            for name, claim in EXPERIMENTS.items():
                (folder / f"{name}.py").write_text(claim.snippets[framework], encoding="utf-8")
            command = [sys.executable, "-c", _RUNNER, str(folder)]
            environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": ""}
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = subprocess.Popen(command, cwd=folder, env=environment, **pipes)
            processes[framework] = stack.enter_context(process)
            stack.callback(processes[framework].kill)
        yield processes


#: One claim for each experiment.
EXPERIMENTS = {claim.experiment: claim for claim in CLAIMS.values()}


@pytest.fixture(scope="module")
def results(snippets: object) -> dict[str, Result]:
    """All claims, measured once (while the snippets run)."""
    return {result.claim.id: result for result in run()}


def outcome(claim: Claim, evidence: Mapping[str, Mapping[str, Any]]) -> str:
    """The verdict's kind, or "errs"."""
    try:
        return claim.verdict(evidence).kind
    except EvidenceError:
        return "errs"


def planted(
    evidence: Mapping[str, Mapping[str, Any]], fault: Mapping[str, Any], frameworks: tuple[str, ...] = FRAMEWORKS
) -> dict[str, dict[str, Any]]:
    """The evidence with some of its numbers replaced, where a framework has them."""
    return {
        framework: {
            name: fault[name] if name in fault and framework in frameworks else value for name, value in numbers.items()
        }
        for framework, numbers in evidence.items()
    }


@every_claim
def test_verdict_is_the_one_vouched_for(claim: Claim, results: dict[str, Result]) -> None:
    result = results[claim.id]
    assert result.status == "as expected", (result.verdict, result.error)


@every_claim
def test_explanation_is_two_sentences_with_its_numbers(claim: Claim, results: dict[str, Result]) -> None:
    text = re.sub(r'"[^"]*"', "quoted", results[claim.id].explanation)
    assert len(re.findall(r"[.?!](?:\s|$)", text)) == 2, text
    assert "{" in claim.explanation, "an explanation tells what was measured"
    assert text.endswith(".")
    assert claim.statement.endswith(".")


@every_claim
def test_each_named_fault_changes_the_verdict(claim: Claim, results: dict[str, Result]) -> None:
    evidence = results[claim.id].evidence
    expected = results[claim.id].verdict
    assert expected is not None
    assert claim.faults
    for why, fault in claim.faults.items():
        names = {name for numbers in evidence.values() for name in numbers}
        assert set(fault) <= names, f"{why}: the evidence has no {set(fault) - names}"
        assert outcome(claim, planted(evidence, fault)) != expected.kind, why
        for framework in FRAMEWORKS:
            alone = planted(evidence, fault, (framework,))
            if alone != evidence:
                assert outcome(claim, alone) != expected.kind, f"{why}, in {framework} alone"


def spoilt(value: Any) -> Iterator[Any]:
    """Other values for a piece of evidence."""
    changes = (lambda v: 0.0, lambda v: 1.0, lambda v: -v, lambda v: 2 * v + 1, lambda v: v / 2, lambda v: 1e6)
    for change in changes:
        if isinstance(value, list):
            yield [change(float(v)) for v in value]
            for i in range(len(value)):
                yield [*value[:i], change(float(value[i])), *value[i + 1 :]]
        else:
            yield change(float(value))


@every_claim
def test_every_number_that_is_judged_matters(claim: Claim, results: dict[str, Result]) -> None:
    """No judge is constant or reads a number for show.

    Each number that it reads is needed, must be finite, and can turn the verdict: as measured, or under one of the
    named faults, where it was only one of several that spoke for the verdict.
    """
    evidence = results[claim.id].evidence
    watched = {framework: Numbers(framework, evidence[framework]) for framework in FRAMEWORKS}
    claim.judge(watched)
    read = [(framework, name) for framework, numbers in watched.items() for name in numbers.read]
    assert read
    bases = [evidence, *(planted(evidence, fault) for fault in claim.faults.values())]
    for framework, name in read:
        value = evidence[framework][name]
        missing = {fw: {n: v for n, v in numbers.items() if n != name} for fw, numbers in evidence.items()}
        assert outcome(claim, missing) == "errs", f"{name} was missing"
        if isinstance(value, str):
            continue
        nan = [math.nan] * len(value) if isinstance(value, list) else math.nan
        assert outcome(claim, planted(evidence, {name: nan}, (framework,))) == "errs", f"{name} was NaN"
        assert any(
            outcome(claim, planted(base, {name: other})) != outcome(claim, base)
            for base in bases
            for other in spoilt(value)
        ), f"{name} can be anything"


@every_claim
def test_evidence_of_one_framework_settles_nothing(claim: Claim, results: dict[str, Result]) -> None:
    evidence = results[claim.id].evidence
    for framework in FRAMEWORKS:
        assert outcome(claim, {framework: evidence[framework]}) == "errs"
        assert outcome(claim, {**evidence, framework: {}}) == "errs"


def test_as_data(results: dict[str, Result]) -> None:
    data = json.loads(json.dumps([result.to_dict() for result in results.values()], allow_nan=False))
    assert [entry["id"] for entry in data] == list(CLAIMS)
    for entry in data:
        assert {"id", "seed", "statement", "verdict", "explanation", "evidence"} <= set(entry)
        assert entry["seed"] in SOURCES
        assert entry["verdict"] in ("holds", "fails", "holds only if")
        assert (entry["verdict"] == "holds only if") == bool(entry["condition"])
        for framework in FRAMEWORKS:
            numbers = entry["evidence"][framework]
            assert numbers
            assert all(isinstance(value, float) for value in numbers.values())


#: What the texts and the task print, by claim, framework and name: each number to the digits given.
_PRINTED: list[tuple[str, str, str, Any, float]] = [
    ("notebook-backward/printed-values", fw, name, value, 5e-5)
    for fw in FRAMEWORKS
    for name, value in {
        "'L1 Loss', large error": 0.5196,
        "L2 Loss, large error": 0.2700,
        "Log Loss, large error": 0.6931,
        "'L1 Loss', small error": 0.1732,
        "L2 Loss, small error": 0.0300,
        "Log Loss, small error": 0.1054,
        "sum of |y - p|, large error": 0.7010,
    }.items()
]
_PRINTED += [
    row
    for fw in FRAMEWORKS
    for row in (
        ("detached-error/half-gradient", fw, "smallest ratio of gradients", 0.5, 0.0),
        ("detached-error/half-gradient", fw, "largest ratio of gradients", 0.5, 0.0),
        ("detached-error/same-updates", fw, "SGD, rate doubled: apart after 200 steps", 0.0, 0.0),
        ("detached-error/division-by-two", fw, "proposed", [9.0, 3.0, 0.0], 0.0),
        ("detached-error/division-by-two", fw, "MSE", [9.0, 6.0, 2.0], 0.0),
        ("notebook-backward/loss-delta", fw, "LossDelta", 0.0475, 5e-7),
        ("notebook-backward/loss-delta", fw, "gradient given LossDelta", [9.5e-05, -4.275e-02, 9.5e-03, 9.5e-03], 5e-7),
        ("notebook-backward/custom-square", fw, "custom gradient", [0.000101, -0.045315, 0.010070, 0.010070], 5e-7),
        ("notebook-backward/custom-square", fw, "custom / right", 1.0600, 5e-5),
        ("notebook-backward/accumulates", fw, "after two calls", [0.000201, -0.090630, 0.020140, 0.020140], 5e-7),
        ("notebook-backward/accumulates", fw, "after three calls", [0.0003, -0.1359, 0.0302, 0.0302], 5e-5),
        ("notebook-backward/loss-delta", fw, "loss after the step", 0.2225, 5e-5),
        ("detached-error/half-gradient", fw, "largest |MSE's gradient - 2(y_hat - y)|", 0.0, 0.0),
        ("notebook-backward/accumulates", fw, "added up over the calls", [1.0, 2.0, 3.0], 1e-6),
        ("typical-gradients/derivative-sign", fw, "stated / autodiff", -1.0, 0.0),
        ("typical-gradients/square-root", fw, "mse_loss", [4.0, 1.0, 0.25, 0.25, 1.0, 4.0, 9.0], 0.0),
        ("typical-gradients/grad-and-backward", fw, "by hand", 2.0, 0.0),
        ("four-averages/sum-is-n-means", fw, "gradient of the sum / gradient of the mean", [8.0] * 4, 1e-4),
    )
]
_PRINTED += [
    ("typical-gradients/grad-and-backward", "torch", "backward, two calls", [2.0, 4.0], 0.0),
    ("typical-gradients/grad-and-backward", "torch", "autograd.grad, two calls", [2.0, 2.0], 0.0),
    ("typical-gradients/grad-and-backward", "jax", "jax.vjp, two calls", [2.0, 2.0], 0.0),
    ("four-averages/first-is-overwritten", "torch", "in place: distance from averaging g_1, g_1, g_2, ...", 0.0, 0.0),
]


@pytest.mark.parametrize(("id", "framework", "name", "value", "within"), _PRINTED)
def test_printed_digits(
    id: str, framework: str, name: str, value: Any, within: float, results: dict[str, Result]
) -> None:
    np.testing.assert_allclose(results[id].evidence[framework][name], value, rtol=0, atol=within)


def test_snippets_run_by_themselves_and_print_the_evidence(
    results: dict[str, Result], snippets: dict[str, subprocess.Popen[str]]
) -> None:
    for framework, process in snippets.items():
        out, error = process.communicate(timeout=300)
        assert out, error
        printed = json.loads(out.splitlines()[-1])
        assert set(printed) == set(EXPERIMENTS)
        for experiment, claim in EXPERIMENTS.items():
            evidence = results[claim.id].evidence[framework]
            lines = printed[experiment].splitlines()
            assert len(lines) == len(evidence), (experiment, lines)
            for line, (name, value) in zip(lines, evidence.items(), strict=True):
                assert line.startswith(f"{name} = ")
                shown = line.removeprefix(f"{name} = ")
                if isinstance(value, str):
                    assert shown == value
                else:
                    same = near(ast.literal_eval(shown), as_list(value), rel=1e-5, abs=ROUNDING)
                    assert same, (experiment, line, value)


@every_claim
def test_snippets_import_only_their_framework(claim: Claim) -> None:
    for framework, code in claim.snippets.items():
        tree = ast.parse(code)
        imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        allowed = {framework, "numpy", "math", "functools", "itertools", "warnings"}
        assert {name.partition(".")[0] for name in imported} <= allowed
        assert len(code.splitlines()) <= 50, "a snippet is for reading"
