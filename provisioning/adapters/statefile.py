"""The resource states in one JSON file that people can read, and that is never half written.

A write goes to a temporary file beside it (0600), is fsynced and renamed, and the folder is fsynced, all under a lock on a
file of its own. The file before stays as `state.json.backup`. What cannot be trusted is refused and left as it is.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.adapters.files import Fsync, private_folder, short_lock, store_error, sync_folder, write_new
from provisioning.codec import CodecError, build, parse, pretty
from provisioning.core.resources import ResourceBook
from provisioning.core.statedoc import (
    MIGRATIONS,
    Migrations,
    StateDocument,
    doubts,
    migrate,
    superseded,
    to_book,
    to_document,
)
from provisioning.errors import StaleRevision, StateFileError, StoreError

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.serials import StateSerials

SIZE_LIMIT_BYTES = 1 << 30  # half a million taskservs fit
_LINEAGE = re.compile(rb'\{\s*"version"\s*:\s*\d+\s*,\s*"lineage"\s*:\s*"([\x21\x23-\x5b\x5d-\x7e]+)"')


class StateFile:
    """Fulfils `ports.Resources`; the `_sync` methods are the same for callers without an event loop.

    `lineage` None means that of the backup, else the file's own, else a new one. `serials` remembers across processes how
    far the file has come. `fsync` exists for tests.
    """

    def __init__(
        self,
        path: Path,
        *,
        lineage: str | None = None,
        serials: StateSerials | None = None,
        fsync: Fsync = os.fsync,
        migrations: Migrations = MIGRATIONS,
    ) -> None:
        self.path = path
        self.backup = path.with_name(path.name + ".backup")
        self.errored = path.with_name(path.name + ".errored")
        self._lineage = lineage
        self._serials = serials
        self._serial = 0  # newest one read or written; 0 with _loaded: there was no file
        self._loaded = False
        self._seen: tuple[int, ...] | None = None  # the file that was read or written last; None: there was none
        self._fsync = fsync
        self._migrations = migrations
        self._busy = threading.Lock()

    async def load(self) -> ResourceBook:
        """Return the book; where there is no file an empty one, at the serial of the last that was. Raises StateFileError."""
        return await asyncio.to_thread(self.load_sync)

    async def save(self, book: ResourceBook) -> ResourceBook:
        """Write the book durably and return it with its serial raised by one.

        Raises StaleRevision when it is not based on what the file holds, StateFileError when the file cannot be trusted,
        StoreError when the disk refuses; what was to be written is then in `state.json.errored`, or where the hint says.
        """
        return await asyncio.to_thread(self.save_sync, book)

    def load_sync(self) -> ResourceBook:
        """As `load`."""
        with self._busy:
            return self._load()

    def save_sync(self, book: ResourceBook) -> ResourceBook:
        """As `save`."""
        with self._busy:
            private_folder(self.path.parent)
            with short_lock(self.path.with_name(self.path.name + ".lock")):
                self._refuse_stale(book)
                written = replace(book, serial=book.serial + 1)
                self._write(pretty(to_document(written)), written, self._keep_backup)
            self._know(written)
        if self._serials is not None:
            self._serials.note(written.lineage, written.serial)
        return written

    def adopt_sync(self, book: ResourceBook, *, force: bool = False) -> bool:
        """Write the book of another keeper as it is, its serial too; return whether the file was another one before.

        Raises StateFileError when the file is not an older one of the same lineage, unless `force`: then what was there is
        in `state.json.replaced`. Raises StoreError.
        """
        with self._busy:
            private_folder(self.path.parent)
            with short_lock(self.path.with_name(self.path.name + ".lock")):
                if not force and not self._is_older(book):
                    return False
                self._write(pretty(to_document(book)), book, self._put_aside if force else self._keep_backup)
            self._know(book)
        if self._serials is not None:
            self._serials.note(book.lineage, book.serial, lower=force)
        return True

    # ------------------------------------------------------------ reading

    def _is_older(self, book: ResourceBook) -> bool:
        """Whether the file may be replaced by `book`; it may stay when it is the same. Raises StateFileError."""
        data = self._read()
        mine = self._book(data) if data is not None else None
        if mine is None or mine == book:
            return mine is None
        if doubt := superseded(mine, book):
            raise self._refusal(doubt.reason, doubt.hint)
        return True

    def _load(self) -> ResourceBook:
        known, data = self._known(), self._read()
        if data is None:
            self._lineage = self._lineage or self._family() or str(uuid.uuid4())
            self._serial, self._loaded = known.get(self._lineage, 0), True
            return ResourceBook(lineage=self._lineage, serial=self._serial)
        book = self._book(data)
        self._trust(book, self._lineage or self._family(), known)
        self._know(book)
        return book

    def _known(self) -> Mapping[str, int]:
        return self._serials.known() if self._serials is not None else {}

    def _trust(self, book: ResourceBook, lineage: str | None, known: Mapping[str, int]) -> None:
        """Refuse a book that cannot be the newest of our own."""
        if doubt := doubts(book, lineage=lineage, serial=max(self._serial, known.get(book.lineage, 0))):
            raise self._refusal(doubt.reason, doubt.hint)

    def _family(self) -> str | None:
        """Return the lineage of the backup, for a process that has seen nothing yet; None where it tells none."""
        try:
            if not stat.S_ISREG(self.backup.stat().st_mode):
                return None
            with self.backup.open("rb") as file:  # its head is enough: `pretty` keeps the order of the fields
                found = _LINEAGE.match(file.read(1024))
        except OSError:
            return None
        return found[1].decode() if found else None

    def _know(self, book: ResourceBook) -> None:
        self._lineage, self._serial, self._loaded = book.lineage, book.serial, True
        self._seen = _signature(self.path)

    def _read(self) -> bytes | None:
        try:
            status = self.path.stat()
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # a pipe would be waited for
                raise self._refusal("it is no regular file")
            if status.st_size > SIZE_LIMIT_BYTES:
                raise self._refusal(f"it has {status.st_size:,} bytes, at most {SIZE_LIMIT_BYTES:,} are read")
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refusal(f"it cannot be read: {(error.strerror or str(error)).lower()}") from error

    def _book(self, data: bytes) -> ResourceBook:
        if not data.strip(b" \t\r\n\0"):
            raise self._refusal("it is empty" if not data else "it holds nothing but blanks")
        foreign = False
        try:
            document = parse(data)
            foreign = isinstance(document, dict) and not document.keys() & {"version", "lineage"}
            current = document if foreign or not isinstance(document, dict) else migrate(document, migrations=self._migrations)
            return to_book(build(current, StateDocument))
        except CodecError as error:
            where = f"{_position(data, error.offset)}: " if error.offset >= 0 else ""
            hint = "a file of another tool is brought in with `provisioning state import`" if foreign else ""
            raise self._refusal(f"{where}{error}", hint) from error
        except ValueError as error:
            raise self._refusal(str(error)) from error

    def _refusal(self, reason: str, hint: str = "") -> StateFileError:
        advice = hint or "put a good one in its place, or move it away to start from nothing"
        if self.backup.exists():
            advice += f"; the one before it is {self.backup}"
        return StateFileError(f"state file {self.path} was refused and left as it is: {reason}", hint=advice)

    # ------------------------------------------------------------ writing

    def _refuse_stale(self, book: ResourceBook) -> None:
        """Compare with what is on the disk now: another process may have written since we read."""
        if not self._loaded or _signature(self.path) not in {None, self._seen}:
            known, data = self._known(), self._read()
            if data is not None:
                on_disk = self._book(data)
                self._trust(on_disk, book.lineage, known)
                self._lineage, self._serial, self._loaded = on_disk.lineage, on_disk.serial, True
        if self._lineage is not None and book.lineage != self._lineage:
            raise self._refusal(f"its lineage is {self._lineage}, that of the change {book.lineage}: another workspace's")
        if self._loaded and book.serial != self._serial:
            raise StaleRevision(
                f"state file {self.path} has changed: it is at serial {self._serial}, the change is based on {book.serial}",
                hint="read it again and repeat the change",
            )

    def _write(self, data: bytes, book: ResourceBook, keep_old: Callable[[], None]) -> None:
        temporary = self.path.with_name(self.path.name + ".tmp")
        try:
            write_new(temporary, data, self._fsync)
            keep_old()
            temporary.replace(self.path)
            sync_folder(self.path.parent, self._fsync)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise self._rescue(data, book, error) from error

    def _keep_backup(self) -> None:
        self._link(self.backup)

    def _put_aside(self) -> None:
        """Keep the old one where nobody takes its lineage for ours."""
        self._link(self.path.with_name(self.path.name + ".replaced"))
        self.backup.unlink(missing_ok=True)

    def _link(self, to: Path) -> None:
        if not self.path.exists():
            return
        link = to.with_name(to.name + ".tmp")
        with suppress(FileNotFoundError):
            link.unlink()
        try:
            os.link(self.path, link)
        except PermissionError:  # a file system without hard links
            write_new(link, self.path.read_bytes(), self._fsync)
        link.replace(to)

    def _rescue(self, data: bytes, book: ResourceBook, error: OSError) -> StoreError:
        """Put what could not be written somewhere else, on a fresh descriptor: after a failed fsync the old one lies."""
        failure = store_error("writing the state file", self.path, error)
        elsewhere = Path(tempfile.gettempdir()) / f"provisioning-{book.lineage}-{book.serial}.state.json.errored"
        for path in (self.errored, elsewhere):
            try:
                write_new(path, data, _no_fsync)
            except OSError:
                with suppress(OSError):
                    path.unlink()  # half of it would be taken for the whole
                continue
            failure.hint = "; ".join(filter(None, (failure.hint, f"what was to be written is in {path}")))
            return failure
        failure.hint = "; ".join(filter(None, (failure.hint, "what was to be written could not be kept anywhere")))
        return failure


def _signature(path: Path) -> tuple[int, ...] | None:
    """Return what changes with every write; that is cheaper than reading a large file again."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _no_fsync(_fd: int) -> None:
    """The rescue copy is worth having even where fsync does not work."""


def _position(data: bytes, offset: int) -> str:
    line, column = data.count(b"\n", 0, offset) + 1, offset - data.rfind(b"\n", 0, offset)
    return f"line {line}, column {column} (byte {offset})"
