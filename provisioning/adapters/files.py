"""Private files that survive a kill and a power cut, and what to say when the disk refuses."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provisioning.core.naming import NAME_PATTERN
from provisioning.errors import LockedError, StoreError, UsageError

Fsync = Callable[[int], None]
PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700

_HINTS = {
    errno.ENOSPC: "the disk is full: make room and start again",
    errno.EDQUOT: "the disk quota is used up: make room and start again",
    errno.EFBIG: "the file may not grow any further: see `ulimit -f`",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "check who owns the folder and its mode",
    errno.EPERM: "check who owns the folder and its mode",
    errno.EIO: "the disk reports errors: do not trust it before it has been checked",
}


def store_error(doing: str, path: Path, error: OSError) -> StoreError:
    """Return the error that names the file, what was tried and why it failed."""
    return StoreError(f"{doing} {path} failed: {(error.strerror or str(error)).lower()}", hint=_HINTS.get(error.errno or 0, ""))


def slug(name: str) -> str:
    """Return a file name for what anybody may name as they like: readable, and with a hash so that no two names share it."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60]
    return f"{readable or 'step'}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def run_name(run: str) -> str:
    """Return a run's id, which is safe in a path. Raises UsageError for one that is not."""
    if not re.match(NAME_PATTERN, run):
        raise UsageError(f"'{run}' is no run id")
    return run


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner can enter, parents included. An existing one keeps its mode. Raises StoreError."""
    try:
        if folder.is_dir():
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    except OSError as error:
        raise store_error("making the folder", folder, error) from error


def write_new(path: Path, data: bytes, fsync: Fsync = os.fsync) -> None:
    """Write a file that did not exist before, 0600 from its first moment, and fsync it. What is in the way is removed."""
    with suppress(FileNotFoundError):
        path.unlink()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        write_all(fd, data)
        fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte: one call may take fewer."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_folder(folder: Path, fsync: Fsync = os.fsync) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, data: bytes, fsync: Fsync = os.fsync) -> None:
    """Replace a file as a whole: a reader, and a machine that lost power, see the old or the new one. Raises OSError."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        write_new(temporary, data, fsync)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent, fsync)


def try_flock(fd: int, mode: int = fcntl.LOCK_EX) -> bool:
    """Take a lock without waiting; return whether that worked."""
    try:
        fcntl.flock(fd, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def short_lock(path: Path, *, patience_s: float = 10.0) -> Iterator[None]:
    """Hold the lock file `path` for a moment. Raises LockedError when another process keeps it, StoreError."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    except OSError as error:
        raise store_error("locking", path, error) from error
    try:
        deadline_s = time.monotonic() + patience_s
        while not try_flock(fd):
            if time.monotonic() > deadline_s:
                raise LockedError(f"another process keeps {path} locked", hint="see who: `fuser` with that path")
            time.sleep(0.01)
        yield
    finally:
        os.close(fd)
