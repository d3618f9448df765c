"""Untrusted text and values in messages: escaped, one line, shortened."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice

TEXT_LIMIT = 60  # characters of a foreign text that a message repeats
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,59}\Z")


def escaped(text: str) -> str:
    """Return `text` with everything that does not print (control codes, direction marks, lone surrogates) escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def quote(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return `text` in double quotes, escaped, its length named where it was cut."""
    body = escaped(text[:limit].replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{body}"' if len(text) <= limit else f'"{body}..." ({len(text):,} characters)'


def show(value: object) -> str:
    """Return a parsed value as a message shows it: scalars as they are written, containers by their size."""
    if isinstance(value, str):
        return quote(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return _counted(len(value), "an object with", "field")
    if isinstance(value, Sequence):
        return _counted(len(value), "a list of", "item")
    return _shortened(str(value))


def listed(names: Iterable[str], limit: int = 8) -> str:
    """Return names quoted and joined by commas; past `limit` only how many more there are."""
    every = names if isinstance(names, Collection) else list(names)
    shown = ", ".join(quote(name) for name in islice(every, limit))
    return shown if len(every) <= limit else f"{shown} and {len(every) - limit:,} more"


def step(key: str | int) -> str:
    """Return one step of a JSON path: `.key`, `["odd key"]` or `[3]`."""
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _PLAIN_KEY.match(key) else f"[{quote(key)}]"


def _counted(count: int, lead: str, noun: str) -> str:
    return f"{lead} {count:,} {noun}{'' if count == 1 else 's'}"


def _shortened(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}..."
