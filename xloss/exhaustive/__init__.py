"""Accuracy at every input: all float32 numbers, or all pairs of a 16-bit format, through one loss and its gradient.

``python -m xloss.exhaustive`` runs it (`make accuracy`). `problems` is the list, with a float64 formula for each that
is accurate over its whole domain; `tally` counts errors in ulps and keeps the worst; `balls` decides, by the loss's own
`truth`, what float64 cannot; `runner` goes over the inputs in chunks that are resumed, and writes the table.
"""
