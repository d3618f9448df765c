"""The frames that go to the wrapper and come back. Pure: bytes in, frames out.

A frame is `WORD ID SIZE`, a newline, and SIZE bytes. ID is the number of the request it belongs to. What a request says
are netstrings: name, value, name, value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from provisioning.core.frozen import dataclass
from provisioning.errors import HostError

_HEAD = re.compile(rb"([a-z]{1,16}) (\d{1,9}) (\d{1,9})\n")
_NUMBER = re.compile(r"[0-9]{1,9}")
_HEAD_LIMIT = 40  # bytes
_PAYLOAD_LIMIT = 1 << 20  # the wrapper sends 64 KiB at most
_NOTES_LIMIT = 4096  # bytes of other people's words that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame."""

    word: str
    id: int
    payload: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The payload as text."""
        return self.payload.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How it ended, in the wrapper's word: exit, signal, timeout, cancelled, lost, fenced, refused, absent, cut, gone."""

    word: str
    code: int = 0
    text: str = ""


class FrameReader:
    """Takes what a wrapper sends in pieces of any size. Before its first word anybody may have printed anything."""

    def __init__(self, nonce: str) -> None:
        self._sign = b"\x1e@" + nonce.encode("ascii") + b" ready\n"
        self._rest = bytearray()
        self.ready = False
        self.before = b""  # the end of what came first

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes, yield the frames that are complete. Raises HostError when these are no frames."""
        self._rest += data
        if not self.ready and not self._begin():
            return
        while (frame := self._next()) is not None:
            yield frame

    def _begin(self) -> bool:
        before, found, after = bytes(self._rest).partition(self._sign)
        self.before = before[-_NOTES_LIMIT:]
        self.ready = bool(found)
        self._rest = bytearray(after if found else self.before)
        return self.ready

    def _next(self) -> Frame | None:
        head = _HEAD.match(self._rest)
        if head is None:
            if len(self._rest) > _HEAD_LIMIT or b"\n" in self._rest:
                raise HostError(
                    "the server sent what is no answer of the wrapper", hint="does a login script print in the end?"
                )
            return None
        size, begin = int(head[3]), head.end()
        if size > _PAYLOAD_LIMIT:
            raise HostError(f"the server announced an answer of {size} bytes; {_PAYLOAD_LIMIT} are allowed")
        if len(self._rest) < begin + size:
            return None
        frame = Frame(word=head[1].decode("ascii"), id=int(head[2]), payload=bytes(self._rest[begin : begin + size]))
        del self._rest[: begin + size]
        return frame


def frame_bytes(word: str, id: int, payload: bytes = b"") -> bytes:
    """Return a frame as it is sent."""
    return f"{word} {id} {len(payload)}\n".encode("ascii") + payload


def netstrings(values: Iterable[str | bytes | int]) -> bytes:
    """Return values one after the other, each with its size before it."""
    parts = []
    for value in values:
        data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
        parts.append(b"%d:%b" % (len(data), data))
    return b"".join(parts)


def fields(settings: Mapping[str, str | bytes | int]) -> bytes:
    """Return named values as the wrapper reads them."""
    return netstrings(item for pair in settings.items() for item in pair)


def verdict_of(text: str) -> Verdict:
    """Return what an `end` frame says: a word, a number, and words for people."""
    word, _, rest = text.partition(" ")
    code, _, words = rest.partition(" ")
    return Verdict(word=word, code=int(code) if _NUMBER.fullmatch(code) else 0, text=words)
