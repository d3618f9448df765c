"""`Range: bytes=` of RFC 9110: one range, as logs need it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class RangeError(ValueError):
    """No byte of what there is was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which bytes: from `start`, so many."""

    start: int
    length: int
    partial: bool

    @property
    def end(self) -> int:
        """The last byte."""
        return self.start + self.length - 1


def span_of(header: str | None, size: int) -> Span:
    """Return which bytes of `size` a header asks for: all where it asks for none, or in a way that we need not obey.

    Raises RangeError for bytes that are not there.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[0] == "bytes=-":
        return Span(start=0, length=size, partial=False)
    first, last = match[1], match[2]
    if first and last and int(last) < int(first):
        return Span(start=0, length=size, partial=False)
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start >= size or (not first and int(last) == 0):
        raise RangeError(f"the log has {size} bytes")
    return Span(start=start, length=end - start + 1, partial=True)
