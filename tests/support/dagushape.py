"""A declared DAG as the JSON of the cases has it: only what is not as by default, texts without their places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Any, get_args

from provisioning.core.dagu.declared import DagFile, Step, Variable
from provisioning.core.dagu.doing import Doing, Item, Pair, Text

_PLACES = {"line", "column"}


def shape(value: Any) -> Any:
    """Return any value of the declared model as JSON."""
    if isinstance(value, Text | Pair | Variable | Item):
        return _text(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {shape(key): shape(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [shape(one) for one in value]
    return _record(value) if is_dataclass(value) else value


def _text(value: Text | Pair | Variable | Item) -> Any:
    if isinstance(value, Text):
        return value.raw
    if isinstance(value, Item):
        return value.text.raw if value.text is not None else dict(shape(value.fields))
    return [value.name, value.value.raw]


def _record(value: Any) -> dict[str, Any]:
    said = {one.name: _doing(getattr(value, one.name)) for one in fields(value) if _is_said(value, one)}
    dropped = {"given", "file", "habits"} if isinstance(value, DagFile) else {"generated"} if isinstance(value, Step) else set()
    return {name: one for name, one in said.items() if name not in dropped | _PLACES}


def _doing(value: Any) -> Any:
    if isinstance(value, get_args(Doing)):
        return {type(value).__name__.removesuffix("Doing").lower(): shape(value)}
    return shape(value)


def _is_said(value: Any, one: Field[Any]) -> bool:
    default = one.default_factory() if one.default_factory is not MISSING else one.default
    return default is MISSING or getattr(value, one.name) != default
