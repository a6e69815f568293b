"""Which stacks xloss was run on: the record, what `doctor` and the report say of it, and that the ranges are honest."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from typer.testing import CliRunner

from xloss import environment, stacks
from xloss.cli.app import app
from xloss.report import stacks as section

ROOT = Path(__file__).parents[1]
ROWS = [
    {"stack": "old", "date": "2026-01-02", "python": "3.11.7", "versions": {"torch": "2.6.0", "jax": "0.6.0"},
     "tests": {"passed": 1200, "skipped": 3, "failed": 0}, "checks": {"within": 5, "outside": 0}},
    {"stack": "new", "date": "2026-01-03", "python": "3.13.0", "versions": {"torch": "2.15.0", "jax": "0.12.0"},
     "tests": {"passed": 1201, "skipped": 2, "failed": 1}, "checks": {"within": 4, "outside": 1}},
]  # fmt: skip


@pytest.mark.parametrize(
    ("versions", "python", "words"),
    [
        ({"torch": "2.6.0", "jax": "0.12.0", "optax": "9.0"}, "3.12.1", []),
        ({"torch": "2.13.0+cpu", "jax": None}, "3.13.9", []),
        ({"torch": "2.15.0+cu130"}, "3.11.0", []),
        (
            {"torch": "2.5.1"},
            "3.11.7",
            ["torch 2.5.1 is older than the oldest that"],
        ),
        ({"jax": "0.12.1"}, "3.11.7", ["jax 0.12.1 is newer than the newest that"]),
        ({}, "3.14.0", ["Python 3.14 is newer than the newest that"]),
    ],
)
def test_versions_beyond_those_that_were_run_are_named(versions, python, words):
    found = stacks.outside(versions, python, ROWS)
    assert [line.partition(" xloss was run on ")[0] for line in found] == words
    assert all(re.search(r"\(\d[\d.]* to \d[\d.]*\)$", line) for line in found)


@pytest.mark.parametrize(("version", "told"), [("2.5.0", True), ("99.0", True), (None, False)])
def test_doctor_tells(monkeypatch, version, told):
    installed = environment.versions()
    here = {**ROWS[0], "python": environment.describe()["python"], "versions": installed}
    monkeypatch.setattr(stacks, "read", lambda: [here])
    monkeypatch.setattr(environment, "versions", lambda: {**installed, "torch": version or installed["torch"]})
    out = CliRunner().invoke(app, ["doctor"])
    assert (f"not tested: torch {version} is" in out.stdout) == told
    said = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)["outside"]
    assert any(line.startswith("torch ") for line in said) == told


SUITE = """
import pytest
@pytest.mark.parametrize("n", range(5))
def test_passes(n): pass
def test_skipped(): pytest.skip()
def test_fails(): assert {right}
"""


@pytest.mark.parametrize("right", [True, False])
def test_a_run_is_recorded_in_place_of_an_earlier_one(tmp_path, right):
    suite = tmp_path / "test_suite.py"
    suite.write_text(SUITE.format(right=right))
    command = [sys.executable, "-m", "pytest", "--junitxml=tests.xml", "-p", "no:cacheprovider", suite]
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == int(not right)
    sweep = CliRunner().invoke(
        app, ["parity", "--loss", "l1_loss", "--dtype", "float64", "--regime", "typical", "--framework", "torch",
              "--no-isolation", "--out", str(tmp_path)],
    )  # fmt: skip
    assert sweep.exit_code == 0, sweep.output
    table = tmp_path / "stacks.json"
    table.write_text(json.dumps(ROWS))
    given = ["new", "--tests", str(tmp_path / "tests.xml"), "--sweep", str(tmp_path), "--to", str(table)]
    assert section.main(given) == (0 if right else 1)
    old, new = sorted(stacks.read(table), key=lambda row: row["stack"], reverse=True)
    assert old == ROWS[0]
    assert new["tests"] == {"passed": 5 + right, "skipped": 1, "failed": int(not right)}
    assert new["checks"]["within"] > 10
    assert new["checks"]["outside"] == 0
    assert new["versions"]["torch"] == environment.version("torch")
    assert new["python"].split(".")[:2] == [str(n) for n in sys.version_info[:2]]


def test_a_run_without_a_test_or_a_sweep_is_refused(tmp_path, capsys):
    junit = tmp_path / "tests.xml"
    for text in ("<testsuites/>", "<", '<testsuites><testsuite><testcase name="x"/></testsuite></testsuites>'):
        junit.write_text(text)
        with pytest.raises(SystemExit):
            section.main(["x", "--tests", str(junit), "--sweep", str(tmp_path), "--to", str(tmp_path / "stacks.json")])
    assert "parity.parquet does not exist" in capsys.readouterr().err
    assert not (tmp_path / "stacks.json").exists()


def test_a_test_that_is_run_again_counts_once(tmp_path):
    case = '<testcase classname="t" name="{}">{}</testcase>'
    first = case.format("a", "<failure/>") + case.format("b", "") + case.format("c", "<skipped/>")
    for name, cases in {"first": first, "again": case.format("a", "")}.items():
        (tmp_path / name).write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert section.tests_of(tmp_path / "first") == {"passed": 1, "skipped": 1, "failed": 1}
    assert section.tests_of(tmp_path / "first", tmp_path / "again") == {"passed": 2, "skipped": 1, "failed": 0}


def test_the_report_shows_them(monkeypatch):
    monkeypatch.setattr(stacks, "read", lambda: [{**ROWS[0], "stack": "<b>"}, ROWS[1]])
    html = section.html()
    assert "&lt;b&gt;" in html
    assert "1,201" in html
    assert "4 of 5" in html
    monkeypatch.setattr(stacks, "read", list)
    assert section.html() == ""


def pinned(lock: str) -> dict[str, str]:
    lines = (ROOT / lock).read_text().splitlines()
    return {name.lower().replace("_", "-"): version
            for name, _, version in (line.partition("==") for line in lines if not line.startswith("#"))}  # fmt: skip


def floors() -> dict[str, str]:
    """The lowest versions that `pyproject.toml` admits of what a user installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(one for name in ("torch", "jax", "peers", "report", "bench", "dask")
                                         for one in extras[name])]  # fmt: skip
    found = {}
    for one in map(Requirement, asked):
        (bound,) = one.specifier
        assert bound.operator == ">=", one
        found[one.name.lower().replace("_", "-")] = bound.version
    return found


def test_the_ranges_begin_where_the_tests_ran():
    lowest = pinned("stacks/lowest.lock")
    for name, version in floors().items():
        assert Version(lowest[name]) == Version(version), name


def test_each_stack_was_run_as_it_is_locked():
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    pytest.importorskip("nox")
    noxfile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(noxfile)
    for row in stacks.read():
        python, lock = noxfile.STACKS[row["stack"]]
        lines = pinned(lock)
        assert row["python"].startswith(f"{python}.")
        for package in ("torch", "jax", "numpy"):
            assert row["versions"][package].partition("+")[0] == lines[package], (row["stack"], package)
