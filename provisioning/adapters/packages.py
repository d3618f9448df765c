"""Packages on this machine's disk: the folder that one is made of, those that are kept, and where a run finds one's files."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from provisioning.adapters.files import private_folder, run_name, store_error, write_new
from provisioning.core.dagu.package import (
    BYTES_MOST,
    DAGS,
    FILES_MOST,
    IGNORE,
    TRAVELS_MOST,
    Member,
    Package,
    address,
    ignored,
    patterns_of,
    too_large,
    wrong_path,
)
from provisioning.core.shown import quote
from provisioning.errors import ConfigError, StoreError, TooLarge

KEPT_BYTES = 256 * 1024 * 1024
UNUSED_S = 7 * 86_400
"""How long the files of a run stay that nothing of it has used."""
LOOKED_AT_MOST = 20 * FILES_MOST
HINT = f"{IGNORE} in that folder names what does not travel, a pattern a line; or give the DAG a folder of its own"


# ---------------------------------------------------------------- what travels


def folder_members(folder: Path, skipped: Callable[[str], bool]) -> list[Member]:
    """Return the files of a folder that travel, by path. `skipped` are further paths that do not.

    Raises TooLarge, and ConfigError for a link that leads out, a file that cannot be read.
    """
    root, patterns = folder.resolve(), _patterns(folder)
    found: list[tuple[str, Path, os.stat_result]] = []
    for path in _files(folder, lambda name: ignored(name, patterns) or skipped(name)):
        name = path.relative_to(folder).as_posix()
        found.append((name, path, _checked(path, name, root)))
        said = too_large(len(found), sum(info.st_size for _, _, info in found)) if len(found) % 64 == 0 else ""
        if said:
            raise TooLarge(f"{said}, and there is more", hint=HINT)
    said = too_large(len(found), sum(info.st_size for _, _, info in found))
    if said:
        raise TooLarge(said, hint=HINT)
    return [
        Member(path=f"{DAGS}/{name}", data=_read(path), executable=bool(info.st_mode & 0o100))
        for name, path, info in sorted(found)
    ]


def _patterns(folder: Path) -> Sequence[str]:
    path = folder / IGNORE
    try:
        return patterns_of(_read(path).decode("utf-8", "replace")) if path.is_file() else ()
    except OSError as error:
        raise _unreadable(path, error) from error


def _files(folder: Path, stays: Callable[[str], bool]) -> Iterator[Path]:
    """Yield the files below a folder. Links to folders are not followed: they are looked at as files, and refused."""
    looked_at, pending = 0, [folder]
    while pending:
        here = pending.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            raise _unreadable(here, error) from error
        for entry in entries:
            looked_at += 1
            if looked_at > LOOKED_AT_MOST:
                raise TooLarge(f"its folder has more than {LOOKED_AT_MOST:,} files", hint=HINT)
            path = Path(entry.path)
            if stays(path.relative_to(folder).as_posix()):
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                yield path


def _checked(path: Path, name: str, root: Path) -> os.stat_result:
    if wrong_path(name):
        raise ConfigError(f"the file {quote(name)} cannot travel: its name", hint=HINT)
    try:
        info = path.stat()
        out = path.is_symlink() and not path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"the file {quote(name)} cannot travel: it leads nowhere", hint=HINT) from error
    if out or not stat.S_ISREG(info.st_mode):
        what = "it leads out of its folder" if out else "it is no regular file"
        raise ConfigError(f"{quote(name)} cannot travel: {what}", hint=HINT)
    return info


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(BYTES_MOST + 1)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}", hint=HINT)


# ---------------------------------------------------------------- what is kept, and what runs find


class PackageFolder:
    """Packages below one folder: `kept/` has them as they travel, `runs/` has their files for each run that uses them."""

    def __init__(self, folder: Path, *, kept_bytes: int = KEPT_BYTES, now: Callable[[], float] = time.time) -> None:
        self._kept, self._runs = folder / "kept", folder / "runs"
        self._kept_bytes, self._now = kept_bytes, now

    def get(self, digest: str) -> bytes | None:
        """Return a package that is kept; one that was damaged is not."""
        path = self._path(digest)
        try:
            data = path.read_bytes() if path.stat().st_size <= TRAVELS_MOST else b""
            os.utime(path)
        except OSError:
            return None
        return data if address(data) == digest else None

    def put(self, data: bytes) -> str:
        """Keep a package, and return its digest; those that were not used for longest make room. Raises StoreError."""
        digest = address(data)
        path = self._path(digest)
        private_folder(self._kept)
        try:
            if not path.exists():
                _write(path, data)
            os.utime(path)
            self._make_room()
        except OSError as error:
            raise store_error("keeping the package", path, error) from error
        return digest

    def digests(self) -> list[str]:
        """Return what is kept, the newest first."""
        with suppress(OSError):
            paths = sorted(self._kept.glob("*.package"), key=lambda path: -path.stat().st_mtime)
            return [f"sha256:{path.stem}" for path in paths]
        return []

    def unpacked(self, digest: str, run: str) -> Path | None:
        """Return the folder of the DAG's file that a run has of a package, None where it has not been laid out."""
        folder = self._of_run(digest, run) / DAGS
        if not folder.is_dir():
            return None
        with suppress(OSError):
            os.utime(folder.parent)
        return folder

    def lay_out(self, package: Package, digest: str, run: str) -> Path:
        """Write the files of a package for a run, all or none; return the folder of the DAG's file. Raises StoreError.

        Folders that nobody has used for a week are removed.
        """
        final = self._of_run(digest, run)
        private_folder(final.parent)
        try:
            scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=final.parent))
            try:
                for one in package.members:
                    _lay(scratch / one.path, one)
                (scratch / DAGS).mkdir(exist_ok=True)
                scratch.rename(final)
            except FileExistsError:
                shutil.rmtree(scratch, ignore_errors=True)
            except OSError as error:
                shutil.rmtree(scratch, ignore_errors=True)
                if not final.is_dir():  # somebody else was faster
                    raise error from None
        except OSError as error:
            raise store_error("laying out the package in", final, error) from error
        self._sweep(final.parent)
        return final / DAGS

    # ------------------------------------------------------------ parts

    def _path(self, digest: str) -> Path:
        return self._kept / f"{_hex(digest)}.package"

    def _of_run(self, digest: str, run: str) -> Path:
        return self._runs / run_name(run) / _hex(digest)[:16]

    def _make_room(self) -> None:
        paths = sorted(self._kept.glob("*.package"), key=lambda path: -path.stat().st_mtime)
        total = 0
        for path in paths:
            total += path.stat().st_size
            if total > self._kept_bytes and path != paths[0]:
                path.unlink(missing_ok=True)

    def _sweep(self, mine: Path) -> None:
        with suppress(OSError):
            for run in self._runs.iterdir():
                used = max((one.stat().st_mtime for one in run.iterdir()), default=run.stat().st_mtime)
                if run != mine and self._now() - used > UNUSED_S:
                    shutil.rmtree(run, ignore_errors=True)


def _hex(digest: str) -> str:
    """Return the digits of a digest, which are safe in a path. Raises StoreError."""
    kind, _, digits = digest.partition(":")
    if kind != "sha256" or len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        raise StoreError(f"{quote(digest)} is no digest of a package")
    return digits


def _lay(path: Path, member: Member) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_new(path, member.data)  # durable: whoever finds the folder after a power cut takes what is in it for whole
    path.chmod(0o700 if member.executable else 0o600)


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. It need not outlive a power cut: it can be fetched again."""
    fd, scratch = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        Path(scratch).replace(path)
    except OSError:
        Path(scratch).unlink(missing_ok=True)
        raise
