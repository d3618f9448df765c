"""What an async test has opened is closed in its own event loop, after its last line."""

from __future__ import annotations

from typing import Protocol, TypeVar


class _Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=_Closable)
_OPEN: list[_Closable] = []


def closed_at_end(thing: T) -> T:
    """Return it. It will be closed."""
    _OPEN.append(thing)
    return thing


def close_all() -> None:
    """Close what this test has opened."""
    while _OPEN:
        _OPEN.pop().close()
