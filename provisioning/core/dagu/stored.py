"""The declared model as plain JSON values and back: how steps travel in a workflow, and documents with a run.

Only what is not as by default is written. A text is `[raw, line, column]`; what a step does has its kind beside its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from provisioning.core.dagu import declared, doing
from provisioning.core.dagu.doing import Doing, Text

T = TypeVar("T")
KIND = "kind"
_DOINGS: Mapping[str, type] = {one.__name__.removesuffix("Doing").lower(): one for one in get_args(Doing)}
_KINDS = {type_: kind for kind, type_ in _DOINGS.items()}
_NAMES = {**vars(doing), **vars(declared)}


def to_plain(value: object) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Return any value of the declared model as JSON values."""
    if isinstance(value, Text):
        return [value.raw, value.line, value.column]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(one) for key, one in value.items()}
    if isinstance(value, tuple | frozenset):
        return [to_plain(one) for one in (sorted(value) if isinstance(value, frozenset) else value)]
    if not is_dataclass(value):
        return value
    written = {name: to_plain(one) for name, default in _defaults(value.__class__) if (one := getattr(value, name)) != default}
    return {KIND: _KINDS[type(value)], **written} if type(value) in _KINDS else written


def from_plain(value: object, type_: type[T]) -> T:
    """Return the record that `to_plain` has written. What it has not written raises whatever comes."""
    made: T = _reader(cast("Any", type_))(value)
    return made


@cache
def _defaults(type_: Any) -> tuple[tuple[str, object], ...]:  # noqa: ANN401 - a dataclass
    return tuple(
        (one.name, one.default_factory() if one.default_factory is not MISSING else one.default) for one in fields(type_)
    )


_Reader = Callable[[Any], Any]


@cache
def _reader(type_: Any) -> _Reader:  # noqa: ANN401 - an annotation
    """Return what reads values of an annotated type."""
    if type_ is Text:
        return lambda value: Text(raw=value[0], line=value[1], column=value[2])
    if get_origin(type_) in {Union, UnionType}:
        return _union(get_args(type_))
    if isinstance(type_, type) and is_dataclass(type_):
        return _record(type_)
    if isinstance(type_, type) and issubclass(type_, Enum):
        return type_
    return _collection(get_origin(type_), get_args(type_))


def _collection(origin: Any, args: tuple[Any, ...]) -> _Reader:  # noqa: ANN401 - an annotation
    if origin in {tuple, frozenset}:
        return lambda value: origin(map(_reader(args[0]), value))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda value: MappingProxyType({_reader(args[0])(key): _reader(args[1])(one) for key, one in value.items()})
    return lambda value: value


def _union(args: tuple[Any, ...]) -> _Reader:
    if set(args) & set(_KINDS):
        return lambda value: _reader(_DOINGS[value[KIND]])(value)
    inner = [one for one in args if one not in {NoneType, int}]
    read = _reader(inner[0]) if inner else lambda value: value
    return lambda value: value if value is None or isinstance(value, int) else read(value)


def _record(type_: type) -> _Reader:
    hints: dict[str, Any] = {}

    def read(value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the record
        if not hints:  # not before: records hold records of their own type
            hints.update(get_type_hints(type_, None, _NAMES))
        return type_(**{name: _reader(hints[name])(one) for name, one in value.items() if name != KIND})

    return read
