"""The class form of a loss in PyTorch: an `nn.Module` whose tensors are buffers."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from xloss.catalog import Loss
from xloss.modules import signatures
from xloss.ops.arguments import PARTS


def make(loss: Loss, name: str) -> type[torch.nn.Module]:
    """Return the module class of a loss."""
    options = signatures.options_of(loss)
    names = [option.name for option in options]
    tensors = signatures.tensors_of(loss)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        given = signatures.bind(loss, name, args, kwargs)
        torch.nn.Module.__init__(self)
        for option, value in given.items():
            # Class weights move with the module, and are saved with it, as in torch.nn.
            if option in tensors:
                self.register_buffer(option, value)
            else:
                setattr(self, option, value)

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return loss.torch(*args, **kwargs, **{option: getattr(self, option) for option in names})

    def __xloss_parts__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        given = {option: getattr(self, option) for option in names} | {"reduction": PARTS}
        return loss.torch(*args, **kwargs, **given)

    def extra_repr(self: Any) -> str:
        return ", ".join(f"{option}={signatures.shown(getattr(self, option))}" for option in names)

    signature = inspect.Signature(options)
    __init__.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY), *options]
    )
    body = {
        "__init__": __init__,
        "__doc__": signatures.document(loss, name, signature),
        "__signature__": signature,
        "forward": forward,
        "__xloss__": loss.name,
        "__xloss_parts__": __xloss_parts__,
        "extra_repr": extra_repr,
    }
    return type(name, (torch.nn.Module,), body)
