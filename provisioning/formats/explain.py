"""What the JSON Schema says is wrong, as faults.

The schema is the published truth of what a document may look like. Three keywords of our own say how a fault reads:
`x-codes` (keyword -> code), `x-expected` (what was expected, in words) and `x-secret` (never show the value).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from provisioning.core.faults import Fault
from provisioning.core.shown import listed, quote, show, step
from provisioning.core.suggest import nearest
from provisioning.formats.reader import Item
from provisioning.formats.schemas import validator

if TYPE_CHECKING:
    from jsonschema import ValidationError

ITEM_LIMIT = 1_000  # items that are explained; a file with more faulty ones is wrong in one way
FIELD_LIMIT = 100  # unknown fields of one object that are named
_CODES = {"required": "missing_field", "type": "wrong_type", "enum": "unknown_word", "const": "unknown_word"}
_WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
}
_KEY_MARK = "!"  # `jsontext.locate` points such a path at the key


def explain(name: str, document: object, items: Iterable[Item], definition: Callable[[Item], str]) -> Iterator[Fault]:
    """Yield the faults of the items that deviate; `definition` names the schema's definition for an item.

    The document itself, item (), is looked at without what is in its lists: those are items of their own.
    """
    asked = list(items)
    for item in asked[:ITEM_LIMIT]:
        part = definition(item)
        value = _hollow(document) if not part else _at(document, item)
        prefix = "$" + "".join(step(one) for one in item)
        found = [fault for error in validator(name, part).iter_errors(value) for fault in _faults(error, prefix)]
        yield from found or [_unexplained(prefix, value)]
    if len(asked) > ITEM_LIMIT:
        message = f"{len(asked) - ITEM_LIMIT:,} more items do not fit; the first {ITEM_LIMIT:,} are shown"
        yield Fault(code="too_many", message=message, path="$")


def _at(document: object, item: Item) -> object:
    value = document
    for one in item:
        value = value[one]  # type: ignore[index]
    return value


def _hollow(value: object) -> object:
    """Return the document with its lists emptied, two levels down: they are explained item by item."""
    if not isinstance(value, dict):
        return value
    return {key: [] if isinstance(inner, list) else _hollow_lists(inner) for key, inner in value.items()}


def _hollow_lists(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {key: [] if isinstance(inner, list) else inner for key, inner in value.items()}


def _unexplained(prefix: str, value: object) -> Fault:
    """Return the fault for something the reader refused and the schema allows: refused it stays."""
    return Fault(code="invalid", message=f"found {show(value)} that does not fit", path=prefix)


def _faults(error: ValidationError, prefix: str) -> Iterator[Fault]:
    path = prefix + "".join(step(one) for one in error.absolute_path)
    schema: Mapping[str, object] = error.schema if isinstance(error.schema, dict) else {}
    keyword = str(error.validator)
    if keyword == "additionalProperties":
        yield from _unknown_fields(error.instance, schema, path)
    elif keyword in ("oneOf", "anyOf"):
        yield from _shape(error, schema, path, keyword)
    elif keyword == "required":
        yield from _missing(error, path)
    else:
        message = f"found {_found(error.instance, schema)}, expected {_expected(error, schema)}"
        yield Fault(code=_code(schema, keyword), message=message, path=path, hint=_hint(error, schema))


def _code(schema: Mapping[str, object], keyword: str) -> str:
    own = schema.get("x-codes")
    found = own.get(keyword) if isinstance(own, dict) else None
    return str(found or _CODES.get(keyword, "invalid"))


def _found(value: object, schema: Mapping[str, object]) -> str:
    return "something else" if schema.get("x-secret") else show(value)


def _expected(error: ValidationError, schema: Mapping[str, object]) -> str:
    if "x-expected" in schema:
        return str(schema["x-expected"])
    if "minimum" in schema and "maximum" in schema:
        return f"a whole number from {schema['minimum']:,} to {schema['maximum']:,}"
    limit = error.validator_value
    if isinstance(limit, list):
        return f"one of {listed(limit)}"
    return _WORDS.get(str(limit), quote(str(limit)))


def _hint(error: ValidationError, schema: Mapping[str, object]) -> str:
    words = schema.get("enum")
    if isinstance(words, list) and isinstance(error.instance, str):
        found = nearest(error.instance, words)
        return f'did you mean "{found}"?' if found else ""
    return ""


def _unknown_fields(instance: object, schema: Mapping[str, object], path: str) -> Iterator[Fault]:
    properties = schema.get("properties")
    known = list(properties) if isinstance(properties, dict) else []
    unknown = [key for key in instance if key not in known] if isinstance(instance, dict) else []
    for key in unknown[:FIELD_LIMIT]:
        found = nearest(key, known)
        hint = f'did you mean "{found}"?' if found else f"known here are {listed(known, 12)}"
        message = f"found the field {quote(key)}, which nothing reads"
        yield Fault(code="unknown_field", message=message, path=path + step(key) + _KEY_MARK, hint=hint)
    if len(unknown) > FIELD_LIMIT:
        message = f"found {len(unknown) - FIELD_LIMIT:,} more fields that nothing reads; the first {FIELD_LIMIT} are shown"
        yield Fault(code="too_many", message=message, path=path)


def _missing(error: ValidationError, path: str) -> Iterator[Fault]:
    """jsonschema reports each missing field by itself, in words; its value is the whole list."""
    field = next((name for name in _listed(error) if error.message.startswith(f"{name!r} ")), "")
    yield Fault(code="missing_field", message=f"found no {quote(field)}, which is required", path=path)


def _listed(error: ValidationError) -> list[Any]:
    value = error.validator_value
    return value if isinstance(value, list) else []


def _shape(error: ValidationError, schema: Mapping[str, object], path: str, keyword: str) -> Iterator[Fault]:
    if not isinstance(error.instance, dict):
        return  # of the wrong type, which has its own fault
    names = [name for branch in _listed(error) for name in branch["required"]]
    there = [name for name in names if name in error.instance]
    rule = "exactly one of" if keyword == "oneOf" else "at least one of"
    found = f"both {' and '.join(quote(name) for name in there)}" if there else f"none of {listed(names)}"
    yield Fault(code=_code(schema, keyword), message=f"found {found}, expected {rule} {listed(names)}", path=path)
