"""Sum up a table of checks: pure functions from the rows of the sweep to what the report shows.

Each takes the table that `prepare` made. Nothing here draws or knows of HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from xloss.parity.cells import OURS
from xloss.parity.sweep import BAD, STATUSES
from xloss.report.format import STATUS_WORDS, count, listed, number, plural, seconds, times

#: What everyone is asked for, xloss and its peers alike, by the name of the mechanism.
ASKED: Mapping[str, str] = {"value": "value", "backward": "gradient"}
HALF = ("bfloat16", "float16")
#: A check that passes with more ulps than this is ill conditioned: the budget is at most 16 (1 + condition number)
#: ulps, so the condition number is above 5.
ILL_CONDITIONED = 100.0
ORDER = ("xloss · torch", "xloss · jax", "torch.nn.functional", "optax", "keras")


def prepare(table: pd.DataFrame) -> pd.DataFrame:
    """Add to the sweep's table `who` was asked, and the `outcome`: pass, miss, broken or unsupported.

    A row passes where its status is ok *and* its budget says so: a row that contradicts itself is a miss, and one with
    an unknown status is broken.
    """
    table = table.copy()
    frameworks = table.groupby("implementation")["framework"].nunique()
    apart = table["implementation"].isin([OURS, *frameworks.index[frameworks > 1]])
    table["who"] = table["implementation"].where(~apart, table["implementation"] + " · " + table["framework"])
    status, passes = table["status"], table["budget"] <= 1
    table["outcome"] = np.select(
        [(status == "ok") & passes, status.isin(["ok", *BAD]), status == "unsupported"],
        ["pass", "miss", "unsupported"],
        "broken",
    )
    return table.sort_values(["case_id", "who"], kind="stable", ignore_index=True)


def contestants(table: pd.DataFrame) -> list[str]:
    """List who was asked, xloss first."""
    names = set(table["who"])
    return [name for name in ORDER if name in names] + sorted(names.difference(ORDER))


def ours(table: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of xloss's own two implementations."""
    return table[table["implementation"] == OURS]


def peers(table: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of all others."""
    return table[table["implementation"] != OURS]


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Select what was run: all rows but the unsupported ones."""
    return table[table["outcome"] != "unsupported"]


def bad(table: pd.DataFrame) -> pd.DataFrame:
    """Select what was run and did not pass."""
    return table[table["outcome"].isin(["miss", "broken"])]


def offered(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the peers of a loss that are unsupported in all its checks: they were not measured beside it."""
    ran = (table["outcome"] != "unsupported").groupby([table["loss"], table["who"]]).transform("any")
    return table[ran | (table["implementation"] == OURS)]


def ill_conditioned(outcome: np.ndarray, ulps: np.ndarray) -> np.ndarray:
    """Tell which checks pass with so many ulps that the condition number of the problem explains them."""
    return np.asarray((outcome == "pass") & (ulps > ILL_CONDITIONED))


@dataclass(frozen=True)
class Tally:
    """How many checks were run, how many of them are outside the budget, and how many gave no result."""

    checks: int
    missed: int
    broken: int

    @property
    def bad(self) -> int:
        """How many did not pass."""
        return self.missed + self.broken


def tally(table: pd.DataFrame) -> Tally:
    """Count the checks that were run: of xloss in `tally(ours(table))`, of the others in `tally(peers(table))`."""
    counts = table["outcome"].value_counts()
    passed, missed, broken = (int(counts.get(name, 0)) for name in ("pass", "miss", "broken"))
    return Tally(passed + missed + broken, missed, broken)


@dataclass(frozen=True)
class Headline:
    """The verdict on xloss in one line, what the same budget says of its peers, and whether all is well."""

    well: bool
    text: str
    peers: str


def headline(table: pd.DataFrame) -> Headline:
    """Say that all checks of xloss are within budget, or how many are not; and apart how many of the others."""
    own, others = tally(ours(table)), tally(peers(table))
    if not own.checks:
        text = "Nothing of xloss was checked."
    elif not own.bad:
        text = f"All {count(own.checks)} checks of xloss are within budget."
    else:
        parts = [f"{count(own.missed)} outside the budget"] * bool(own.missed)
        parts += [f"{count(own.broken)} without a result"] * bool(own.broken)
        text = f"{count(own.bad)} of {count(own.checks)} checks of xloss are not within budget: {listed(parts)}."
    line = "No other library was measured beside it."
    if others.checks:
        whose = listed(dict.fromkeys(who.split(" · ")[0] for who in contestants(judged(peers(table)))))
        line = f"By the same measure, {count(others.bad)} of {plural(others.checks, 'check')} of {whose} are not."
    return Headline(bool(own.checks and not own.bad), text, line)


def counts(table: pd.DataFrame) -> list[tuple[str, dict[str, int]]]:
    """Count the checks of each status, by contestant and in all; statuses in the order of the sweep's."""
    statuses = [*STATUSES, *sorted(set(table["status"]).difference(STATUSES))]
    found = pd.crosstab(table["who"], table["status"]) if len(table) else pd.DataFrame()
    rows = []
    for who in contestants(table):
        row = {status: int(found[status][who]) if status in found else 0 for status in statuses}
        rows.append((who, {**row, "all": sum(row.values())}))
    total = {key: sum(row[key] for _, row in rows) for key in [*statuses, "all"]}
    return [*rows, ("all", total)]


def severity(table: pd.DataFrame) -> pd.DataFrame:
    """Sort the worst first: what gave no result, then by the multiple of the budget, then by ulps; ties by case."""
    broken = table["outcome"] == "broken"
    budget = table["budget"].where(~broken, np.inf).fillna(-1.0)
    key = pd.DataFrame({"broken": broken, "budget": budget, "ulp": table["max_ulp"].fillna(-1.0)})
    return table.loc[key.sort_values(["broken", "budget", "ulp"], ascending=False, kind="stable").index]


@dataclass(frozen=True)
class Finding:
    """A group of checks: how many are bad, where, and the worst of them."""

    loss: str
    who: str
    mechanism: str
    regime: str
    status: str
    dtypes: tuple[str, ...]  # of the bad checks, as are the regimes
    regimes: tuple[str, ...]
    bad: int
    checks: int
    max_ulp: float
    budget: float
    reason: str
    case_id: str

    def sentence(self, about: Mapping[str, str]) -> str:
        """Describe the worst check, and where the others are; `about` describes the regimes."""
        what = {"value": "the value", "backward": "the gradient", "": "the check"}.get(self.mechanism, self.mechanism)
        where = f"for inputs of kind {self.regime}"
        where += f" ({about[self.regime]})" if self.regime in about else ""
        more = len(self.regimes) - 1
        among = f"{count(self.bad)} of {plural(self.checks, 'check')} ({listed(self.dtypes)}"
        among += f"; {plural(more, 'other kind')} of inputs too)" if more > 0 else ")"
        if self.status in ("ok", *BAD):
            far = f"up to {times(self.budget)} times what is allowed" if self.budget < np.inf else "beyond any measure"
            return f"{what} is off {where}: {far}, in {among}."
        return f"{what} gives no result {where}: {STATUS_WORDS.get(self.status, self.status)}, in {among}."


#: How checks are grouped to findings: in detail, and one finding per loss and implementation.
DETAILED, BY_LOSS = ("loss", "who", "mechanism", "regime"), ("loss", "who")


def findings(
    table: pd.DataFrame, by: Sequence[str] = DETAILED, bad_only: bool = True, limit: int | None = None
) -> list[Finding]:
    """Find the worst check of each group, the worst group first; groups within budget too unless `bad_only`."""
    by, run = list(by), judged(table)
    missed = bad(run)
    sizes = run.groupby(by).size()
    groups = dict(iter(missed.groupby(by)))
    out = []
    for row in severity(missed if bad_only else run).drop_duplicates(by).head(limit or len(run)).to_dict("records"):
        key = tuple(row[name] for name in by)
        part = groups.get(key, missed.iloc[:0])
        texts = {name: str(row[name]) for name in ("loss", "who", "mechanism", "regime", "status", "reason", "case_id")}
        dtypes, regimes = (
            tuple(dict.fromkeys(part[name] if len(part) else [row[name]])) for name in ("dtype", "regime")
        )
        size, ulps, budget = int(sizes[key]), float(row["max_ulp"]), float(row["budget"])
        out.append(
            Finding(**texts, dtypes=dtypes, regimes=regimes, bad=len(part), checks=size, max_ulp=ulps, budget=budget)
        )
    return out


def nearest(table: pd.DataFrame, limit: int) -> list[Finding]:
    """Find what of xloss comes closest to the budget.

    A 16-bit result that is rounded perfectly has all but used its budget up, which is half an ulp and a hair: such a
    dtype is looked at only where there is no other.
    """
    mine = ours(table)
    wide = mine[~mine["dtype"].isin(HALF)]
    return findings(mine if judged(wide).empty else wide, bad_only=False, limit=limit)


def by_dtype(table: pd.DataFrame, dtypes: Iterable[str]) -> tuple[list[str], list[tuple[str, list[Tally]]]]:
    """List the dtypes that occur, and count everyone's checks in each."""
    run, known = judged(table), list(dtypes)
    there = set(run["dtype"])
    columns = [dtype for dtype in known if dtype in there] + sorted(there.difference(known))
    tallies = {key: tally(part) for key, part in run.groupby(["who", "dtype"])}
    none = Tally(0, 0, 0)
    return columns, [(who, [tallies.get((who, dtype), none) for dtype in columns]) for who in contestants(run)]


def distribution(table: pd.DataFrame, mechanism: str, dtype: str = "float32") -> list[dict[str, Any]]:
    """Collect of everyone the errors of one mechanism in one dtype, and their quantiles over the checks."""
    measured = table["outcome"].isin(["pass", "miss"])
    chosen = table[(table["mechanism"] == mechanism) & (table["dtype"] == dtype) & measured]
    out = []
    for who in contestants(chosen):
        part = chosen[chosen["who"] == who]
        # What cannot be measured is at no finite distance.
        ulps, budget = (part[name].fillna(np.inf).to_numpy(float) for name in ("max_ulp", "budget"))
        ill = ill_conditioned(part["outcome"].to_numpy(), ulps)
        median, p99 = np.quantile(ulps, [0.5, 0.99], method="higher")
        row = {"who": who, "checks": len(part), "ulps": ulps, "budget": budget, "median": median, "p99": p99}
        row |= {"ill": int(ill.sum()), "worst": ulps[~ill].max(initial=0.0)}
        out.append({**row, "one_ulp": float((ulps <= 1).mean()), "worst_budget": budget.max()})
    return out


def mechanisms(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Count xloss's checks and the bad ones, by mechanism and framework, with the worst multiple of the budget."""
    mine = judged(ours(table))
    mine = mine[mine["mechanism"] != ""]
    name = mine["mechanism"].str.replace(r"\(.*\)", "", regex=True)
    out = []
    for mechanism, rows in mine.groupby(name):
        row: dict[str, Any] = {"mechanism": mechanism}
        for framework, part in rows.groupby("framework"):
            row[str(framework)] = {"tally": tally(part), "budget": float(part["budget"].max())}
        out.append(row)
    return out


def unsupported(table: pd.DataFrame) -> list[dict[str, Any]]:
    """List what was not run, by contestant and reason, the most frequent first."""
    rows = table[table["outcome"] == "unsupported"]
    out = []
    for (who, reason), part in rows.groupby(["who", "reason"]):
        out.append({"who": who, "reason": reason, "count": len(part), "losses": sorted(set(part["loss"]))})
    order = {who: place for place, who in enumerate(contestants(table))}
    return sorted(out, key=lambda row: (order[row["who"]], -row["count"], row["reason"]))


def absent(table: pd.DataFrame, losses: Iterable[str], dtypes: Iterable[str], regimes: Iterable[str]) -> list[str]:
    """Say what the whole sweep left out: devices, losses, dtypes and regimes without a row."""
    dtypes, there = list(dtypes), {name: set(table[name]) for name in ("device", "loss", "dtype", "regime")}
    lines = []
    if not any(device.startswith(("cuda", "gpu", "rocm")) for device in there["device"]):
        lines.append(f"Not run on a GPU; devices: {listed(sorted(there['device']))}.")
    for column, plural_, known in (
        ("loss", "losses", losses), ("dtype", "dtypes", dtypes), ("regime", "kinds of inputs", regimes)
    ):  # fmt: skip
        left = [name for name in known if name not in there[column]]
        if left:
            lines.append(f"No check of these {plural_}: {', '.join(left)}.")
    for who in contestants(table):
        asked = set(table["dtype"][table["who"] == who])
        left = [name for name in dtypes if name not in asked and name in there["dtype"]]
        if left:
            lines.append(f"{who} was not asked in {listed(left)}.")
    return lines


def timings(table: pd.DataFrame, environment: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Say how long the sweep took, and sum the time spent inside each contestant."""
    rows = []
    ran = judged(table)
    for who in contestants(ran):
        part = ran[ran["who"] == who]
        inside = float(part["seconds"].sum())
        rows.append(
            {"who": who, "checks": len(part), "seconds": inside, "rate": len(part) / inside if inside else np.nan}
        )
    wall, jobs = environment.get("seconds"), environment.get("jobs")
    if not isinstance(wall, (int, float)) or not wall > 0:
        return "How long the sweep took was not recorded.", rows
    by = f" with {plural(jobs, 'process', 'processes')}" if isinstance(jobs, int) else ""
    return f"The sweep took {seconds(wall)}{by}: {number(len(table) / wall)} checks a second.", rows
