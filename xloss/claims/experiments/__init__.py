"""Measure the claims' numbers: `torch_` and `jax_` hold one function of the same name for each experiment.

The body of a function, with the imports and helpers that it uses, is also the snippet that a reader copies. It
therefore uses the framework and NumPy only, and ends by returning its numbers.
"""
