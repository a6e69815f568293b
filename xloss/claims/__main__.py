"""``python -m xloss.claims``: the command by itself."""

import typer

from xloss.claims.command import claims

if __name__ == "__main__":
    typer.run(claims)
