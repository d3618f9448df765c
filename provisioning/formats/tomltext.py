"""TOML as data: parsed, or one fault that says where it is broken. Bounded, whatever the text is."""

from __future__ import annotations

import re
import tomllib

from provisioning.core.faults import Fault

SIZE_LIMIT_BYTES = 1024 * 1024
KEY_PARTS = 64
# The parser of the standard library takes time and memory with the square of the parts of a dotted key.
_LONG_KEY = re.compile(
    rf"""(?<![A-Za-z0-9_."'\\-])(?:(?>[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*\.[ \t]*){{{KEY_PARTS}}}"""
)
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def parse_toml(text: str) -> dict[str, object] | Fault:
    """Return the document, or its first fault, with line and column but no file."""
    if found := _LONG_KEY.search(text):
        return _fault("too_deep", f"found a key of more than {KEY_PARTS} parts", text, found.start())
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _PLACE.search(message)
        said = _PLACE.sub("", message)
        said = f"not TOML: {said[:1].lower()}{said[1:]}"
        if place is None or place[1] is None:
            return _fault("syntax", said, text, len(text))
        return Fault(code="syntax", message=said, line=int(place[1]), column=int(place[2]))
    except RecursionError:
        return Fault(code="too_deep", message="found more levels than can be read")
    except ValueError:  # the parser reads numbers with int(), which refuses very long ones
        found = re.search(r"\d{4301}", text.replace("_", ""))
        return _fault("bad_number", "found a number of more than 4,300 digits", text, found.start() if found else 0)


def _fault(code: str, message: str, text: str, offset: int) -> Fault:
    line = text.count("\n", 0, offset) + 1
    return Fault(code=code, message=message, line=line, column=offset - text.rfind("\n", 0, offset))
