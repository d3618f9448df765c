"""What is kept of an output that may be endless: its head at once, its tail at the end, and a mark for what was between."""

from __future__ import annotations


class Capped:
    """Takes output as it comes; needs memory for `tail_bytes` and a quarter, however much comes."""

    def __init__(self, *, head_bytes: int, tail_bytes: int) -> None:
        self._room = head_bytes
        self._tail_bytes = tail_bytes
        self._tail = bytearray()  # the newest bytes that found no room in the head
        self._left_out = 0  # bytes

    @property
    def is_cut(self) -> bool:
        """Whether anything is left out already."""
        return self._left_out > 0

    def take(self, data: bytes) -> bytes:
        """Return what of it belongs to the head, to be written now."""
        head, rest = data[: self._room], data[self._room :]
        self._room -= len(head)
        if rest:
            self._tail += rest
            if len(self._tail) > self._tail_bytes * 5 // 4:  # not at every write: each trim moves bytes
                self._trim()
        return head

    def newest(self, size: int) -> bytes:
        """Return the last bytes of those that were not in the head."""
        return bytes(self._tail[-size:])

    def end(self) -> bytes:
        """Return what has to follow the head: the mark, if anything was left out, and the tail."""
        self._trim()
        mark = f"\n[... {self._left_out} bytes left out here ...]\n".encode() if self._left_out else b""
        return mark + bytes(self._tail)

    def clear(self) -> None:
        """Forget the tail: it has been written."""
        self._tail.clear()

    def _trim(self) -> None:
        surplus = len(self._tail) - self._tail_bytes
        if surplus > 0:
            del self._tail[:surplus]
            self._left_out += surplus
