"""The JAX half, as it is often ported: it divides by all tokens, padding included."""

import jax
import jax.numpy as jnp


def token_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the mean cross entropy of the tokens; padding is labelled -100."""
    counted = labels != -100
    log_p = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(log_p, jnp.where(counted, labels, 0)[:, None], axis=1)[:, 0]
    return -(picked * counted).mean()
