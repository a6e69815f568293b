"""The code that measures: for each claim one function in PyTorch and its twin in JAX, side by side.

The body of such a function is also the snippet that a reader copies into a file. It therefore imports what it needs
(only the framework and NumPy), uses nothing from outside itself, and ends with the numbers it returns.
"""
