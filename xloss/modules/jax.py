"""The class form of a loss in JAX: an immutable callable that is a pytree, its tensors leaves, its options static."""

from __future__ import annotations

import inspect
from typing import Any, NoReturn

import jax
import numpy as np

from xloss import modules
from xloss.catalog import Loss


def make(loss: Loss, name: str) -> type:
    """The class of a loss."""
    options = modules.options_of(loss)
    names = [option.name for option in options]
    tensors = modules.tensors_of(loss)
    static = [option for option in names if option not in tensors]

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        for option, value in modules.bind(loss, name, args, kwargs).items():
            object.__setattr__(self, option, value)

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        return loss.jax(*args, **kwargs, **{option: getattr(self, option) for option in names})

    def __repr__(self: Any) -> str:  # noqa: N807
        return f"{name}({', '.join(f'{option}={modules.shown(getattr(self, option))}' for option in names)})"

    def raise_value_error(self: Any, option: str, *_: Any) -> NoReturn:  # noqa: ARG001
        raise AttributeError(f"{name} is immutable; make another with the {option} that you want")

    def __eq__(self: Any, other: Any) -> bool:  # noqa: N807
        return type(other) is type(self) and all(same(getattr(self, o), getattr(other, o)) for o in names)

    def __hash__(self: Any) -> int:  # noqa: N807
        if any(getattr(self, option) is not None for option in tensors):
            raise TypeError(f"{name} with a {' or '.join(tensors)} cannot be hashed: pass it as an argument instead")
        return hash((name, *(getattr(self, option) for option in static)))

    def flatten(self: Any) -> Any:
        children = tuple((jax.tree_util.GetAttrKey(option), getattr(self, option)) for option in tensors)
        return children, tuple(getattr(self, option) for option in static)

    def unflatten(values: Any, children: Any) -> Any:
        self: Any = object.__new__(made)
        for option, value in (*zip(static, values, strict=True), *zip(tensors, children, strict=True)):
            object.__setattr__(self, option, value)
        return self

    signature = inspect.Signature(options)
    body = {
        "__init__": __init__,
        "__call__": __call__,
        "__repr__": __repr__,
        "__setattr__": raise_value_error,
        "__delattr__": raise_value_error,
        "__eq__": __eq__,
        "__hash__": __hash__,
        "__doc__": modules.document(loss, name, signature),
        "__signature__": signature,
    }
    made = type(name, (), body)
    jax.tree_util.register_pytree_with_keys(made, flatten, unflatten)
    return made


def same(a: Any, b: Any) -> bool:
    """Whether two options, tensors perhaps, are the same."""
    if a is None or b is None or not (hasattr(a, "shape") or hasattr(b, "shape")):
        return bool(a == b)
    return np.shape(a) == np.shape(b) and bool(np.array_equal(a, b))
