"""`params`: one text, a list, a map, records with rules, or an inline JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provisioning.core.dagu.declared import Param
from provisioning.core.dagu.doing import Arguments, Pair, Text
from provisioning.core.shown import quote
from provisioning.formats.dagu.env import substitution
from provisioning.formats.dagu.policies import check_pattern
from provisioning.formats.dagu.reading import Record, Spot
from provisioning.formats.dagu.spelling import PARAM, PROPERTY, SCHEMA, folded
from provisioning.formats.goyaml import Fields, go_text

TYPES = ("string", "integer", "number", "boolean")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_RULES = frozenset(folded(key) for key in PARAM.names.values()) - {"name"}


def read_params(spot: Spot | None) -> tuple[tuple[Param, ...], Text | None]:
    """Return the parameters; or, written as one text, that text."""
    if spot is None:
        return (), None
    if spot.scalar is not None:
        text = spot.text()
        if text is not None:
            substitution(spot, text.raw)
        return (), text
    params = tuple(_schema(spot) if _is_schema(spot) else _params(spot))
    _unique(spot, params)
    return params, None


def _is_schema(spot: Spot) -> bool:
    if not isinstance(spot.node, Fields):
        return False
    fields = spot.node.fields
    return isinstance(fields.get("properties"), Fields) or "schema" in fields


def _params(spot: Spot) -> Iterator[Param]:
    if spot.is_map:
        if isinstance(spot.node, Fields) and len(spot.node.fields) > 1:
            spot.note("params_order", "the parameters are $1, $2, ... in the order of the file; Dagu 2 sorts a map by name")
        yield from _named(spot)
        return
    for item in spot.items():
        if isinstance(item.node, Fields) and _is_rich(item.node):
            yield from _rich(item.record(PARAM), item)
        elif item.is_map:
            yield from _named(item)
        elif (text := item.text()) is not None:
            substitution(item, text.raw)
            yield _positional(text)


def _is_rich(node: Fields) -> bool:
    keys = {folded(key) for key in node.fields}
    return "name" in keys and (len(keys) == 1 or bool(keys & _RULES))


def _positional(text: Text) -> Param:
    """A text in a list is `NAME=value`, or a positional value."""
    name, equals, value = text.raw.partition("=")
    if equals and _NAME.fullmatch(name):
        return Param(name=name, default=Text(raw=value, line=text.line, column=text.column))
    return Param(name=None, default=text)


def _named(spot: Spot) -> Iterator[Param]:
    for name, value in spot.entries():
        if _good(name, value):
            text = value.text()
            if text is not None:
                substitution(value, text.raw)
            yield Param(name=name, default=text or Text(raw="", line=value.line, column=value.column))


def _good(name: str, spot: Spot) -> bool:
    if _NAME.fullmatch(name):
        return True
    spot.fault("bad_name", f"found the parameter {quote(name)}, expected letters, digits, underscores, no digit first")
    return False


def _rich(record: Record, item: Spot) -> Iterator[Param]:
    name = record.word("name")
    if not _good(name, record.at("name") or item):
        return
    default, evaluated = record.text("default"), record.text("eval")
    if evaluated is not None and default is not None:
        item.fault("conflicting_keys", "found both default and eval, expected one of them")
    yield _ruled(name, record, required=record.flag("required"), evaluated=evaluated)


def _ruled(name: str, record: Record, *, required: bool, evaluated: Text | None = None) -> Param:
    pattern = record.word("pattern") or None
    spot = record.at("pattern")
    if spot is not None and pattern is not None:
        check_pattern(spot, f"re:{pattern}")
    return Param(
        name=name,
        default=record.text("default"),
        evaluated=evaluated,
        type=_type(record.at("type")),
        required=required,
        enum=record.words("enum"),
        minimum=record.number("minimum"),
        maximum=record.number("maximum"),
        min_length=_length(record, "min_length"),
        max_length=_length(record, "max_length"),
        pattern=pattern,
        description=record.word("description"),
    )


def _length(record: Record, name: str) -> int | None:
    spot = record.at(name)
    return spot.whole() if spot is not None else None


def _type(spot: Spot | None) -> str:
    if spot is None:
        return "string"
    word = spot.word()
    if word in TYPES:
        return word
    spot.fault("unknown_word", f"found {spot.shown}, expected one of {', '.join(TYPES)}", spot.nearest(word, TYPES))
    return "string"


def _schema(spot: Spot) -> Iterator[Param]:
    if isinstance(spot.node, Fields) and "schema" in spot.node.fields:
        spot.fault("unsupported_key", "schemas of parameters in other files are not supported", "write the properties here")
        return
    record = spot.record(SCHEMA)
    if record.flag("additional_properties"):
        record.spots["additional_properties"].fault(
            "unsupported_key", "parameters without a declaration are not supported here"
        )
    required = set(record.words("required"))
    properties = record.at("properties")
    for name, one in properties.entries() if properties is not None else ():
        if _good(name, one):
            yield _ruled(name, one.record(PROPERTY), required=name in required)
            required.discard(name)
    for name in sorted(required):
        spot.fault("unknown_name", f"found the required parameter {quote(name)}, which is not among the properties")


def _unique(spot: Spot, params: tuple[Param, ...]) -> None:
    seen: set[str] = set()
    for param in params:
        if param.name is not None and param.name in seen:
            spot.fault("duplicate_name", f"found the parameter {quote(param.name)} twice")
        seen.add(param.name or "")


def read_arguments(spot: Spot | None) -> Arguments:
    """Return parameters for another DAG or a function: a text, a list or a map; nested values as they are."""
    if spot is None:
        return Arguments()
    if spot.scalar is not None:
        return Arguments(text=spot.text())
    return Arguments(pairs=tuple(_pairs(spot)))


def _pairs(spot: Spot) -> Iterator[Pair]:
    if spot.is_map:
        for name, value in spot.entries():
            if value.scalar is None:
                value.expected("text")
                continue
            yield Pair(name=name, value=Text(raw=go_text(value.scalar.value), line=value.line, column=value.column))
        return
    for item in spot.items():
        if item.is_map:
            yield from _pairs(item)
        elif (text := item.text()) is not None:
            param = _positional(text)
            yield Pair(name=param.name, value=param.default or text)
