"""What others measured, by shape, so that ours can be measured at the same.

Figures are of the cards and versions that the sources name. They were read, not measured here. A rate is of the bytes
that cross the memory's bus.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A published figure: of whom, of what, at which shape, on which card; None where the source does not say.

    `extra` are the sizes beyond the first argument: the classes of a loss that makes its own logits.
    """

    source: str
    who: str
    loss: str
    shape: tuple[int, ...]
    dtype: str
    quantity: str
    card: str
    seconds: float | None = None
    peak_bytes: float | None = None
    share_of_bandwidth: float | None = None
    extra: tuple[int, ...] = ()


_KERNELBENCH = ("KernelBench", "float32", "value", "H100")


def _linear(source: str, who: str, classes: int, card: str, seconds: float, peak: float) -> Figure:
    """Return a figure of the linear cross entropy of 32768 rows and 4096 features, value and gradient."""
    name, shape, dtype, quantity = "linear_cross_entropy", (32768, 4096), "bfloat16", "value_and_grad"
    return Figure(source, who, name, shape, dtype, quantity, card, seconds, peak, extra=(classes,))


def _kernelbench(loss: str, shape: tuple[int, ...], eager: float, compiled: float) -> tuple[Figure, ...]:
    source, dtype, quantity, card = _KERNELBENCH
    return tuple(
        Figure(source, who, loss, shape, dtype, quantity, card, milliseconds / 1000)
        for who, milliseconds in (("PyTorch eager", eager), ("torch.compile", compiled))
    )


FIGURES = (
    *_kernelbench("mse_loss", (32768, 32768), 8.40, 2.81),
    *_kernelbench("huber_loss", (32768, 32768), 5.66, 2.71),
    *_kernelbench("hinge_loss", (32768, 32768), 10.5, 1.38),
    *_kernelbench("kl_div", (16384, 16384), 3.86, 0.779),
    *_kernelbench("triplet_margin_loss", (32768, 8192), 4.27, 1.06),
    *_kernelbench("cross_entropy", (32768, 4096), 0.477, 0.292),
    Figure("quack", "its kernel", "cross_entropy", (32768, 4096), "bfloat16", "value", "H100",
           share_of_bandwidth=0.9),
    _linear("tokamax, autotuning data", "dense, vjp", 151936, "H100", 0.183, 24.5e9),
    _linear("tokamax, autotuning data", "in chunks, vjp", 151936, "H100", 0.334, 7.4e9),
    _linear("Liger-Kernel", "PyTorch", 128256, "A100", 0.452, 27.6e9),
    _linear("Liger-Kernel", "its kernel", 128256, "A100", 0.511, 5.8e9),
)  # fmt: skip
