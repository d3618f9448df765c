"""JSON text, read strictly: what is no JSON, is too large or too deep, or says a thing twice is a fault with its place.

Reading runs in C. Lines and columns are looked up by a second pass, which is made only where there are faults.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator

from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote, step

SIZE_LIMIT_BYTES = 64 * 1024 * 1024
DEPTH_LIMIT = 100
_TOKEN = re.compile(r'(?<![ \t\r\n])[ \t\r\n]*+(?:("(?:[^"\\]|\\.)*+"?)|([{}\[\],:])|([^\s{}\[\],:"]+))', re.DOTALL)
_STEP = re.compile(r'\$|\.[A-Za-z_][A-Za-z0-9_-]*|\[(?:[0-9]+|"(?:[^"\\]|\\.)*+"[^\]]*)\]')
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a text says. With `faults` it is refused; only beside duplicate keys there is a value, for further checks.

    `text` is "" when it could not be decoded.
    """

    value: object = None
    text: str = ""
    faults: tuple[Fault, ...] = ()


class _Refused(Exception):
    def __init__(self, code: str, message: str, hint: str = "", place: tuple[int, int] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.place = code, message, hint, place


def parse_json(data: bytes) -> Parsed:
    """Read a JSON document. Never raises for bad input.

    Refused are: more than 64 MiB, more than 100 levels, a byte order mark, invalid UTF-8, a lone surrogate, a duplicate
    key, NaN and numbers that a double cannot hold.
    """
    text, fault = decode(data)
    if fault is not None:
        return Parsed(faults=(fault,))
    try:
        value, doubled = _load(text)
        _refuse_depth(value)
        _refuse_surrogates(value, text)
    except _Refused as refused:
        line, column = refused.place or _culprit(text, refused.code)
        fault = Fault(code=refused.code, message=refused.message, hint=refused.hint, line=line, column=column)
        return Parsed(text=text, faults=(fault,))
    except json.JSONDecodeError as error:
        return Parsed(text=text, faults=(_syntax(error),))
    if doubled:
        return Parsed(value=value, text=text, faults=tuple(_duplicate_keys(text)))
    return Parsed(value=value, text=text)


def decode(data: bytes) -> tuple[str, Fault | None]:
    """Return the text of a file, or the fault that it is too large or not plain UTF-8."""
    if len(data) > SIZE_LIMIT_BYTES:
        return "", too_large(len(data))
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        message = "found a byte order mark, expected UTF-8 without one"
        return "", Fault(code="encoding", message=message, line=1, column=1, hint="save the file as plain UTF-8")
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode("utf-8")) + 1
        message = f"found the byte 0x{data[error.start]:02x}, expected UTF-8"
        return "", Fault(code="encoding", message=message, line=line, column=column, hint="save the file as plain UTF-8")


def too_large(size_bytes: int, most: int = SIZE_LIMIT_BYTES) -> Fault:
    """Return the fault of a file over the limit."""
    message = f"found {size_bytes:,} bytes, expected at most {most:,}"
    return Fault(code="too_large", message=message)


class Lines:
    """Line and column, both from 1, of offsets in one text."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column of an offset."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def locate(text: str, paths: Collection[str]) -> dict[str, tuple[int, int]]:
    """Return line and column of every path: of its value, or of the nearest value above it that is there.

    `text` is JSON that was read without a fault. A path that ends in `!` asks for the key of its value.
    """
    asked = {path.removesuffix("!") for path in paths}
    wanted = {prefix for path in asked for prefix in _prefixes(path)}
    found = {path: (key, value) for path, key, value in _walk(text, wanted)}
    places, lines = {}, Lines(text)
    for path in paths:
        nearest = next(prefix for prefix in reversed(_prefixes(path.removesuffix("!"))) if prefix in found)
        key, value = found[nearest]
        places[path] = lines.place(key if path.endswith("!") else value)
    return places


def _load(text: str) -> tuple[object, bool]:
    doubled = False

    def build(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal doubled
        built = dict(pairs)
        doubled = doubled or len(built) != len(pairs)
        return built

    try:
        value = json.loads(text, object_pairs_hook=build, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise _Refused("too_deep", f"found more levels than can be read, expected at most {DEPTH_LIMIT}") from None
    except ValueError:  # Python refuses to read integers of more than 4,300 digits
        raise _Refused("bad_number", "found a number of more than 4,300 digits") from None
    return value, doubled


def _no_constant(name: str) -> object:
    raise _Refused("bad_number", f"found {name}, expected a number", hint="JSON has no such word")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Refused("bad_number", f"found {text[:40]}, expected a number that a double can hold")
    return number


def _refuse_depth(value: object) -> None:
    level: list[object] = [value]
    for _ in range(DEPTH_LIMIT):
        level = [child for one in level for child in _children(one) if isinstance(child, dict | list)]
        if not level:
            return
    raise _Refused("too_deep", f"found more than {DEPTH_LIMIT} levels of lists and objects")


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_surrogates(value: object, text: str) -> None:
    if not _SURROGATE.search(text):
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        message = "found half of a surrogate pair in a text, expected whole characters"
        raise _Refused("encoding", message, place=Lines(text).place(_lone(text))) from None


def _lone(text: str) -> int:
    """Return the offset of the first surrogate that has no partner."""
    pair = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
    at = 0
    while match := _SURROGATE.search(text, at):
        whole = pair.match(text, match.start())
        if whole is None:
            return match.start()
        at = whole.end()
    return 0


def _syntax(error: json.JSONDecodeError) -> Fault:
    found = quote(error.doc[error.pos], 10) if error.pos < len(error.doc) else "the end of the file"
    reason = (error.msg[:1].lower() + error.msg[1:]).removesuffix(" at").removesuffix(" starting")
    return Fault(code="syntax", message=f"found {found}: {reason}", line=error.lineno, column=error.colno)


def _prefixes(path: str) -> list[str]:
    """`$.a[0].b` -> `$`, `$.a`, `$.a[0]`, `$.a[0].b`; quoted keys are one step."""
    prefixes = []
    at = 0
    while step_found := _STEP.match(path, at):
        at = step_found.end()
        prefixes.append(path[:at])
    return prefixes or ["$"]


def _duplicate_keys(text: str) -> Iterator[Fault]:
    first: dict[str, int] = {}
    lines = Lines(text)
    for path, key, _ in _walk(text, None):
        if first.setdefault(path, key) != key:
            line, column = lines.place(key)
            message = f"found {path} a second time; the first is on line {lines.place(first[path])[0]}"
            yield Fault(code="duplicate_key", message=message, path=path, line=line, column=column, hint="keep one of them")


def _culprit(text: str, code: str) -> tuple[int, int]:
    """Return the place of the first token that is too deep, or a number that cannot be read."""
    depth = 0
    for match in _TOKEN.finditer(text):
        _, mark, word = match.groups()
        depth += (mark in ("{", "[")) - (mark in ("}", "]")) if mark else 0
        if (code == "too_deep" and depth > DEPTH_LIMIT) or (code == "bad_number" and word and _is_bad(word)):
            return Lines(text).place(match.start(match.lastindex or 0))
    return 0, 0


def _is_bad(word: str) -> bool:
    """Whether a word begins with what was refused; anything may follow it, because the parser stopped there."""
    number = _NUMBER.match(word)
    endless = number is not None and math.isinf(float(number[0]))
    return endless or word.startswith(("NaN", "Infinity", "-Infinity")) or len(word) > 4300


@dataclass(slots=True)
class _Open:
    """A container that is being walked. `path` None: nothing below it is wanted."""

    path: str | None
    is_object: bool
    index: int = 0
    key: str | None = None
    key_at: int = 0


def _walk(text: str, wanted: Collection[str] | None) -> Iterator[tuple[str, int, int]]:
    """Yield path, offset of the key and offset of the value, for every wanted path (None: for all)."""
    stack: list[_Open] = []
    for match in _TOKEN.finditer(text):
        string, mark, _ = match.groups()
        at = match.start(match.lastindex or 0)
        top = stack[-1] if stack else None
        if mark in ("}", "]"):
            stack.pop()
        elif mark == ",":
            if top is not None:
                top.index, top.key = top.index + 1, None
        elif mark == ":":
            continue
        elif top is not None and top.is_object and top.key is None:
            top.key, top.key_at = (json.loads(string) if top.path is not None else ""), at
        else:
            path = _path(top, wanted)
            if path is not None:
                yield path, top.key_at if top is not None and top.is_object else at, at
            if mark:
                stack.append(_Open(path, mark == "{"))


def _path(top: _Open | None, wanted: Collection[str] | None) -> str | None:
    if top is None:
        return "$"
    if top.path is None:
        return None
    path = top.path + step(top.key or "" if top.is_object else top.index)
    return path if wanted is None or path in wanted else None
