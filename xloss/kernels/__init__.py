"""Kernels for accelerators, taken where a loss is called with `backend=`: Triton's in PyTorch, Pallas's in JAX.

`triton_kernels.py` and `pallas_kernels.py` hold the kernels, of rows of logits; `torch.py` and `jax.py` the losses of
logits, `linear_torch.py` and `linear_jax.py` those of a linear map; `plan.py` compiles them for a card that need not be
there. Nothing of it is imported by a call without `backend=`.
"""
