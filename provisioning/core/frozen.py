"""Frozen dataclasses that cost nothing until somebody makes one.

`@dataclass(frozen=True)` writes and compiles six methods for every class, and a command that runs a DAG has two hundred: that
was a quarter of what starting it took. Here a class has its slots at once, its `__init__` and its fields when they are first
asked for, which most classes of most commands never are, and all classes share the rest. That nobody assigns to a field is
seen by the type checker, for which this is the standard decorator, and not once more at run time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

_WRITTEN = ("__init__", "__dataclass_fields__", "__dataclass_params__", "__match_args__")  # by the standard decorator
_SHARED = ("__eq__", "__hash__", "__repr__")

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls: type | None = None, /, *, frozen: bool = False, slots: bool = False, kw_only: bool = False) -> object:
        """As `dataclasses.dataclass`."""

        def make(cls: type) -> type:
            if not frozen:
                return dataclasses.dataclass(cls, slots=slots, kw_only=kw_only)
            if slots:
                return _begun(cls, kw_only=kw_only)
            own = [name for name in _SHARED if name not in vars(cls)]
            made = dataclasses.dataclass(cls, kw_only=kw_only, eq=False, repr=False)
            _finish(made, made, own)
            return made

        return make if cls is None else make(cls)


class _Later:
    """Stands for an attribute of a class until it is asked for: then the class is finished."""

    def __init__(self, name: str, finish: Callable[[], type]) -> None:
        self._name, self._finish = name, finish

    def __get__(self, instance: object, owner: type) -> Any:  # noqa: ANN401 - whatever it stands for
        value = vars(self._finish())[self._name]
        return value.__get__(instance, owner) if hasattr(value, "__get__") else value


def _begun(written: type, *, kw_only: bool) -> type:
    """Return the class with slots; what the standard decorator would write into it is written when it is asked for."""
    annotated = vars(written).get("__annotations__", {})
    own = [name for name, kind in annotated.items() if not str(kind).startswith("ClassVar")]
    inherited = {name for base in written.__mro__[1:] for name in getattr(base, "__slots__", ())}
    body = {name: value for name, value in vars(written).items() if name not in {"__dict__", "__weakref__"}}
    names = [*_WRITTEN, *(name for name in _SHARED if name not in body)]

    def finish() -> type:
        # Of a class of its own, for the decorator changes what it is given: two threads may be here at once.
        fresh = type(written)(written.__name__, written.__bases__, dict(body))
        _finish(made, dataclasses.dataclass(fresh, kw_only=kw_only, eq=False, repr=False), names)
        return made

    slotted = {name: value for name, value in body.items() if name not in own}
    slotted["__slots__"] = tuple(name for name in own if name not in inherited)
    later = {name: _Later(name, finish) for name in names}
    made: type = type(written)(written.__name__, written.__bases__, slotted | later)
    made.__qualname__ = written.__qualname__
    return made


def _finish(made: type, standard: type, names: list[str]) -> None:
    """Give a class what it was waiting for: what the standard decorator wrote, and the methods that all have in common."""
    fields = dataclasses.fields(standard)
    values = _getter([field.name for field in fields if field.compare])
    shown = [field.name for field in fields if field.repr]

    def __eq__(self: object, other: object) -> bool:  # noqa: N807 - it becomes that method
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: object) -> int:  # noqa: N807
        return hash(values(self))

    def __repr__(self: object) -> str:  # noqa: N807
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    shared = {method.__name__: method for method in (__eq__, __hash__, __repr__)}
    for name in names:
        setattr(made, name, shared.get(name) or vars(standard)[name])


def _getter(names: list[str]) -> Callable[[object], object]:
    """Return what gets the values of these fields, as something to compare."""
    return attrgetter(*names) if names else lambda _self: ()


__all__ = ["dataclass"]
