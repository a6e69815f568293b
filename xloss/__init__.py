"""Losses and their gradients in PyTorch and JAX: are they the same, right, and fast?

``xloss.torch`` and ``xloss.jax`` hold the losses under the names, arguments and semantics of ``torch.nn.functional``;
``xloss.catalog.LOSSES`` is the list that everything else is derived from; ``xloss.parity.sweep`` judges implementations
by their distance to the exact result. Importing this package imports neither framework.
"""

__version__ = "0.1.0"
