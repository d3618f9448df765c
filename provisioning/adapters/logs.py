"""Attempt logs as files: head and tail are kept, memory stays flat however much a step prints."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from provisioning.adapters.capping import Capped
from provisioning.adapters.files import PRIVATE_FILE, private_folder, run_name, slug, store_error, write_all
from provisioning.core.text import plain_text
from provisioning.errors import NotFoundError, StoreError

HEAD_BYTES = 8 * 1024 * 1024
TAIL_BYTES = 2 * 1024 * 1024
LOOK_BACK_BYTES = 64 * 1024  # how far back the last lines are looked for
IN_FOLDER = "cluster:"
"""Begins the path of a log that whoever wrote it knows only relative to the folder of logs, on whatever machine."""


class FileLogs:
    """Fulfils `ports.LogStore` in `<folder>/<run>/<step>-<hash>.<attempt>.log`, files 0600, folders 0700.

    Where the streams are kept apart, they are in two files, `.out` and `.err`, whose names differ in nothing else. Of an
    attempt that prints more than `head_bytes` + `tail_bytes`, the middle is left out and a line says how much.
    """

    def __init__(self, folder: Path, *, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self.folder = folder
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes

    def open(self, run: str, step: str, attempt: int, *, kind: str = "log") -> FileLog:
        """Start a log. One that is there already, of an attempt whose worker was lost, is kept. Raises StoreError."""
        folder, stem = self._run_folder(run), f"{slug(step)}.{attempt}"
        made = _create(folder, stem, kind)
        if made is None:  # the run's first log: nobody has made its folder
            private_folder(self.folder)
            private_folder(folder)
            made = _create(folder, stem, kind)
        if made is None:
            raise StoreError(f"making the log: {folder} has been removed")
        return FileLog(*made, head_bytes=self._head_bytes, tail_bytes=self._tail_bytes)

    def place(self, run: str, parent: Path) -> None:
        """Have the logs of a run in a folder of its own below `parent`; ours then has a link to it. Raises StoreError."""
        link = self._run_folder(run)
        target = parent.absolute() / run
        try:
            target.mkdir(parents=True, exist_ok=True)
            private_folder(self.folder)
            link.symlink_to(target, target_is_directory=True)
        except FileExistsError:  # the run has logs already
            return
        except OSError as error:
            raise store_error("making the folder of the logs", target, error) from error

    def find(self, run: str, step: str, attempt: int) -> str:
        """Return the path of an attempt's log, also while it is written; nothing when there is none. Raises UsageError.

        Of an attempt that several workers have begun, the newest: those of a cluster mark their logs with the time.
        """
        folder, stem = self._run_folder(run), f"{slug(step)}.{attempt}"
        for kind in ("out", "log"):
            path = _numbered(folder, stem, kind, _newest(folder, stem, kind))
            if path.exists() or (path := max(folder.glob(f"{stem}.*.{kind}"), default=path)).exists():
                return str(path)
        return ""

    def delete(self, run: str) -> None:
        """Remove the logs of a run. Removing what is not there is no error. Raises StoreError."""
        folder = self._run_folder(run)
        try:
            if folder.is_symlink():
                shutil.rmtree(folder.resolve(), ignore_errors=True)  # somebody may have cleared it away
                folder.unlink()
            else:
                shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise store_error("removing the logs", folder, error) from error

    def _run_folder(self, run: str) -> Path:
        return self.folder / run_name(run)


class FileLog:
    """One attempt's log while it is written. Fulfils `ports.LogWriter`."""

    def __init__(self, path: Path, fd: int, *, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._path = path
        self._fd: int | None = fd
        self._capped = Capped(head_bytes=head_bytes, tail_bytes=tail_bytes)

    @property
    def path(self) -> str:
        """Where a person finds it."""
        return str(self._path)

    def write(self, data: bytes) -> None:
        """Append. Raises StoreError when the disk refuses; writing after `close` is an error of the caller."""
        if self._fd is None:
            raise ValueError(f"{self._path} is closed")
        head = self._capped.take(data)
        if head:
            self._to_disk(self._fd, head)

    def tail(self, lines: int = 10) -> list[str]:
        """Return the last lines, invalid UTF-8 replaced, control codes removed; also after `close`."""
        recent = self._capped.newest(LOOK_BACK_BYTES)
        if len(recent) < LOOK_BACK_BYTES and (self._fd is None or not self._capped.is_cut):
            recent = _end_of(self._path, LOOK_BACK_BYTES - len(recent)) + recent
        return last_lines(recent, lines)

    def close(self) -> None:
        """Write the tail, if the head was full, and close. Closing twice is no error. Raises StoreError."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        try:
            self._to_disk(fd, self._capped.end())
            self._capped.clear()
        finally:
            os.close(fd)

    def _to_disk(self, fd: int, data: bytes) -> None:
        try:
            write_all(fd, data)
        except OSError as error:
            raise store_error("writing the log", self._path, error) from error


def read_log(path: Path, *, lines: int | None = None) -> str:
    """Return a log as safe text, or only its last `lines`. Raises NotFoundError, StoreError."""
    if lines is not None:
        if not path.exists():
            raise NotFoundError(f"there is no log {path}")
        return "".join(f"{line}\n" for line in last_lines(_end_of(path, LOOK_BACK_BYTES * 16), lines))
    try:
        return plain_text(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no log {path}") from error
    except OSError as error:
        raise store_error("reading the log", path, error) from error


def last_lines(data: bytes, lines: int) -> list[str]:
    """Return the last lines of some output as safe text, without the empty ones at its end."""
    return plain_text(data).rstrip("\n").split("\n")[-lines:] if lines > 0 and data.strip() else []


def _end_of(path: Path, size: int) -> bytes:
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read()
    return b""


def _create(folder: Path, stem: str, kind: str) -> tuple[Path, int] | None:
    """Create the first free name of `stem.log`, `stem.2.log`, ...; an `err` gets the number of the newest `out`.

    None where there is no such folder.
    """
    count = _newest(folder, stem, "out") if kind == "err" else 1
    while True:
        path = _numbered(folder, stem, kind, count)
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, PRIVATE_FILE)
        except FileExistsError:
            count += 1
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_error("making the log", path, error) from error


def _newest(folder: Path, stem: str, kind: str) -> int:
    """Return the highest number in use; 1 when there is none."""
    count = 1
    while _numbered(folder, stem, kind, count + 1).exists():
        count += 1
    return count


def _numbered(folder: Path, stem: str, kind: str, count: int) -> Path:
    return folder / (f"{stem}.{kind}" if count == 1 else f"{stem}.{count}.{kind}")
