"""Show what was proven of accelerators without one, read from ``accelerator/*.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xloss.report.format import plain
from xloss.report.source import read_made

FOLDER = Path("accelerator")
HINT = "python -m xloss.gpu.{name}"


def read(source: Path) -> dict[str, Any]:
    """Read what ``make proofs`` wrote, by name; what is not there is left out."""
    readers = {"fake": _fake, "lowering": _lowering, "noise": _noise}
    found = {
        name: read_made(source / FOLDER / f"{name}.json", HINT.format(name=name), reader)
        for name, reader in readers.items()
    }
    return {name: one for name, one in found.items() if one}


def _fake(found: Mapping[str, Any]) -> dict[str, Any]:
    raised = [{"loss": plain(name), "said": "; ".join(f"{plain(one)}: {plain(said)}" for one, said in of.items())}
              for name, of in sorted(found["raised"].items())]  # fmt: skip
    losses = int(found["losses"])
    return {"losses": losses, "clean": losses - len(raised), "raised": raised,
            "mechanisms": ", ".join(map(plain, found["mechanisms"])), "torch": plain(str(found["torch"]))}  # fmt: skip


def _lowering(found: Mapping[str, Any]) -> dict[str, Any]:
    rows = [{name: plain(str(row[name])) for name in ("loss", "derivative", "platform", "reason")}
            for row in found["results"]]  # fmt: skip
    if not rows:
        raise ValueError("expected results, got none")
    bad = [row for row in rows if row["reason"]]
    failed = {row["loss"] for row in bad}
    losses = {row["loss"] for row in rows}
    return {"losses": len(losses), "clean": len(losses - failed), "programs": len(rows), "bad": bad,
            "platforms": ", ".join(dict.fromkeys(row["platform"] for row in rows)),
            "derivatives": ", ".join(dict.fromkeys(row["derivative"] for row in rows)),
            "versions": ", ".join(f"{plain(k)} {plain(str(v))}" for k, v in found["versions"].items())}  # fmt: skip


def _noise(found: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        {"loss": plain(row["loss"]), "quiet": float(row["quiet"]), "noisy": float(row["noisy"]),
         "lost": "; ".join(map(plain, row["lost"])), "where": plain(row.get("where", ""))}
        for row in found["results"]
    ]  # fmt: skip
    if not rows:
        raise ValueError("expected results, got none")
    rows.sort(key=lambda row: -float(str(row["noisy"])))
    beyond = [row for row in rows if float(str(row["noisy"])) > 1 or row["lost"]]
    return {"losses": len(rows), "beyond": len(beyond), "seeds": int(found["seeds"]), "worst": rows[0],
            "rows": rows[: max(10, len(beyond))], "torch": plain(str(found["torch"])),
            "functions": ", ".join(map(plain, found["functions"]))}  # fmt: skip


def html(found: dict[str, Any]) -> str:
    """Return a ``<section>`` for the report's page; nothing where nothing was read."""
    from xloss.report import pages

    return pages.render("accelerator.html", **{"fake": None, "lowering": None, "noise": None, **found}) if found else ""
