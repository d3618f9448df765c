"""So many at once, of a name, among all processes of this machine that share a folder."""

from __future__ import annotations

import os
from pathlib import Path

from provisioning.adapters.files import PRIVATE_FILE, private_folder, slug, store_error, try_flock
from provisioning.errors import UsageError


class Slots:
    """`flock` on one of the files `<folder>/<hashed name>/<n>.lock`. A process that dies frees its slot.

    How many there are is what each process says: after a change, who has a slot of an earlier, larger number keeps it.
    """

    def __init__(self, folder: Path, name: str, size: int) -> None:
        """`size` is at least 1. `name` may be any text. Raises UsageError."""
        if size < 1:
            raise UsageError(f"'{name}' has to have at least one slot, not {size}")
        self.folder = folder / slug(name)
        self._size = size
        self._fd: int | None = None

    def try_take(self) -> bool:
        """Take a slot, unless all are taken; return whether this object has one now. Never waits. Raises StoreError."""
        if self._fd is None:
            private_folder(self.folder.parent.parent)
            private_folder(self.folder.parent)
            private_folder(self.folder)
            self._fd = self._first_free()
        return self._fd is not None

    def release(self) -> None:
        """Give the slot up. Giving up what is not held is no error."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _first_free(self) -> int | None:
        for number in range(1, self._size + 1):
            fd = _open(self.folder / f"{number}.lock")
            if try_flock(fd):
                return fd
            os.close(fd)
        return None


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)  # never removed: one file for all who come
    except OSError as error:
        raise store_error("taking a slot", path, error) from error
