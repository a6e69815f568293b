"""Planted faults (mutants) of the losses, and a runner that tells which a sweep sees: `python -m tests.mutants`.

A mutant is a loss with one fault, in one framework, often in a rare context only. `catalogue` lists them, `model`
puts one into the catalogue of a process, `run` sweeps them in worker processes, `results.json` holds what was last
found, and `survivors` says why some are not seen.
"""
