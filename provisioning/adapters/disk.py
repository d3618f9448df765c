"""Files on this machine that belong to somebody else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from provisioning.adapters.files import store_error, write_all
from provisioning.errors import StoreError


class LocalDisk:
    """Fulfils `outside.Disk`."""

    def read(self, path: str, limit_bytes: int) -> bytes | None:
        """See Disk. A pipe or device is never read: it may have no end."""
        try:
            with Path(path).open("rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise StoreError(f"{path} is no file", hint="expected a regular file")
                data = file.read(limit_bytes + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise store_error("reading", Path(path), error) from error
        if len(data) > limit_bytes:
            raise StoreError(f"{path} has more than {limit_bytes:,} bytes")
        return data

    def append_to(self, path: str) -> LocalAppending:
        """See Disk."""
        self.make_folder(str(Path(path).parent))
        try:
            return LocalAppending(path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY, 0o644))
        except (OSError, ValueError) as error:
            raise _refused("opening", path, error) from error

    def make_folder(self, path: str) -> None:
        """See Disk."""
        try:
            Path(path).mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise _refused("making the folder", path, error) from error


class LocalAppending:
    """Fulfils `outside.Appending`."""

    def __init__(self, path: str, fd: int) -> None:
        self._path, self._fd = path, fd

    def write(self, data: bytes) -> None:
        """See Appending."""
        try:
            write_all(self._fd, data)
        except OSError as error:
            raise store_error("writing", Path(self._path), error) from error

    def close(self) -> None:
        """See Appending."""
        os.close(self._fd)


def _refused(what: str, path: str, error: OSError | ValueError) -> StoreError:
    if isinstance(error, OSError):
        return store_error(what, Path(path), error)
    return StoreError(f"{what} {path!r} failed: {error}")
