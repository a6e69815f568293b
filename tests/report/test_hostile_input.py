"""What a report reads is checked, what it writes is clean: schema, statuses, one run, escapes, policy, file errors."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from xloss.cli.app import app
from xloss.cli.sweep_results import keep
from xloss.parity.sweep import COLUMNS


def row(**changes: Any) -> dict[str, Any]:
    base = dict.fromkeys(COLUMNS, "") | {
        "loss": "mse_loss", "variant": "default", "mechanism": "value", "reduction": "none", "dtype": "float32",
        "device": "cpu", "regime": "typical", "shape": "6x3", "framework": "torch", "implementation": "xloss",
        "status": "ok", "max_abs": 0.0, "max_rel": 0.0, "max_ulp": 0.5, "p99_ulp": 0.5, "budget": 0.1, "seconds": 0.1,
        "case_id": "mse_loss:default:6x3:typical:float32:cpu:0#x",
    }  # fmt: skip
    return base | changes


def kept(folder: Path, *rows: dict[str, Any], **facts: Any) -> Path:
    keep(pd.DataFrame(list(rows), columns=COLUMNS), {"seconds": 1.0, "cells": 1, "cpu": "a", **facts}, folder)
    return folder


def report(folder: Path) -> Any:
    return CliRunner().invoke(app, ["report", str(folder), "--no-claims"])


def refused(folder: Path, *words: str) -> None:
    done = report(folder)
    assert done.exit_code == 2, done.output
    assert not list(folder.glob("*.html"))
    for word in words:
        assert word in done.stderr


def test_a_right_one_is_written(tmp_path: Path) -> None:
    assert report(kept(tmp_path, row())).exit_code == 0


def test_the_facts_of_another_run_are_refused(tmp_path: Path) -> None:
    kept(tmp_path / "a", row())
    kept(tmp_path / "b", row(max_ulp=0.6))
    other = (tmp_path / "b" / "data" / "parity.json").read_bytes()
    (tmp_path / "a" / "data" / "parity.json").write_bytes(other)
    refused(tmp_path / "a", "parity.parquet", "not the table of the run")
    facts = json.loads(other)
    del facts["table_sha256"]
    facts["counts"] = [{"implementation": "xloss", "framework": "torch", "status": "ok", "checks": 2}]
    (tmp_path / "a" / "data" / "parity.json").write_text(json.dumps(facts))
    refused(tmp_path / "a", "not the table of the run")


def test_tables_that_no_sweep_writes_are_refused(tmp_path: Path) -> None:
    refused(kept(tmp_path / "status", row(status="fine")), "unknown status 'fine'", "parity.parquet")
    refused(kept(tmp_path / "empty"), "is empty")
    refused(kept(tmp_path / "text", row(max_ulp="much")), "max_ulp", "numbers are expected")
    refused(kept(tmp_path / "null", row(loss=None)), "loss", "text is expected")
    lacking = kept(tmp_path / "lacking", row())
    pd.DataFrame([row()]).drop(columns="budget").to_parquet(lacking / "data" / "parity.parquet")
    refused(lacking, "lacks budget")


@pytest.mark.parametrize("name", ["parity.parquet", "parity.json"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b"[" * 100_000])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (kept(tmp_path, row()) / "data" / name).write_bytes(content)
    refused(tmp_path, name)


def test_what_cannot_be_written_is_named_and_nothing_is_half_written(tmp_path: Path) -> None:
    folder = kept(tmp_path, row())
    (folder / "parity.md").mkdir()
    done = report(folder)
    assert done.exit_code == 3
    assert "parity.md: cannot be written" in done.stderr
    assert not list(folder.glob(".*"))


HOSTILE = "\x1b[31mred\x1b]8;;http://x\x07link\x9b0m\u202e\x08<script>alert(1)</script> | `b` [c](javascript:d)"


def test_escape_sequences_and_markup_reach_no_page(tmp_path: Path) -> None:
    texts = dict.fromkeys(("reason", "case_id", "mechanism", "regime", "loss", "implementation", "dtype"), HOSTILE)
    rows = [
        row(),
        row(**texts, status="inaccurate", budget=3.0),
        row(**texts | {"implementation": "xloss"}, status="error"),
    ]
    assert report(kept(tmp_path, *rows, cpu=HOSTILE, versions={HOSTILE: HOSTILE})).exit_code == 0
    for name in ("index.html", "parity.md"):
        text = (tmp_path / name).read_text("utf-8")
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text), name
        assert "red" in text
        outside = re.sub(r"(?<!\\)`[^`]*`", "", text) if name.endswith(".md") else text
        assert not re.search(r"(?<!\\)<script", outside)
        assert not re.search(r"(?<!\\)\]\(javascript", outside) or name == "index.html"


class Policy(HTMLParser):
    """The policy of a page, and what it must allow."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.policy, self.styles, self.forbidden, self.inside = "", [], [], False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"] or ""
        self.inside = tag == "style"
        self.forbidden += [f"{tag} {name}" for name in values if name.startswith("on") or name in ("style", "src")]
        self.forbidden += [tag] * (tag in ("script", "img", "image", "iframe", "link", "form", "base", "object"))

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.styles.append(data)
            self.inside = False


def test_the_page_satisfies_its_policy(tmp_path: Path) -> None:
    report(kept(tmp_path, row(), row(mechanism="backward")))
    page = Policy((tmp_path / "index.html").read_text("utf-8"))
    assert page.policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in page.policy
    assert not page.forbidden
    assert len(page.styles) > 1, "the page's and the figures'"
    for style in page.styles:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in page.policy
    assert Policy('<p onclick="x" style="y"><script>').forbidden == ["p onclick", "p style", "script"]
