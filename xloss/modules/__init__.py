"""Public names of `xloss.torch` and `xloss.jax`: the losses as functions, and as classes made from the catalogue.

`CrossEntropyLoss(ignore_index=0)(input, target)` is the class form of `cross_entropy`, with torch.nn's names and
constructor arguments (see `xloss.catalog.ClassForm`). `torch.py` makes an `nn.Module` of a loss, `jax.py` an immutable
callable that is a pytree; `parametric_torch.py` and `parametric_jax.py` hold the classes that own parameters;
`stubs.py` writes all of it down for type checkers.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from xloss.catalog import LOSSES, Loss

Parameter = inspect.Parameter


def names() -> list[str]:
    """Return the public names of `xloss.torch` and `xloss.jax`: functions, then classes."""
    return [*LOSSES, *by_class()]


def attribute(framework: str, name: str) -> object:
    """Return the loss `name` in `framework`, as a function or as a class; `AttributeError` as a module raises it."""
    if name in LOSSES:
        return getattr(LOSSES[name], framework)
    if name in by_class():
        return class_of(framework, name)
    raise AttributeError(f"module 'xloss.{framework}' has no attribute {name!r}")


def class_name(loss: Loss) -> str:
    """Return torch.nn's name; where it has none, the name of the loss in capitals."""
    return loss.class_form.name or "".join(part.capitalize() for part in loss.name.split("_"))


@functools.cache
def by_class() -> Mapping[str, Loss]:
    """Return the losses by the names of their classes."""
    return {class_name(loss): loss for loss in LOSSES.values()}


@functools.cache
def class_of(framework: str, name: str) -> type:
    """Return the class of that name in `framework`, "torch" or "jax"; `KeyError` for another name."""
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


class _Annotation(str):
    """An annotation as it is written in the source, which `str` of a signature prints without quotes."""

    def __repr__(self) -> str:
        return str(self)


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of `function`; its annotations are strings that print without quotes."""

    def written(annotation: Any) -> Any:
        return _Annotation(annotation) if isinstance(annotation, str) else annotation

    signature = inspect.signature(function)
    parameters = [p.replace(annotation=written(p.annotation)) for p in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=written(signature.return_annotation))


def signature_text(function: Callable[..., Any]) -> str:
    """Return "(input: Tensor, reduction: Reduction = 'mean') -> Tensor"."""
    return str(signature_of(function))


def options_of(loss: Loss, framework: str = "torch") -> list[Parameter]:
    """Return what the constructor takes: the optional arguments of the loss but for those of the call."""
    kept = [
        parameter
        for parameter in signature_of(getattr(loss, framework)).parameters.values()
        if parameter.default is not Parameter.empty and parameter.name not in loss.class_form.call
    ]
    keyword_only = loss.class_form.keyword_only
    return [parameter.replace(kind=Parameter.KEYWORD_ONLY) if keyword_only else parameter for parameter in kept]


def tensors_of(loss: Loss) -> list[str]:
    """Return the names of the constructor's options that are tensors: weights that may be left out."""
    return [option.name for option in options_of(loss) if option.name in loss.arguments.weights]


def bind(loss: Loss, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments by name, defaults filled in; `TypeError`, as Python has it, for others."""
    try:
        bound = inspect.Signature(options_of(loss)).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    bound.apply_defaults()
    return dict(bound.arguments)


def call_signature(loss: Loss, framework: str = "torch") -> inspect.Signature:
    """Return what a call takes, the arguments of the loss that the constructor does not, and what it gives."""
    taken = {parameter.name for parameter in options_of(loss)}
    signature = signature_of(getattr(loss, framework))
    return signature.replace(
        parameters=[
            parameter.replace(kind=Parameter.POSITIONAL_OR_KEYWORD)
            for parameter in signature.parameters.values()
            if parameter.name not in taken
        ]
    )


def document(loss: Loss, name: str, signature: inspect.Signature) -> str:
    """Return the documentation of the class: how it is called, then that of the loss."""
    tensors = ", ".join(call_signature(loss).parameters)
    return f"{name}{signature}({tensors}): the class form of `{loss.name}`.\n\n{loss.torch.__doc__ or ''}"


def shown(value: Any) -> str:
    """Return an option as a `repr` shows it: a tensor by its dtype and shape."""
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"<{str(value.dtype).removeprefix('torch.')}{list(shape)}>"
