"""Signatures of the class forms: which arguments of a loss are the constructor's and which the call's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from xloss.catalog import Loss

Parameter = inspect.Parameter


def class_name(loss: Loss) -> str:
    """Return torch.nn's name; where it has none, the name of the loss in capitals."""
    return loss.class_form.name or "".join(part.capitalize() for part in loss.name.split("_"))


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
