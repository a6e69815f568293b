"""`python -m xloss.bench.asv.environments`: asv's options for the newest environment of each framework.

asv names an environment by all of its versions; this saves writing them down a second time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable


def newest(names: Iterable[str]) -> list[str]:
    """Return the first environment of each framework: asv's configuration names the newest first."""
    found: dict[str, str] = {}
    for name in names:
        framework = next((part for part in ("-torch", "-jax") if part in name), "")
        found.setdefault(framework, name)
    return list(found.values())


def main() -> None:
    """Print `-E name` for each."""
    from asv.config import Config
    from asv.environment import get_environments

    conf = Config.load(sys.argv[1] if len(sys.argv) > 1 else None)
    environments = [environment.name for environment in get_environments(conf, None, verbose=False)]
    print(" ".join(f"-E {name}" for name in newest(environments)))  # noqa: T201 - for the shell


if __name__ == "__main__":
    main()
