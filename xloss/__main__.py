"""`python -m xloss` is `xloss`."""

from xloss.cli.app import main

main()
