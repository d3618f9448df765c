"""Make output of programs safe to show: no escape sequence and no control code reaches a terminal or a page."""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    r"""
      \x1b\[ [0-?]* [\ -/]* [@-~]                    # CSI: colours, cursor
    | \x9b   [0-?]* [\ -/]* [@-~]                    # the same in one byte
    | \x1b[\]PX^_] [^\x07\x1b\x9c\n]* (?: \x07 | \x1b\\ | \x9c )?  # OSC, DCS and kin: titles, links, clipboard
    | [\x90\x98\x9d-\x9f] [^\x07\x1b\x9c\n]* (?: \x07 | \x1b\\ | \x9c )?
    | \x1b [\ -/]* [0-~]?                            # two-byte escapes, and an escape cut off
    | [\x00-\x08\x0b-\x1f\x7f-\x9f]                  # what is left of C0 and C1; newline and tab stay
    """,
    re.VERBOSE,
)


def plain_text(data: bytes | str) -> str:
    """Return what a person should see: escape sequences and controls removed, invalid UTF-8 replaced.

    A carriage return starts a new line, so that progress bars stay readable. Takes linear time on any input.
    """
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSAFE.sub("", text)


def capped(text: str, limit: int) -> str:
    """Return the first `limit` bytes of a text, whole characters only, and a mark that tells of the rest. -1 leaves nothing."""
    if limit < 0:
        return ""
    if len(text) * 4 <= limit:  # surely short enough
        return text
    data = text.encode()
    if len(data) <= limit:
        return text
    return f"{data[:limit].decode(errors='ignore')} [... {len(data)} bytes in all]"
