"""`.env` files, as they are commonly read: one variable a line, values bare or in quotes, `#` before comments.

export NAME=value         # `export` means nothing; NAME: value is the same
TEXT="a \\"word\\"\\n"     # may have several lines; `\\n`, `\\r`, `\\t` as in C, other escaped characters are themselves
PLAIN='as it $stands'     # may have several lines
URL=https://$HOST/x       # references are the reader's business, except in single quotes
"""

from __future__ import annotations

import re

from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote

FAULT_LIMIT = 20
_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.]*)[ \t]*[=:][ \t]*")
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?=\n|\Z)")
_SINGLE = re.compile(r"'([^']*+)'")
_DOUBLE = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_COMMENT = re.compile(r"[ \t]#")
_ESCAPE = re.compile(r"(?<!\\)(\\++)(?=\$)|\\(.)", re.DOTALL)  # those before a dollar are looked at later
_DOLLAR = re.compile(r"(?<!\\)(\\*+)\$")
_MEANS = {"n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One variable. `literal` means that nothing in the value is a reference.

    In other values, a dollar that begins none has an odd number of backslashes before it still.
    """

    name: str
    value: str
    literal: bool
    line: int


def read_dotenv(text: str) -> tuple[list[Said], list[Fault]]:
    """Return the variables in order, and what could not be read: those lines are passed over. Takes linear time."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found: list[Said] = []
    faults: list[Fault] = []
    at, line = 0, 1
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if not _BLANK.match(text, at):
            one = _read(text, at, end, line)
            if isinstance(one, Fault):
                faults.append(one)
            else:
                said, end = one
                found.append(said)
        line += text.count("\n", at, end + 1)
        at = end + 1
    return found, faults[:FAULT_LIMIT]


def _read(text: str, at: int, end: int, line: int) -> tuple[Said, int] | Fault:
    """Return the variable that begins here, and the end of its last line."""
    head = _NAME.match(text, at, end)
    if head is None:
        return _fault("syntax", "expected NAME=value", line)
    name, begin = head[1], head.end()
    first = text[begin : begin + 1]
    if first in {"'", '"'} and begin < end:
        return _quoted(text, begin, name, line)
    comment = _COMMENT.search(text, begin - 1, end)  # the value itself may be nothing
    bare = text[begin : end if comment is None else max(begin, comment.start())]
    return _said(name, bare.strip(), line, literal=False), end


def _quoted(text: str, begin: int, name: str, line: int) -> tuple[Said, int] | Fault:
    single = text[begin] == "'"
    found = (_SINGLE if single else _DOUBLE).match(text, begin)
    if found is None:
        return _fault("syntax", f"the value of {quote(name)} has no closing quote", line)
    rest = _BLANK.match(text, found.end())
    if rest is None:
        return _fault("syntax", f"found more behind the closing quote of {quote(name)}", line)
    value = found[1] if single else _ESCAPE.sub(lambda one: one[1] or _MEANS.get(one[2], one[2]), found[1])
    return _said(name, value, line, literal=single), rest.end()


def _said(name: str, value: str, line: int, *, literal: bool) -> Said:
    if not literal and all(len(slashes) % 2 for slashes in _DOLLAR.findall(value)):
        value, literal = _DOLLAR.sub(lambda found: "\\" * (len(found[1]) // 2) + "$", value), True
    return Said(name=name, value=value.replace("\0", ""), literal=literal, line=line)


def _fault(code: str, message: str, line: int) -> Fault:
    return Fault(code=code, message=message, line=line, column=1)
