"""The diagnosis names each planted cause, in both frameworks, and none on healthy pairs.

Run as a script, this prints the confusion matrix: the cause planted, by the cause named.
"""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from tests.compare import faults, healthy, planted
from xloss.catalog import LOSSES
from xloss.compare.diagnosis import Diagnosis, diagnose
from xloss.compare.run import Result

pytest.importorskip("torch")
pytest.importorskip("jax")

FAULTS = {fault.name: fault for fault in faults.faults()}
# One of each family in the default run; the others take minutes, most of them for JAX to compile operations.
QUICK = (
    "times N",
    "half",
    "mean of means",
    "ignored counted",
    "minus",
    "swapped",
    "softmax twice",
    "smoothing on others",
    "off by one",
    "detached",
    "three times the gradient",
    "clipped probabilities",
    "eps in a logarithm",
    "float32 inside",
    "kink, both",
    "zero norm",
    "no max-shift",
    "mutates",
    "writes",
    "constant term",
)
SECONDS = 300.0  # far more than it takes: what is named shall not depend on how busy the machine is
WHERE = ("torch", "jax")


def planted_in(where: str, fault: faults.Fault, known: bool) -> list[Diagnosis]:
    """Diagnose a fault planted in one framework, the healthy loss in the other, with or without what is right."""
    pair = (fault.bad, fault.good) if where == "torch" else (fault.good, fault.bad)

    return diagnose(planted.evidence(*pair, fault.cases, fault.good if known else None), SECONDS)


def check(fault: faults.Fault, where: str, known: bool) -> None:
    if fault.only and fault.only != where:
        return
    found = planted_in(where, fault, known)
    assert found, f"nothing was named for {fault.name!r} in {where}"
    first = found[0]
    assert first.cause == fault.cause, first
    if known or fault.alone:
        assert first.side == where, first
        assert fault.says in first.sentence, first
    else:
        assert first.side in ("", where), first
    assert "torch" in first.sentence or "jax" in first.sentence
    assert "\n" not in first.sentence


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", QUICK)
def test_planted_fault_is_named(name: str, where: str) -> None:
    check(FAULTS[name], where, False)
    check(FAULTS[name], where, True)


@pytest.mark.slow
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", [name for name in FAULTS if name not in QUICK])
def test_every_planted_fault_is_named(name: str, where: str) -> None:
    check(FAULTS[name], where, False)
    check(FAULTS[name], where, True)


def test_faults_are_of_many_causes() -> None:
    assert len({fault.cause for fault in FAULTS.values()}) >= 28


def test_faults_differ() -> None:
    """A planted fault shows in value or gradient, in some dtype: else there would be nothing to name."""
    for fault in FAULTS.values():
        if fault.cause in ("argument_mutated", "nondeterministic", "lost_digits") or "float32" in fault.name:
            continue
        evidence = planted.evidence(fault.bad, fault.bad, fault.cases, fault.good)
        seen = [(evidence.run(0, case), evidence.exact(case)) for case in fault.cases]
        assert any(a is None or b is None or not _identical(a, b) for a, b in seen), fault.name


def _identical(a: Result, b: Result) -> bool:
    return bool((a.value == b.value).all()) and all(bool((g == b.grads[n]).all()) for n, g in a.grads.items())


@pytest.mark.parametrize("kind", ["plain"])
def test_healthy_pair_has_no_cause(kind: str) -> None:
    names = {"cross_entropy", "mse", "nll_ignore", "quantile"}
    for name, evidence in healthy.base_pairs((kind,)):
        if name.partition(",")[0] in names:
            assert diagnose(evidence, SECONDS) == [], name


@pytest.mark.slow
def test_no_healthy_base_pair_has_a_cause() -> None:
    named = {name: found for name, evidence in healthy.base_pairs() if (found := diagnose(evidence, SECONDS))}
    assert named == {}


@pytest.mark.slow
@pytest.mark.parametrize("loss", list(LOSSES))
def test_no_loss_of_the_catalogue_has_a_cause(loss: str) -> None:
    pairs = list(healthy.catalogue_pairs([loss]))
    assert len(pairs) >= 2
    for name, evidence in pairs:
        ran = [evidence.run(side, case) is not None for side in (0, 1) for case in evidence.cases]
        assert all(ran), name
        assert diagnose(evidence, SECONDS) == [], name


def confusion() -> Counter[tuple[str, str]]:
    """Count (planted, named) over all faults, both frameworks, with and without what is right."""
    out: Counter[tuple[str, str]] = Counter()
    for fault in FAULTS.values():
        for where in WHERE:
            for known in (False, True):
                if fault.only in ("", where):
                    found = planted_in(where, fault, known)
                    side = found[0].side if found else ""
                    out[f"{fault.cause} in {where}", found[0].cause if found else "none"] += 1
                    out[f"{fault.cause} in {where}", f"side: {side or 'open'}"] += 1
    return out


def write_confusion() -> None:
    """Print the matrix, one row a cause and framework."""
    table: dict[str, list[str]] = {}
    for (cause, named), count in sorted(confusion().items()):
        table.setdefault(cause, []).append(f"{named} {count}")
    for cause, row in table.items():
        sys.stdout.write(f"{cause:45} {', '.join(row)}\n")


if __name__ == "__main__":
    write_confusion()
