"""One file a loss, whole. A file here with a `LOSS` in it is all it takes to add one."""
