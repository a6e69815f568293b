"""A diagnosis ends when its time is up, within a hypothesis too, and keeps what it has found."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable

import numpy as np
import pytest

from tests.compare import planted
from xloss.compare import pair
from xloss.compare.diagnosis import Diagnosis, Evidence, diagnose
from xloss.compare.diagnosis.question import Question
from xloss.compare.run import Case
from xloss.compare.sides import Side

pytest.importorskip("torch")


def side(factor: float, slow: float = 0.0, mutate: bool = False) -> Side:
    def call(x, y):
        time.sleep(slow)
        if mutate:
            x.data.add_(1.0)
        return ((x - y) ** 2 + factor * (x - y).abs() ** 3 * y.cos()).mean()

    return Side(f"f{factor}", "torch", call)


def evidence(slow: float = 0.0, mutate: bool = False) -> Evidence:
    return Evidence((side(0.0, slow), side(0.3, slow, mutate)), planted.cases("pairs"), ("a", "b"))


def took(function: Callable[[], list[Diagnosis]]) -> tuple[list[Diagnosis], float]:
    start = time.monotonic()
    return function(), time.monotonic() - start


def test_another_formula_takes_more_than_a_second_of_slow_calls() -> None:
    """Without a limit the search goes on to its end: so the next tests would fail without one."""
    found, seconds = took(lambda: diagnose(evidence(0.01), 300.0))
    assert [d.cause for d in found] == ["wrong_formula"]
    assert seconds > 1.0


def test_it_ends_when_the_time_is_up() -> None:
    found, seconds = took(lambda: diagnose(evidence(0.05), 1.0))
    assert [d.cause for d in found] == ["unfinished"]
    assert "ran out of time" in found[0].sentence
    assert seconds < 3.0


def test_it_ends_within_one_hypothesis(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(question: Question) -> Diagnosis | None:
        case = question.cases[0]
        for number in range(10**9):
            question.pair[0].value(case.with_arrays(x=case.arrays["x"] + number))
        return None

    module = importlib.import_module("xloss.compare.diagnosis.diagnose")
    monkeypatch.setattr(module, "VALUES", (endless,))
    found, seconds = took(lambda: diagnose(evidence(), 0.5))
    assert [d.cause for d in found] == ["unfinished"]
    assert seconds < 2.0


def test_what_was_found_before_is_kept() -> None:
    found, _seconds = took(lambda: diagnose(evidence(0.05, mutate=True), 1.0))
    assert found[0].cause == "argument_mutated"


def test_without_any_time_it_says_so() -> None:
    assert [d.cause for d in diagnose(evidence(), -1.0)] == ["unfinished"]


def test_a_comparison_leaves_its_diagnosis_what_is_left_of_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def diagnoser(*args: object) -> list[Diagnosis]:
        given.append(float(args[3]))  # type: ignore[arg-type]
        return []

    cases = [Case("typical", {"x": np.ones((3, 2)), "y": np.zeros((3, 2))}, wrt=("x",))]
    for elapsed, left in ((0.0, 25.0), (30.0, 15.0), (100.0, pair.LEAST)):
        clock = iter([0.0, *[elapsed] * 100])
        monkeypatch.setattr(pair.time, "perf_counter", lambda clock=clock: next(clock))
        pair.compare(side(0.0), side(0.3), cases, diagnoser=diagnoser, per_sample=False)
        assert given[-1] == pytest.approx(left)
    assert pair.WHOLE + 10 <= 60
