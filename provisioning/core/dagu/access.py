"""Reading into JSON that a step has printed, the way `${NAME.list[0].x}` does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

Path = tuple[str | int, ...]  # keys and indexes, from the outside in
_PART = re.compile(r"""\.([^\s.:\[\]{}$"'`\\]+)|\[([0-9]{1,9})\]""")
_SURROGATES = re.compile("[\ud800-\udfff]")


class Missing(Exception):
    """There is no such place, or the text is no JSON."""


def parse_json(text: str) -> object:
    """Return what a JSON text says. Raises Missing for one that is none, NaN and too deep nesting included."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Missing from error


def parse_path(text: str) -> Path:
    """Return the keys and indexes of `.a.b[0]`; its first dot may be left out, or have a `$` before it.

    Raises Missing for another text.
    """
    text = text.removeprefix("$")
    if text in {"", "."}:
        return ()
    text = text if text[0] in ".[" else f".{text}"
    path: list[str | int] = []
    at = 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise Missing
        path.append(part[1] if part[1] is not None else int(part[2]))
        at = part.end()
    return tuple(path)


def value_at(value: object, path: Path) -> object:
    """Return what stands at `path`. Raises Missing where there is nothing."""
    for part in path:
        if isinstance(part, str) and isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(part, int) and _is_list(value) and part < len(value):  # type: ignore[arg-type]
            value = value[part]  # type: ignore[index]
        else:
            raise Missing
    return value


def as_text(value: object) -> str:
    """Return a JSON value as text: text itself, everything else as compact JSON. Half characters are replaced.

    Raises Missing for what is nested too deeply to be written.
    """
    if isinstance(value, str):
        return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", value)
    try:
        written = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)
    except RecursionError as error:
        raise Missing from error
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", written)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _plain(value: object) -> object:
    """Return a mapping that is no dict as one."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")
