"""YAML as goccy/go-yaml reads it, with a place for everything: what Dagu files are written in.

YAML 1.2 with Go's scalars: `yes`, `on`, dates and `12:30` are text, `010` is eight, `1e3` is text, `1_000` and `0x1F` are
numbers. A key that is there twice is a fault. Size, depth, nodes and what aliases expand to are bounded; reading does not
recurse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from math import isfinite, isnan
from typing import TypeAlias

import yaml

from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote
from provisioning.formats.jsontext import decode

SIZE_LIMIT_BYTES = 4 * 1024 * 1024
DEPTH_LIMIT = 64
NODE_LIMIT = 1_000_000  # aliases counted as what they stand for


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something begins, from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """Text, a number, a truth value or null; `raw` is how it is written, without quotes."""

    value: str | int | float | bool | None
    raw: str
    at: Place
    size: int = 1
    depth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A sequence."""

    items: Sequence[Node]
    at: Place
    size: int
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """A mapping, in the order of the text. Keys are as they are written."""

    fields: Mapping[str, Node]
    keys: Mapping[str, Place]
    at: Place
    size: int
    depth: int


Node: TypeAlias = Scalar | Items | Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What a text says. With `faults` it is refused."""

    documents: tuple[Node, ...] = ()
    faults: tuple[Fault, ...] = ()


def parse_yaml(data: bytes) -> Documents:
    """Read all documents of a text. Never raises for bad input; an empty document is a null."""
    if len(data) > SIZE_LIMIT_BYTES:
        message = f"found {len(data):,} bytes, expected at most {SIZE_LIMIT_BYTES:,}"
        return Documents(faults=(Fault(code="too_large", message=message, line=1, column=1),))
    text, fault = decode(data)
    if fault is not None:
        return Documents(faults=(fault,))
    try:
        return Documents(documents=tuple(_documents(text)))
    except _Refused as refused:
        return Documents(faults=(refused.fault,))
    except yaml.MarkedYAMLError as error:
        return Documents(faults=(_syntax(error),))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        message = f"found the character {error.character!r}, which YAML does not allow"
        return Documents(faults=(Fault(code="syntax", message=message, line=line, column=column),))


def plain(node: Node) -> object:
    """Return a node as Python values. How deep it is was bounded when it was read."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {key: plain(value) for key, value in node.fields.items()}


def go_text(value: object) -> str:
    """Return a scalar as Go prints it: what a value becomes where text is wanted."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _go_float(value) if isinstance(value, float) else str(value)


def _go_float(value: float) -> str:
    """Return a number in the shortest form that gives it back: with an exponent from a million on, and below 0.0001."""
    if not isfinite(value):
        return "NaN" if isnan(value) else f"{'+' if value > 0 else '-'}Inf"
    number = Decimal(repr(value)).normalize()
    power = number.adjusted()
    if -4 <= power < 6:
        return f"{number:f}"
    digits = "".join(map(str, number.as_tuple().digits))
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if value < 0 else ''}{digits[0]}{fraction}e{power:+03d}"


# ---------------------------------------------------------------- from events to nodes


class _Refused(Exception):
    def __init__(self, code: str, message: str, at: Place, hint: str = "") -> None:
        super().__init__(message)
        self.fault = Fault(code=code, message=message, line=at.line, column=at.column, hint=hint)


@dataclass(slots=True)
class _Open:
    """A collection that is being read."""

    at: Place
    anchor: str | None
    mapping: bool
    items: list[Node] = field(default_factory=list)
    fields: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    merged: list[Fields] = field(default_factory=list)
    key: Scalar | None = None
    size: int = 1
    depth: int = 1

    def take(self, node: Node) -> None:
        self.size += node.size
        self.depth = max(self.depth, node.depth + 1)
        if self.size > NODE_LIMIT:
            raise _Refused("too_large", f"found more than {NODE_LIMIT:,} values, what aliases stand for included", node.at)
        if self.depth > DEPTH_LIMIT:  # aliases of aliases: the text itself need not be deep
            raise _Refused("too_deep", f"found more than {DEPTH_LIMIT} levels, what aliases stand for included", node.at)
        if not self.mapping:
            self.items.append(node)
        elif self.key is None:
            self._take_key(node)
        else:
            self._take_value(self.key, node)
            self.key = None

    def close(self) -> Node:
        if not self.mapping:
            return Items(items=self.items, at=self.at, size=self.size, depth=self.depth)
        for other in self.merged:
            for key, value in other.fields.items():
                if key not in self.fields:
                    self.fields[key], self.keys[key] = value, other.keys[key]
        return Fields(fields=self.fields, keys=self.keys, at=self.at, size=self.size, depth=self.depth)

    def _take_key(self, node: Node) -> None:
        if not isinstance(node, Scalar):
            raise _Refused("bad_key", "found a list or a map as a key, expected text", node.at)
        if node.raw in self.keys:
            before = self.keys[node.raw]
            hint = f"it is first there in line {before.line}"
            raise _Refused("duplicate_key", f"found the key {quote(node.raw)} twice", node.at, hint)
        self.key = node

    def _take_value(self, key: Scalar, node: Node) -> None:
        if key.raw == "<<" and isinstance(key.value, str):
            self._merge(node)
        else:
            self.fields[key.raw], self.keys[key.raw] = node, key.at

    def _merge(self, node: Node) -> None:
        several = node.items if isinstance(node, Items) else [node]
        for each in several:
            if not isinstance(each, Fields):
                raise _Refused("bad_merge", "found something other than a map behind <<", each.at)
            self.merged.append(each)


def _documents(text: str) -> Iterator[Node]:
    """Yield the documents. One that ends without a value is a null."""
    stack: list[_Open] = []
    anchors: dict[str, Node | None] = {}
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        mark = event.start_mark
        at = Place(line=mark.line + 1, column=mark.column + 1) if mark is not None else Place(line=0, column=0)
        if isinstance(event, yaml.DocumentStartEvent):
            anchors.clear()
            continue
        node = _node(event, at, stack, anchors)
        if node is None:
            continue
        if stack:
            stack[-1].take(node)
        else:
            yield node


def _node(event: yaml.Event, at: Place, stack: list[_Open], anchors: dict[str, Node | None]) -> Node | None:
    """Return the node that an event completes, if it does."""
    if isinstance(event, yaml.ScalarEvent):
        scalar = _scalar(event, at)
        if event.anchor is not None:
            anchors[event.anchor] = scalar
        return scalar
    if isinstance(event, yaml.AliasEvent):
        return _meant(event.anchor or "", at, anchors)
    if isinstance(event, yaml.CollectionStartEvent):
        _open(event, at, stack, anchors)
    elif isinstance(event, yaml.CollectionEndEvent):
        closed = stack.pop()
        node = closed.close()
        if closed.anchor is not None:
            anchors[closed.anchor] = node
        return node
    return None


def _open(event: yaml.CollectionStartEvent, at: Place, stack: list[_Open], anchors: dict[str, Node | None]) -> None:
    if len(stack) >= DEPTH_LIMIT:
        raise _Refused("too_deep", f"found more than {DEPTH_LIMIT} levels", at)
    mapping = isinstance(event, yaml.MappingStartEvent)
    if event.tag is not None and event.tag not in {"!", f"{_PREFIX}map" if mapping else f"{_PREFIX}seq"}:
        raise _tag(event.tag, at)
    if event.anchor is not None:
        anchors[event.anchor] = None  # not complete: it cannot stand in itself
    stack.append(_Open(at=at, anchor=event.anchor, mapping=mapping))


def _meant(anchor: str, at: Place, anchors: Mapping[str, Node | None]) -> Node:
    if anchor not in anchors:
        raise _Refused("unknown_anchor", f"found *{anchor}, but nothing is marked &{anchor} before it", at)
    node = anchors[anchor]
    if node is None:
        raise _Refused("circle", f"found *{anchor} inside of &{anchor}", at)
    return node


def _tag(tag: str, at: Place) -> _Refused:
    return _Refused("unknown_tag", f"found the tag {quote(tag)}", at, "leave it out; values have the type they look like")


# ---------------------------------------------------------------- scalars

_PREFIX = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|0[0-7_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
LEAST_INTEGER, MOST_INTEGER = -(2**63), 2**64 - 1
LONGEST_NUMBER = 400  # digits; a longer one is text


def _scalar(event: yaml.ScalarEvent, at: Place) -> Scalar:
    raw = event.value
    if event.tag is None or event.tag == "!":
        implied = event.implicit[0] and event.tag is None  # not in quotes
        return Scalar(value=plain_scalar(raw) if implied else raw, raw=raw, at=at)
    kind = event.tag.removeprefix(_PREFIX)
    value = plain_scalar(raw)
    fits = {
        "str": (raw, True),
        "int": (value, isinstance(value, int) and not isinstance(value, bool)),
        "float": (float(value) if isinstance(value, int) else value, isinstance(value, int | float)),
        "bool": (value, isinstance(value, bool)),
        "null": (None, value is None),
    }
    if kind not in fits:
        raise _tag(event.tag, at)
    tagged, right = fits[kind]
    if not right:
        raise _Refused("wrong_tag", f"found {quote(raw)} with the tag !!{kind}", at)
    return Scalar(value=tagged, raw=raw, at=at)


def plain_scalar(text: str) -> str | int | float | bool | None:
    """Return what an unquoted scalar means to Go."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > LONGEST_NUMBER or text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text) and text.strip("+-._"):
        number = float(text.replace("_", ""))
        return number if isfinite(number) else text
    return text


def _integer(text: str) -> int | str:
    """Return a number that Go's integers can hold; a larger one is text, so that no digit is lost."""
    digits = text.replace("_", "").lower()
    sign, number = (-1 if digits[0] == "-" else 1), digits.lstrip("+-")
    base = {"0b": 2, "0o": 8, "0x": 16}.get(number[:2])
    try:
        if base is not None:
            value = sign * int(number[2:], base)
        else:
            value = sign * int(number, 8 if len(number) > 1 and number[0] == "0" else 10)
    except ValueError:  # nothing but underscores, or an eight behind a zero
        return text
    return value if LEAST_INTEGER <= value <= MOST_INTEGER else text


def _syntax(error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    said = ", ".join(part for part in (error.problem, error.context) if part) or "broken"
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    return Fault(code="syntax", message=f"not YAML: {' '.join(said.split())}", line=line, column=column)
