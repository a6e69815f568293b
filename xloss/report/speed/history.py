"""Find what changed from one version of a framework to the next: times, memory, digits.

Two versions are compared where both measured the same commit of xloss, so that nothing else differs. asv measures them
in a process each, minutes or hours apart: one such pair is a *candidate* for a change, and is called *sure* only where
`xloss.bench.compare` has a verdict, which takes five commits or more. Deterministic numbers (ulps, the compiler's plan
of memory, an allocator's statistics) are sure at once.

The control is the copy of memory that each environment times beside its benchmarks: where that took another time too,
the machine has changed (another tenant, another clock), and no time of that commit is compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from xloss.report.speed.tables import CELL, numbers

#: A change is beyond this factor, with its whole interval; without samples, beyond the other.
LEAST = 1.05
LEAST_ONCE = 1.25
#: The copy's times may differ by this factor.
STEADY = 1.1
#: An error this small is rounding, whichever way it goes.
ULPS = 0.5
#: Bytes of a page, in which resident memory is measured.
PAGE = 4096.0
TOPICS: Mapping[str, str] = {
    "speed": "time",
    "variants": "time",
    "device": "time",
    "memory": "memory",
    "accuracy": "ulps",
    "compiling": "compile time",
}
TIMED = ("time", "compile time")

#: Machine, device, framework, the version before, the one after, the topic.
Key = tuple[str, str, str, str, str, str]
#: A version, the geometric mean of cells, their quantiles of 10 % and 90 %.
VersionPoint = tuple[str, float, float, float]
Row = Mapping[Any, Any]
Pair = tuple[Row, Row]
PLACE = ("machine", "device", "environment", "commit")


@dataclass(frozen=True)
class Release:
    """A step from one version of a framework to the next, at one place, and the topic that is compared."""

    machine: str
    device: str
    framework: str
    before: str
    after: str
    topic: str

    @property
    def name(self) -> str:
        """The step as a reader sees it: jax 0.9.2 → 0.10.2."""
        return f"{self.framework} {self.before} → {self.after}"


@dataclass(frozen=True)
class Change(Release):
    """A cell that another version of its framework made better or worse."""

    loss: str
    who: str
    what: str
    old: float
    new: float
    ratio: float
    low: float
    high: float
    runs: int
    sure: bool

    @property
    def worse(self) -> bool:
        """Whether the number grew: seconds, bytes and ulps are better when smaller."""
        return self.ratio > 1


@dataclass(frozen=True)
class Step(Release):
    """The geometric mean ratio of all cells of a release, and how many changed."""

    cells: int
    ratio: float
    better: int
    worse: int
    sure: int
    copy: float  # the control, as a ratio; NaN where it was not measured

    @property
    def steady(self) -> bool:
        """Whether the machine was the same, as far as is known."""
        return _steady(self.copy)


def changes(table: pd.DataFrame) -> list[Change]:
    """Find all changes between neighbouring versions, the greatest first."""
    control = _copies(table)
    found = [change for _, pairs in _neighbours(table) if (change := _change(pairs, control)) is not None]
    return sorted(found, key=lambda change: (not change.sure, -abs(np.log(change.ratio))))


def steps(table: pd.DataFrame, found: Sequence[Change]) -> list[Step]:
    """Sum up each release, by place, framework and topic."""
    moved: dict[Key, list[float]] = {}
    copies: dict[Key, list[float]] = {}
    control = _copies(table)
    for key, pairs in _neighbours(table):
        moved.setdefault(key, []).append(float(np.log(_ratio(*pairs[-1]))))
        copies.setdefault(key, []).extend(_control(*pair, control) for pair in pairs)
    changed: dict[Key, list[Change]] = {}
    for c in found:
        changed.setdefault((c.machine, c.device, c.framework, c.before, c.after, c.topic), []).append(c)
    out = []
    for key, logs in moved.items():
        those = changed.get(key, [])
        worse, sure = sum(change.worse for change in those), sum(change.sure for change in those)
        mean, copy = float(np.exp(np.mean(logs))), float(np.median(copies[key]))
        out.append(Step(*key, len(logs), mean, len(those) - worse, worse, sure, copy))
    return sorted(out, key=lambda s: (s.machine, s.device, s.framework, s.topic, numbers(s.before)))


def trends(table: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, dict[str, list[VersionPoint]]]]:
    """Return, by (machine, device, framework), topic and contestant, each version relative to the oldest.

    Only cells that every version has are compared.
    """
    cells: dict[tuple[str, ...], dict[str, dict[Any, float]]] = {}
    for cell, versions in _cells(table).items():
        row = next(iter(next(iter(versions.values())).values()))
        group = (row["machine"], row["device"], row["framework"], TOPICS[row["kind"]], row["who"])
        for version, commits in versions.items():
            cells.setdefault(group, {}).setdefault(version, {})[cell] = _shift(list(commits.values())[-1])
    out: dict[tuple[str, str, str], dict[str, dict[str, list[VersionPoint]]]] = {}
    for (machine, device, framework, topic, who), by in sorted(cells.items()):
        common = set.intersection(*(set(values) for values in by.values()))
        if len(by) < 2 or not common:
            continue
        oldest = min(by, key=numbers)
        line: list[VersionPoint] = []
        for version in sorted(by, key=numbers):
            logs = [np.log(by[version][cell] / by[oldest][cell]) for cell in common]
            low, high = np.quantile(logs, [0.1, 0.9])
            line.append((version, float(np.exp(np.mean(logs))), float(np.exp(low)), float(np.exp(high))))
        out.setdefault((machine, device, framework), {}).setdefault(topic, {})[who] = line
    order = list(dict.fromkeys(TOPICS.values()))
    return {place: {topic: topics[topic] for topic in order if topic in topics} for place, topics in out.items()}


def _cells(table: pd.DataFrame) -> dict[Any, dict[str, dict[str, Row]]]:
    """Group the rows by cell, version and commit, the newest commit last."""
    out: dict[Any, dict[str, dict[str, Row]]] = {}
    for row in table[table["kind"].isin(TOPICS) & table["version"].notna()].to_dict("records"):
        cell = tuple(str(row[name]) for name in CELL)
        commits = out.setdefault(cell, {}).setdefault(str(row["version"]), {})
        commits.pop(str(row["commit"]), None)  # the newest goes to the end
        commits[str(row["commit"])] = row
    return out


def _neighbours(table: pd.DataFrame) -> Iterator[tuple[Key, list[Pair]]]:
    """Pair the rows of each cell in two neighbouring versions, by commit."""
    for by in _cells(table).values():
        for before, after in itertools.pairwise(sorted(by, key=numbers)):
            pairs = [(row, by[after][commit]) for commit, row in by[before].items() if commit in by[after]]
            if pairs:
                row = pairs[0][0]
                yield (row["machine"], row["device"], row["framework"], before, after, TOPICS[row["kind"]]), pairs


def _shift(row: Row) -> float:
    """Return a positive number: to what may be 0, half an ulp or a page is added before a logarithm is taken."""
    return float(row["value"]) + {"accuracy": ULPS, "memory": PAGE}.get(row["kind"], 1e-12)


def _ratio(old: Row, new: Row) -> float:
    return _shift(new) / _shift(old)


def _copies(table: pd.DataFrame) -> dict[Any, float]:
    """Return the seconds of the copy by environment and commit."""
    rows = table[(table["kind"] == "machine") & (table["quantity"] == "copy")].to_dict("records")
    return {tuple(row[name] for name in PLACE): float(row["value"]) for row in rows}


def _control(old: Row, new: Row, copies: Mapping[Any, float]) -> float:
    """Return the copy's time in the second environment over that in the first; NaN where it is not known."""
    first, second = (copies.get(tuple(row[name] for name in PLACE), float("nan")) for row in (old, new))
    return second / first


def _change(pairs: Sequence[Pair], copies: Mapping[Any, float]) -> Change | None:
    from xloss.bench import compare

    head = pairs[0][0]
    if TOPICS[head["kind"]] in TIMED:
        pairs = [pair for pair in pairs if _steady(_control(*pair, copies))]
        if not pairs:
            return None
    old, new = pairs[-1]
    ratio = _ratio(old, new)
    low = high = float("nan")
    sure = exact = head["kind"] == "accuracy" or head["ruler"] in ("analysed", "device")
    before, after = ([_samples(pair[side]) for pair in pairs] for side in (0, 1))
    if not exact and all(before) and all(after):
        found = compare.ratio(before, after)
        ratio, low, high = found.ratio, found.low, found.high
        sure = found.verdict in ("faster", "slower")
        if compare.verdict(low, high, LEAST - 1) not in ("faster", "slower"):
            return None
        # Shown are the numbers of the commit that this ratio, the median over commits, is nearest to.
        old, new = min(pairs, key=lambda pair: abs(np.log(_ratio(*pair) / ratio)))
    else:
        rounding = head["kind"] == "accuracy" and abs(new["value"] - old["value"]) < ULPS
        if rounding or max(ratio, 1 / ratio) < (LEAST if exact else LEAST_ONCE):
            return None
    parts = ("quantity", "size", "dtype", "caches", "ruler", "variant", "reduction")
    what = ", ".join(str(head[name]) for name in parts if _given(head[name]))
    return Change(
        head["machine"], head["device"], head["framework"], old["version"], new["version"], TOPICS[head["kind"]],
        head["loss"], head["who"], what, float(old["value"]), float(new["value"]), float(ratio), low, high,
        len(pairs), sure,
    )  # fmt: skip


def _steady(control: float) -> bool:
    """Whether the machine was the same, as far as is known."""
    return not max(control, 1 / control) > STEADY


def _samples(row: Row) -> list[float]:
    taken = row["samples"]
    return [] if taken is None or isinstance(taken, float) else [float(x) for x in taken]


def _given(value: Any) -> bool:
    return isinstance(value, str) and value != ""
