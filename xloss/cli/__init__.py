"""The commands of `xloss`; each imports what it works with when it is called, so that `--help` answers at once."""
