"""The comparison of two functions, and its diagnosis: planted faults, healthy pairs."""
