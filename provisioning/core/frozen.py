"""Frozen dataclasses that are made in a fifth of the time.

`@dataclass(frozen=True)` writes and compiles six methods for every class, and a command that runs a DAG has two hundred: that
was a quarter of what starting it took. Here each class has its own `__init__`, and all share the rest. That nobody assigns to
a field is seen by the type checker, for which this is the standard decorator, and not once more at run time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls: type | None = None, /, *, frozen: bool = False, slots: bool = False, kw_only: bool = False) -> object:
        """As `dataclasses.dataclass`."""

        def make(cls: type) -> type:
            if not frozen:
                return dataclasses.dataclass(cls, slots=slots, kw_only=kw_only)
            return _with_shared(dataclasses.dataclass(cls, slots=slots, kw_only=kw_only, eq=False, repr=False))

        return make if cls is None else make(cls)


def _with_shared(made: type[T]) -> type[T]:
    """Give a class the methods that all have in common."""
    fields = dataclasses.fields(made)  # type: ignore[arg-type]
    values = _getter([field.name for field in fields if field.compare])
    shown = [field.name for field in fields if field.repr]

    def __eq__(self: T, other: object) -> bool:  # noqa: N807 - it becomes that method
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: T) -> int:  # noqa: N807
        return hash(values(self))

    def __repr__(self: T) -> str:  # noqa: N807
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    for method in (__eq__, __hash__, __repr__):
        if method.__name__ not in vars(made):
            setattr(made, method.__name__, method)
    return made


def _getter(names: list[str]) -> Callable[[object], object]:
    """Return what gets the values of these fields, as something to compare."""
    return attrgetter(*names) if names else lambda _self: ()


__all__ = ["dataclass"]
