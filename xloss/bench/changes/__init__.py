"""Find which commit, or which release of a framework, made something slower, larger or less accurate.

`series` takes the histories out of the table of `xloss.bench.asv.results`, `steps` finds where one changes, `judging`
judges them all together. ``python -m xloss.bench.changes`` prints what it finds. `recall` measures how much of what
there is is found, and how much of what is found there is.
"""

from xloss.bench.changes.judging import Change, Found, find

__all__ = ["Change", "Found", "find"]
