"""A plugin for asv: the environment "given", the Python that asv runs in, with its versions recorded.

asv's own "existing" saves nothing without `--set-commit-hash` and records no versions, so that results of another torch
would be taken for the same. This one reads the installed versions, which become part of the environment's name, and
refuses any commit but the one checked out, for that is what is installed. `asv.given.conf.json` names it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from asv import environment, util

from xloss.bench.asv import labels
from xloss.catalog import FRAMEWORKS


class Given(environment.Environment):
    """The running Python as an environment of the framework that `XLOSS_FRAMEWORK` names."""

    tool_name = "given"
    matches_python_fallback = False

    def __init__(self, conf: Any, python: str, requirements: dict[str, str], tagged: dict[tuple[str, str], str]):
        variables = {key: value for (_, key), value in tagged.items()}
        name = variables.get("XLOSS_FRAMEWORK", "")
        found = labels.versions(name) if name in FRAMEWORKS else {}
        if name not in found:
            raise environment.EnvironmentUnavailable(f"{name or 'no framework'} is not installed in {sys.executable}")
        self._executable = sys.executable
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        # asv's constructor reads these before it sets them.
        self._python, self._requirements = python, {**requirements, **found}
        super().__init__(conf, python, self._requirements, tagged)
        self._global_env_vars.pop("ASV_ENV_DIR")  # there is no folder with a label of asv's

    def check_presence(self) -> bool:
        """Tell that it is there: it runs this."""
        return True

    def create(self) -> None:
        """Do nothing: it is there."""

    @property
    def installed_commit_hash(self) -> str | None:
        """None, so that `install_project` is called each time."""
        return None

    def install_project(self, conf: Any, repo: Any, commit_hash: str) -> None:  # noqa: ARG002 - asv's signature
        """Refuse a commit that is not the one checked out; install nothing."""
        here = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
        if commit_hash != here:
            raise util.UserError(
                f"a given environment measures what is checked out, {here[:8]}, not {commit_hash[:8]}: "
                "run `asv run 'HEAD^!'`"
            )

    def run(self, args: list[str], **kwargs: Any) -> Any:
        """Run the given Python."""
        variables = {**kwargs.pop("env", os.environ), **self._global_env_vars, **self.env_vars}
        variables["ASV_PYTHONPATH"] = str(Path.cwd())  # what is checked out, installed or not; asv drops PYTHONPATH
        return util.check_output([self._executable, *args], env=variables, **kwargs)
