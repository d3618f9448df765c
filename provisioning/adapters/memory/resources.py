"""The resource states without a file."""

from __future__ import annotations

from dataclasses import replace

from provisioning.core.resources import ResourceBook
from provisioning.core.statedoc import doubts
from provisioning.errors import StaleRevision, StateFileError, StoreError


class MemoryResources:
    """Fulfils `ports.Resources`. `saved` has every book that was written; `fail_next` makes the next save fail."""

    def __init__(self, book: ResourceBook | None = None, *, lineage: str = "00000000-0000-0000-0000-000000000000") -> None:
        self.book = book or ResourceBook(lineage=lineage)
        self.saved: list[ResourceBook] = []
        self._failure: StoreError | None = None

    def fail_next(self, failure: StoreError | None = None) -> None:
        """Let the next `save` raise."""
        self._failure = failure or StoreError("writing the state failed: no space left on device", hint="the disk is full")

    async def load(self) -> ResourceBook:
        """Return the book."""
        return self.book

    async def save(self, book: ResourceBook) -> ResourceBook:
        """Keep the book, its serial raised by one. Raises StaleRevision, StateFileError, and what `fail_next` asked for."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if doubt := doubts(self.book, lineage=book.lineage, serial=0):
            raise StateFileError(f"the state was refused: {doubt}")
        if book.serial != self.book.serial:
            raise StaleRevision(f"the state is at serial {self.book.serial}, the change is based on {book.serial}")
        self.book = replace(book, serial=book.serial + 1)
        self.saved.append(self.book)
        return self.book
