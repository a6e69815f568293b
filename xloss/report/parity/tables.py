"""What a table of checks amounts to: pure functions from the rows of the sweep to what the report shows.

Each takes the table that `prepare` made. Nothing here draws or knows of HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from xloss.parity.evaluate import OURS
from xloss.parity.sweep import BAD, STATUSES
from xloss.report.format import count, duration, listed, number, some

#: What everyone is asked for, xloss and its peers alike, by the name of the mechanism.
ASKED: Mapping[str, str] = {"value": "value", "backward": "gradient"}
HALF = ("bfloat16", "float16")
ORDER = ("xloss · torch", "xloss · jax", "torch.nn.functional", "optax", "keras")


def prepare(table: pd.DataFrame) -> pd.DataFrame:
    """The sweep's table with two columns more: `who` was asked, and the `outcome`: pass, miss, broken or unsupported.

    A row passes where its status is ok *and* its budget says so: a row that contradicts itself is a miss, and one whose
    status nobody knows is broken.
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
    """Who was asked, xloss first."""
    names = set(table["who"])
    return [name for name in ORDER if name in names] + sorted(names.difference(ORDER))


def ours(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of xloss's own two implementations."""
    return table[table["implementation"] == OURS]


def peers(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of all others."""
    return table[table["implementation"] != OURS]


@dataclass(frozen=True)
class Headline:
    """The verdict on xloss in one line, what the same ruler says of its peers, and whether all is well."""

    well: bool
    text: str
    peers: str


def headline(table: pd.DataFrame) -> Headline:
    """All checks within budget, or how many are not."""
    mine = ours(table)["outcome"].value_counts()
    asked = int(mine.drop("unsupported", errors="ignore").sum())
    missed, broken = int(mine.get("miss", 0)), int(mine.get("broken", 0))
    if not asked:
        text = "Nothing of xloss was checked."
    elif not missed + broken:
        text = f"All {count(asked)} checks of xloss are within budget."
    else:
        parts = [f"{count(missed)} outside the budget"] * bool(missed) + [f"{count(broken)} broken off"] * bool(broken)
        text = f"{count(missed + broken)} of {count(asked)} checks of xloss are not within budget: {listed(parts)}."
    others = peers(table)
    judged = others[others["outcome"] != "unsupported"]
    bad = judged[judged["outcome"] != "pass"]
    if judged.empty:
        line = "No other library was measured beside it."
    else:
        whose = listed(_names(judged))
        line = f"By the same ruler, {count(len(bad))} of {some(len(judged), 'check')} of {whose} are not."
    return Headline(bool(asked and not missed + broken), text, line)


def _names(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(who.split(" · ")[0] for who in contestants(table)))


def counts(table: pd.DataFrame) -> list[tuple[str, dict[str, int]]]:
    """How many checks of each status, by contestant and in all; statuses in the order of the sweep's."""
    statuses = [*STATUSES, *sorted(set(table["status"]).difference(STATUSES))]
    tally = pd.crosstab(table["who"], table["status"]) if len(table) else pd.DataFrame()
    rows = []
    for who in contestants(table):
        row = {status: int(tally[status][who]) if status in tally else 0 for status in statuses}
        rows.append((who, {**row, "all": sum(row.values())}))
    total = {key: sum(row[key] for _, row in rows) for key in [*statuses, "all"]}
    return [*rows, ("all", total)]


def severity(table: pd.DataFrame) -> pd.DataFrame:
    """The worst first: what broke off, then by the multiple of the budget, then by ulps; ties by case."""
    broken = table["outcome"] == "broken"
    key = pd.DataFrame(
        {
            "budget": table["budget"].where(~broken, np.inf).fillna(-1.0),
            "broken": broken,
            "ulp": table["max_ulp"].fillna(-1.0),
        }
    )
    key = key.sort_values(["broken", "budget", "ulp"], ascending=False, kind="stable")
    return table.loc[key.index]


GROUP = ["loss", "implementation", "framework", "mechanism", "regime"]


@dataclass(frozen=True)
class Finding:
    """Checks of one loss, implementation, mechanism and regime: how many are bad, and the worst of them."""

    loss: str
    who: str
    mechanism: str
    regime: str
    status: str
    dtypes: tuple[str, ...]
    bad: int
    checks: int
    max_ulp: float
    budget: float
    reason: str
    case_id: str


def offenders(table: pd.DataFrame, bad_only: bool, limit: int | None = None) -> list[Finding]:
    """The worst check of each loss, implementation, mechanism and regime; those within budget too unless `bad_only`."""
    judged = table[table["outcome"] != "unsupported"]
    bad = judged[judged["outcome"] != "pass"]
    sizes = judged.groupby(GROUP).size()
    worst = severity(bad if bad_only else judged).drop_duplicates(GROUP)
    found = []
    groups = dict(iter(bad.groupby(GROUP)))
    for row in worst.head(limit if limit is not None else len(worst)).to_dict("records"):
        key = tuple(row[name] for name in GROUP)
        part = groups.get(key, bad.iloc[:0])
        found.append(
            Finding(
                loss=str(row["loss"]),
                who=str(row["who"]),
                mechanism=str(row["mechanism"]),
                regime=str(row["regime"]),
                status=str(row["status"]),
                dtypes=tuple(dict.fromkeys(part["dtype"] if len(part) else [row["dtype"]])),
                bad=len(part),
                checks=int(sizes[key]),
                max_ulp=float(row["max_ulp"]),
                budget=float(row["budget"]),
                reason=str(row["reason"]),
                case_id=str(row["case_id"]),
            )
        )
    return found


def nearest(table: pd.DataFrame, limit: int) -> list[Finding]:
    """Of xloss, what comes closest to the budget.

    A 16-bit result that is rounded perfectly has all but used its budget up, which is half an ulp and a hair: such a
    dtype is looked at only where there is no other.
    """
    mine = ours(table)
    wide = mine[~mine["dtype"].isin(HALF)]
    judged = (wide["outcome"] != "unsupported").any()
    return offenders(wide if judged else mine, bad_only=False, limit=limit)


def by_dtype(table: pd.DataFrame, dtypes: Iterable[str]) -> tuple[list[str], list[tuple[str, list[tuple[int, int]]]]]:
    """The dtypes that occur, and of everyone in each: how many checks are bad, and how many there are."""
    judged = table[table["outcome"] != "unsupported"]
    there = set(judged["dtype"])
    known = [dtype for dtype in dtypes if dtype in there]
    columns = known + sorted(there.difference(known))
    rows = []
    for who in contestants(judged):
        parts = [judged[(judged["who"] == who) & (judged["dtype"] == dtype)] for dtype in columns]
        rows.append((who, [(int((part["outcome"] != "pass").sum()), len(part)) for part in parts]))
    return columns, rows


def distribution(table: pd.DataFrame, mechanism: str, dtype: str = "float32") -> list[dict[str, Any]]:
    """Of everyone: the errors of one mechanism in one dtype, and their quantiles over the checks."""
    chosen = table[
        (table["mechanism"] == mechanism) & (table["dtype"] == dtype) & table["outcome"].isin(["pass", "miss"])
    ]
    out = []
    for who in contestants(chosen):
        part = chosen[chosen["who"] == who]
        # What cannot be measured is at no finite distance.
        ulps, budget = (part[name].fillna(np.inf).to_numpy(float) for name in ("max_ulp", "budget"))
        median, most = np.quantile(ulps, [0.5, 0.99], method="higher")
        row = {"who": who, "checks": len(part), "ulps": ulps, "budget": budget, "median": median, "most": most}
        out.append({**row, "worst": ulps.max(), "within": float((ulps <= 1).mean()), "worst_budget": budget.max()})
    return out


def mechanisms(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Of xloss, by mechanism and framework: how many checks, how many bad, and the worst as a multiple of the budget."""
    mine = ours(table)
    mine = mine[(mine["outcome"] != "unsupported") & (mine["mechanism"] != "")]
    name = mine["mechanism"].str.replace(r"\(.*\)", "", regex=True)
    out = []
    for mechanism, rows in mine.groupby(name):
        row: dict[str, Any] = {"mechanism": mechanism}
        for framework, part in rows.groupby("framework"):
            bad = int((part["outcome"] != "pass").sum())
            row[str(framework)] = {"checks": len(part), "bad": bad, "budget": float(part["budget"].max())}
        out.append(row)
    return out


def unsupported(table: pd.DataFrame) -> list[dict[str, Any]]:
    """What was not run, by contestant and reason, the most frequent first."""
    rows = table[table["outcome"] == "unsupported"]
    out = []
    for (who, reason), part in rows.groupby(["who", "reason"]):
        out.append({"who": who, "reason": reason, "count": len(part), "losses": sorted(set(part["loss"]))})
    order = {who: place for place, who in enumerate(contestants(table))}
    return sorted(out, key=lambda row: (order[row["who"]], -row["count"], row["reason"]))


def absent(table: pd.DataFrame, losses: Iterable[str], dtypes: Iterable[str], regimes: Iterable[str]) -> list[str]:
    """What the whole sweep left out, in sentences: devices, losses, dtypes and regimes without a row."""
    devices = set(table["device"])
    said = []
    if not any(device.startswith(("cuda", "gpu", "rocm")) for device in devices):
        said.append(f"Not run on a GPU: every check here is of the {listed(sorted(devices)) if devices else 'void'}.")
    plural = {"loss": "losses", "dtype": "dtypes", "regime": "kinds of inputs"}
    dtypes = [*dtypes]
    for column, known in (("loss", losses), ("dtype", dtypes), ("regime", regimes)):
        there = set(table[column])
        left = [name for name in known if name not in there]
        if left:
            said.append(f"No check of these {plural[column]}: {', '.join(left)}.")
    for who in contestants(table):
        there = set(table["dtype"][table["who"] == who])
        left = [name for name in dtypes if name not in there and name in set(table["dtype"])]
        if left:
            said.append(f"{who} was not asked in {listed(left)}.")
    return said


def timings(table: pd.DataFrame, environment: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The speed of the sweep in a sentence, and the time spent inside each contestant."""
    rows = []
    ran = table[table["outcome"] != "unsupported"]
    for who in contestants(ran):
        part = ran[ran["who"] == who]
        seconds = float(part["seconds"].sum())
        rate = len(part) / seconds if seconds else np.nan
        rows.append({"who": who, "checks": len(part), "seconds": seconds, "rate": rate})
    wall = _float(environment.get("seconds"))
    sentence = "How long the sweep took was not recorded."
    if wall > 0:
        jobs = environment.get("jobs")
        by = f" with {some(jobs, 'process', 'processes')}" if isinstance(jobs, int) else ""
        sentence = f"The sweep took {duration(wall)}{by}: {number(len(table) / wall)} checks a second."
    return sentence, rows


def _float(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")
