"""The class form of a loss in JAX: an immutable callable that is a pytree, its tensors leaves, its options static."""

from __future__ import annotations

import inspect
from typing import Any, NoReturn

import jax
import numpy as np

from xloss.catalog import Loss
from xloss.modules import signatures
from xloss.ops.arguments import PARTS


class ImmutableLoss:
    """An immutable pytree: `leaves` names its tensors, `static` its options; those that are arrays are leaves."""

    leaves: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    # Which options are leaves; kept where `tree.map` puts other things in the place of arrays.
    _learned: tuple[str, ...] = ()

    def __init_subclass__(cls) -> None:
        jax.tree_util.register_pytree_with_keys(cls, cls._flatten, cls._unflatten)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _flatten(self) -> Any:
        learned = self._learned or tuple(name for name in self.static if isinstance(getattr(self, name), jax.Array))
        children = tuple((jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in self.leaves + learned)
        return children, (learned, tuple((name, getattr(self, name)) for name in self.static if name not in learned))

    @classmethod
    def _unflatten(cls, static: Any, leaves: Any) -> Any:
        self = object.__new__(cls)
        learned, options = static
        self._set(_learned=learned, **dict(options), **dict(zip(cls.leaves + learned, leaves, strict=True)))
        return self

    def __setattr__(self, name: str, *_: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable; make another with the {name} that you want")

    __delattr__ = __setattr__

    def __reduce__(self) -> Any:
        children, static = self._flatten()
        return type(self)._unflatten, (static, tuple(leaf for _, leaf in children))

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={signatures.shown(getattr(self, name))}" for name in self.static)
        return f"{type(self).__name__}({options})"


def make(loss: Loss, name: str) -> type:
    """Return the class of a loss."""
    options = signatures.options_of(loss, "jax")
    names = [option.name for option in options]
    tensors = signatures.tensors_of(loss)
    static = [option for option in names if option not in tensors]

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        self._set(**signatures.bind(loss, name, args, kwargs))

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        return loss.jax(*args, **kwargs, **{option: getattr(self, option) for option in names})

    def __xloss_parts__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
        given = {option: getattr(self, option) for option in names} | {"reduction": PARTS}
        return loss.jax(*args, **kwargs, **given)

    def __repr__(self: Any) -> str:  # noqa: N807
        return f"{name}({', '.join(f'{option}={signatures.shown(getattr(self, option))}' for option in names)})"

    def __eq__(self: Any, other: Any) -> bool:  # noqa: N807
        return type(other) is type(self) and all(same(getattr(self, o), getattr(other, o)) for o in names)

    def __hash__(self: Any) -> int:  # noqa: N807
        if any(getattr(self, option) is not None for option in tensors):
            raise TypeError(f"{name} with a {' or '.join(tensors)} cannot be hashed: pass it as an argument instead")
        return hash((name, *(getattr(self, option) for option in static)))

    signature = inspect.Signature(options)
    body = {
        "leaves": tuple(tensors),
        "static": tuple(static),
        "__init__": __init__,
        "__call__": __call__,
        "__xloss__": loss.name,
        "__xloss_parts__": __xloss_parts__,
        "__repr__": __repr__,
        "__eq__": __eq__,
        "__hash__": __hash__,
        "__doc__": signatures.document(loss, name, signature),
        "__signature__": signature,
    }
    return type(name, (ImmutableLoss,), body)


def same(a: Any, b: Any) -> bool:
    """Return whether two options, tensors perhaps, are equal."""
    if a is None or b is None or not (hasattr(a, "shape") or hasattr(b, "shape")):
        return bool(a == b)
    return np.shape(a) == np.shape(b) and bool(np.array_equal(a, b))
