"""The files of a small bundle: on a server that has to start tar and gzip for it, that is a third of a step."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from functools import lru_cache
from pathlib import PurePosixPath

from provisioning.adapters.remote.frames import netstrings

_LIMIT_BYTES = 256 * 1024  # of an archive; above that, it is quicker to send it as it is


@lru_cache(maxsize=32)
def contents(archive: bytes, *, limit_bytes: int = _LIMIT_BYTES) -> bytes | None:
    """Return path, mode and content of each file of a tar.gz, as netstrings; None when the archive itself has to be sent.

    That is so for large ones, and for anything but plain files. A damaged archive is the server's to refuse.
    """
    if len(archive) > limit_bytes:
        return None
    try:
        with gzip.open(io.BytesIO(archive)) as file:
            raw = file.read(2 * limit_bytes)
            if file.read(1):  # also compares the checksum, which tarfile would not
                return None
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as opened:
            return _files(opened)
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error):
        return None


def _files(archive: tarfile.TarFile) -> bytes | None:
    words: list[str | bytes] = []
    for member in archive:
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts or not member.isfile():
            return None
        content = archive.extractfile(member)
        words += (str(name), "755" if member.mode & 0o111 else "644", content.read() if content else b"")
    return netstrings(words)
