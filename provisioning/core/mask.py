"""Mask declared secret values in a stream of output.

A value is found as it is and in the forms in which programs print it: base64 (also inside a longer base64 text),
URL-encoded, escaped for JSON (also within JSON) or for a shell, and, for a value of several lines, each of its lines.
Values and lines shorter than `MIN_BYTES` are not masked: they occur everywhere, and masking them would only tell the
reader where.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

MASK = b"***"
MIN_BYTES = 4
MIN_LINE_BYTES = 8  # of one line of a value of several lines
MIN_NEEDLE_BYTES = 6
_KEY = 4  # bytes of a form that are searched for before the rest is compared


class Masker:
    """Replaces every form of every value by `***`, across chunk borders too. One instance per stream.

    However the input is cut into chunks, the joined output is the same. A chunk's end is held back only while it may be
    the beginning of a secret, so at most the longest form is kept in memory.
    """

    __slots__ = ("_forms", "_held", "_needles", "_pattern")

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in _forms(value) if len(form) >= MIN_BYTES}
        self._forms = sorted(forms, key=lambda form: (-len(form), form))  # alternatives are tried in order: longest wins
        self._needles = _needles(self._forms)
        self._pattern = re.compile(b"|".join(re.escape(form) for form in self._forms)) if forms else None
        self._held = b""

    def __repr__(self) -> str:
        return f"Masker(<{len(self._forms)} forms>)"

    def feed(self, chunk: bytes) -> bytes:
        """Take the next chunk and return what can be shown of the stream so far."""
        if self._pattern is None:
            return chunk
        data = self._held + chunk
        start, hold = 0, self._hold_from(data, 0)
        shown: list[bytes] = []
        for match in self._matches(data):
            if match.start() >= hold:
                break
            shown += (data[start : match.start()], MASK)
            start = match.end()
            if start > hold:
                hold = self._hold_from(data, start)
        shown.append(data[start:hold])
        self._held = data[hold:]
        return b"".join(shown)

    def flush(self) -> bytes:
        """Return what was held back; the stream has ended."""
        held, self._held = self._held, b""
        return self._pattern.sub(MASK, held) if self._pattern else held

    def _matches(self, data: bytes) -> Iterator[re.Match[bytes]]:
        """Yield matches, leftmost first. `in` is many times faster than the pattern, and most data hold no secret."""
        if self._pattern is not None and any(needle in data for needle in self._needles):
            yield from self._pattern.finditer(data)

    def _hold_from(self, data: bytes, start: int) -> int:
        """Return the first position from `start` at which the rest of `data` may be the beginning of a form."""
        return min((_partial(data, start, form) for form in self._forms), default=len(data))


def _needles(forms: Sequence[bytes]) -> Sequence[bytes]:
    """Return few texts so that every form has one of them in it: spellings of a value share their longest plain run."""
    runs = {max(re.findall(b"[A-Za-z0-9]+", form), key=len, default=b"") for form in forms}
    keys = {run if len(run) >= MIN_NEEDLE_BYTES else b"" for run in runs} - {b""}
    keys.update(form for form in forms if not any(key in form for key in keys))
    return [key for key in keys if not any(other in key for other in keys if other != key)]


def _partial(data: bytes, start: int, form: bytes) -> int:
    """Return the first position whose rest is a proper prefix of `form`; the length of `data` if there is none."""
    end = len(data)
    at = max(start, end - len(form) + 1)
    key = form[:_KEY]
    while (at := data.find(key, at)) != -1:
        if form.startswith(data[at:]):
            return at
        at += 1
    for at in range(max(start, end - min(len(key), len(form) - 1)), end):
        if form.startswith(data[at:]):
            return at
    return end


def _forms(value: str) -> Iterator[bytes]:
    yield from _encoded(value)
    lines = value.splitlines()
    if len(lines) > 1:
        for line in lines:
            if len(line.encode()) >= MIN_LINE_BYTES and not line.startswith("-----"):
                yield from _encoded(line)


def _encoded(value: str) -> Iterator[bytes]:
    raw = value.encode("utf-8", "surrogateescape")
    if len(raw) < MIN_BYTES:
        return
    yield raw
    text = raw.decode("utf-8", "replace")
    for escaped in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        yield escaped[1:-1].encode()
        yield json.dumps(escaped[1:-1], ensure_ascii=False)[1:-1].encode()  # JSON within JSON
    for quoted in (quote(text, safe=""), quote(text), quote_plus(text)):
        yield quoted.encode()
        yield re.sub("%[0-9A-F]{2}", lambda code: code.group().lower(), quoted).encode()
    yield raw.replace(b"'", b"'\\''")
    yield raw.replace(b"'", b"'\"'\"'")
    for encoded in _base64(raw):
        yield encoded
        yield encoded.replace(b"+", b"-").replace(b"/", b"_")


def _base64(raw: bytes) -> Iterator[bytes]:
    """Yield the value's own base64, and the part of it that does not depend on what stands around it, at each offset."""
    own = base64.b64encode(raw)
    yield own
    yield own.rstrip(b"=")
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw)
        first = (0, 2, 3)[offset]  # characters that hold bits of what comes before
        bits = 8 * (offset + len(raw))
        yield encoded[first : bits // 6]
