"""Run tests and sweep on each stack that xloss names: ``nox -s lowest``, or ``make stacks`` for all of them.

A stack is a version of Python and a lock file. Each run puts its row into ``xloss/stacks.json``, which the report shows
and ``xloss doctor`` reads; ``nox -s lowest -- tests/losses`` runs these tests only and records nothing. Builds of
PyTorch for CUDA run on a CPU, but take some 5 GB each, below ``.nox/``.
"""

from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|virtualenv"
#: Python and lock of each stack; `make locks` writes those below stacks/ anew.
STACKS = {
    "lowest": ("3.11", "stacks/lowest.lock"),
    "middle": ("3.12", "stacks/middle.lock"),
    "lock": ("3.11", "requirements.lock"),
    "newest": ("3.13", "stacks/newest.lock"),
}


def run(session: nox.Session, name: str) -> None:
    """Install a stack, run the tests and the default float32 sweep on it, and record what they found."""
    session.install("-r", STACKS[name][1])
    session.install("--no-deps", "--editable", ".")
    tests = ("pytest", "-n", "auto", "--dist", "loadfile")
    if session.posargs:
        session.run(*tests, *session.posargs)
        return
    folder = Path(session.create_tmp())  # kept until the next run, for the tests that failed to be run again
    junit, sweep = folder / "tests.xml", folder / "sweep"
    session.run(*tests, f"--junitxml={junit}", success_codes=[0, 1])
    session.run("xloss", "parity", "--dtype", "float32", "--out", str(sweep), success_codes=[0, 1])
    session.run("python", "-m", "xloss.report.stacks", name, "--tests", str(junit), "--sweep", str(sweep))


for _name, (_python, _) in STACKS.items():
    nox.session(lambda session, name=_name: run(session, name), name=_name, python=_python)
