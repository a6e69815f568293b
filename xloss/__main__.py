"""`python -m xloss` is `xloss`."""

from xloss.cli import main

main()
