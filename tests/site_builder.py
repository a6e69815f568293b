"""What the tests of the site share: a folder of reports of little data, figures that cost nothing, a built site."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from xloss.cli.sweep_results import keep
from xloss.parity.sweep import COLUMNS
from xloss.site import figures

ROOT = Path(__file__).resolve().parents[1]
#: What is committed and small; asv's history takes seconds to read, and has tests of its own.
SMALL = ("gallery.json", "gallery.md", "mutants.json", "invariance.json", "claims.md")


def small_reports(folder: Path) -> Path:
    """A folder of reports with what is committed, but for asv's history."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SMALL:
        shutil.copy(ROOT / "reports" / name, folder / name)
    (folder / "accuracy").mkdir(exist_ok=True)
    shutil.copy(ROOT / "reports" / "accuracy" / "exhaustive.json", folder / "accuracy" / "exhaustive.json")
    return folder


def check_row(**changes: object) -> dict[str, object]:
    """A row of a sweep's table."""
    base: dict[str, object] = dict.fromkeys(COLUMNS, "") | {
        "loss": "mse_loss", "variant": "default", "mechanism": "value", "reduction": "none", "dtype": "float32",
        "device": "cpu", "regime": "typical", "shape": "6x3", "framework": "torch", "implementation": "xloss",
        "status": "ok", "max_abs": 0.0, "max_rel": 0.0, "max_ulp": 0.375, "p99_ulp": 0.5, "budget": 0.1,
        "seconds": 0.1, "case_id": "mse_loss:default:6x3:typical:float32:cpu:0#x",
    }  # fmt: skip
    return base | changes


def with_sweep(folder: Path, *rows: dict[str, object]) -> Path:
    """Put a sweep's table into a folder of reports."""
    keep(pd.DataFrame(list(rows), columns=COLUMNS), {"seconds": 1.0, "cells": 1, "cpu": "a"}, folder)
    return folder


def without_figures(patch: pytest.MonkeyPatch) -> None:
    """Replace the figures of a loss, which take most of the time, by empty ones."""
    patch.setattr(figures, "history", lambda panels, title: f'<svg role="img" aria-label="{title}"></svg>')
    patch.setattr(figures, "sizes", lambda lines, copy, title: f'<svg role="img" aria-label="{title}"></svg>')
