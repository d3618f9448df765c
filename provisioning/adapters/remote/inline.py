"""A small bundle as a function of bash: on a server that has to start tar and gzip for it, that is a third of a step."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath

from provisioning.adapters.remote.quote import quote
from provisioning.core.ports import Bundle

_LIMIT_BYTES = 64 * 1024  # of contents; above that, an archive is quicker
_RAW_LIMIT_BYTES = 4 * _LIMIT_BYTES  # with the archive's own headers and padding


def write_files(bundle: Bundle) -> str:
    """Return a function `write_files FOLDER` that makes the bundle's files; empty when an archive has to be sent.

    An archive is needed for large bundles, for files with NUL bytes, and for anything but plain files and folders. A
    damaged archive is the server's to refuse.
    """
    return _write_files(bundle.data, bundle.entry) if len(bundle.data) <= _LIMIT_BYTES else ""


@lru_cache(maxsize=32)
def _write_files(data: bytes, entry: str) -> str:
    try:
        with gzip.open(io.BytesIO(data)) as file:
            raw = file.read(_RAW_LIMIT_BYTES)
            if file.read(1):  # also compares the checksum, which tarfile would not
                return ""
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
            return _function(archive, entry)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error):
        return ""


def _function(archive: tarfile.TarFile, entry: str) -> str:
    folders: dict[str, None] = {}
    runnable: list[str] = []
    writes: list[str] = []
    size = 0
    for member in archive:
        name = PurePosixPath(member.name)
        size += member.size
        if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()) or size > _LIMIT_BYTES:
            return ""
        if member.isdir():
            folders[str(name)] = None
            continue
        content = archive.extractfile(member)
        text = content.read() if content else b""
        if b"\0" in text:
            return ""
        folders[str(name.parent)] = None
        if member.mode & 0o111 and str(name) != entry:  # the entry is given to bash
            runnable.append(str(name))
        writes.append(f'printf %s {quote(text)} >"$1"/{quote(str(name))}')
    folders.pop(".", None)
    return "write_files() {\n" + " &&\n".join((*_on("mkdir -p", folders), *writes, *_on("chmod 755", runnable), ":")) + "\n}\n"


def _on(command: str, names: dict[str, None] | list[str]) -> Iterator[str]:
    if names:
        yield f"{command} " + " ".join(f'"$1"/{quote(name)}' for name in names)
