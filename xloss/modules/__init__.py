"""The class forms that code is written with: `CrossEntropyLoss(ignore_index=0)(input, target)`.

Generated from the catalogue, one class a loss and framework: torch.nn's names and constructor arguments (see
`xloss.catalog.Form`). `torch_.py` makes an `nn.Module` of a loss, `jax_.py` an immutable callable that is a pytree.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from xloss.catalog import LOSSES, Loss

Parameter = inspect.Parameter


def class_name(loss: Loss) -> str:
    """torch.nn's name; without one, the name of the loss in capitals."""
    return loss.class_form.name or "".join(part.capitalize() for part in loss.name.split("_"))


@functools.cache
def by_class() -> Mapping[str, Loss]:
    """The losses by the names of their classes."""
    return {class_name(loss): loss for loss in LOSSES.values()}


@functools.cache
def find(framework: str, name: str) -> type:
    """The class of that name in `framework`, "torch" or "jax"; `KeyError` for another name."""
    loss = by_class()[name]
    own = getattr(loss.class_form, framework)
    if own is not None:
        made: type = own()
    elif framework == "torch":
        from xloss.modules import torch as torch_

        made = torch_.make(loss, name)
    else:
        from xloss.modules import jax as jax_

        made = jax_.make(loss, name)
    made.__name__ = made.__qualname__ = name
    made.__module__ = f"xloss.{framework}"
    return made


def options_of(loss: Loss) -> list[Parameter]:
    """What the constructor takes: the optional arguments of the loss, but for those of the call."""
    kept = [
        parameter
        for parameter in inspect.signature(loss.torch).parameters.values()
        if parameter.default is not Parameter.empty and parameter.name not in loss.class_form.call
    ]
    keyword_only = loss.class_form.keyword_only
    return [parameter.replace(kind=Parameter.KEYWORD_ONLY) if keyword_only else parameter for parameter in kept]


def tensors_of(loss: Loss) -> list[str]:
    """Those of the constructor's options that are tensors: weights that may be left out."""
    return [option.name for option in options_of(loss) if option.default is None and "weight" in option.name]


def bind(loss: Loss, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's arguments by name, defaults filled in; `TypeError`, as Python has it, for others."""
    try:
        bound = inspect.Signature(options_of(loss)).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    bound.apply_defaults()
    return dict(bound.arguments)


def call_signature(loss: Loss) -> inspect.Signature:
    """What a call takes: the arguments of the loss that the constructor does not."""
    taken = {parameter.name for parameter in options_of(loss)}
    return inspect.Signature(
        [
            parameter.replace(kind=Parameter.POSITIONAL_OR_KEYWORD)
            for parameter in inspect.signature(loss.torch).parameters.values()
            if parameter.name not in taken
        ]
    )


def document(loss: Loss, name: str, signature: inspect.Signature) -> str:
    """The class's documentation: how it is called, then the loss's own."""
    tensors = ", ".join(call_signature(loss).parameters)
    return f"{name}{signature}({tensors}): the class form of `{loss.name}`.\n\n{loss.torch.__doc__ or ''}"


def shown(value: Any) -> str:
    """An option as a `repr` shows it: a tensor by its shape."""
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"<{str(value.dtype).removeprefix('torch.')}{list(shape)}>"
