"""A definition as it travels: the DAG's file, what lies beside it, base.yaml, and how its file is read. Pure.

Packed it is a line of JSON and the contents one after the other, not compressed: the same contents give the same bytes on every
machine, so the digest of the bytes is the address of the package. Source folders are small, or refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from provisioning.core.frozen import dataclass
from provisioning.core.naming import NAME_PATTERN
from provisioning.core.shown import quote

FILES_MOST = 1000
BYTES_MOST = 8 * 1024 * 1024  # of all files, unpacked
HEAD_MOST = 1024 * 1024
TRAVELS_MOST = BYTES_MOST + HEAD_MOST
PATH_MOST = 512  # characters
VERSION = 1
DAGS, BASE = "dags", "base.yaml"
"""Where a package has the folder of the DAG's file, and the base configuration."""
IGNORE = ".dagignore"
"""Names what of the folder does not travel, a pattern a line."""
_is_name = re.compile(NAME_PATTERN).match


class WrongPackage(ValueError):
    """Bytes that are no package, or one that is larger than it may be; the message says what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file. `path` is relative to the package, with `/`."""

    path: str
    data: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A definition. `file` is the path of the DAG's own member; `known` are the DAGs that a `run: NAME` may mean."""

    name: str
    file: str
    members: tuple[Member, ...]  # sorted by path
    default_type: str = "chain"
    known: tuple[str, ...] = ()

    def data(self, path: str) -> bytes | None:
        """Return the content of a member, None where there is none."""
        return next((one.data for one in self.members if one.path == path), None)

    @property
    def digest(self) -> str:
        """The address: that of the bytes which travel."""
        return address(_bytes(self))


def pack(package: Package) -> bytes:
    """Return the bytes that travel. Raises WrongPackage for one that is too large, or whose paths cannot be."""
    _check(package)
    return _bytes(package)


def address(data: bytes) -> str:
    """Return the digest of a packed package: `sha256:` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def unpack(data: bytes, digest: str = "") -> Package:
    """Return the package; with a digest, the one that has it. Raises WrongPackage."""
    if digest and address(data) != digest:
        raise WrongPackage(f"it is not {digest}")
    if len(data) > TRAVELS_MOST:
        raise WrongPackage(f"it is larger than {BYTES_MOST // 2**20} MiB")
    line, newline, rest = data.partition(b"\n")
    if not newline or len(line) > HEAD_MOST:
        raise WrongPackage("its head is missing")
    try:
        package = _read(json.loads(line), rest)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WrongPackage(f"its head cannot be read: {error}") from error
    _check(package)
    return package


def wrong_path(path: str) -> bool:
    """Whether a path could lead out of a folder, or cannot be a file's name."""
    parts = path.split("/")
    odd = any(part in {"", ".", ".."} or len(part.encode("utf-8", "surrogatepass")) > 255 for part in parts)
    return odd or "\0" in path or len(path) > PATH_MOST or not path.isprintable()


def ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether a file of the folder stays at home: hidden ones but `.env` and its like, and what a pattern names.

    A pattern with a slash is for the whole path, one without for each of its parts.
    """
    parts = path.split("/")
    if any(part.startswith(".") and not part.startswith(".env") for part in parts):
        return True
    return any(
        fnmatchcase(path, pattern.strip("/"))
        if "/" in pattern.strip("/")
        else any(fnmatchcase(part, pattern.strip("/")) for part in parts)
        for pattern in patterns
    )


def patterns_of(text: str) -> tuple[str, ...]:
    """Return the patterns of a `.dagignore`: a line each, without blanks around them; `#` begins a comment."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def too_large(count: int, size_bytes: int) -> str:
    """Return what is to be said of so much, nothing where it may travel."""
    if count <= FILES_MOST and size_bytes <= BYTES_MOST:
        return ""
    allowed = f"at most {FILES_MOST:,} files and {BYTES_MOST // 2**20} MiB travel"
    return f"its folder has {count:,} files of {size_bytes / 2**20:.1f} MiB in all, {allowed}"


# ---------------------------------------------------------------- parts


def _bytes(package: Package) -> bytes:
    return b"".join((_head(package), *(one.data for one in package.members)))


def _head(package: Package) -> bytes:
    """Return everything but the contents, in one line."""
    head = {
        "version": VERSION,
        "name": package.name,
        "file": package.file,
        "default_type": package.default_type,
        "known": list(package.known),
        "files": [[one.path, len(one.data), one.executable] for one in package.members],
    }
    return json.dumps(head, separators=(",", ":")).encode() + b"\n"


def _read(head: Mapping[str, Any], rest: bytes) -> Package:
    if head["version"] != VERSION:
        raise WrongPackage(f"it is of version {head['version']}, expected {VERSION}: update the older side")
    members, at = [], 0
    for path, size, executable in head["files"]:
        if not isinstance(size, int) or not 0 <= size <= len(rest) - at:
            raise WrongPackage("its contents end too early")
        members.append(Member(path=str(path), data=rest[at : at + size], executable=executable is True))
        at += size
    if at != len(rest):
        raise WrongPackage("its contents are longer than its head says")
    return Package(
        name=str(head["name"]),
        file=str(head["file"]),
        members=tuple(members),
        default_type=str(head["default_type"]),
        known=tuple(map(str, head["known"])),
    )


def _check(package: Package) -> None:
    if not _is_name(package.name):
        raise WrongPackage(f"{quote(package.name)} is no name of a DAG")
    paths = [one.path for one in package.members]
    if paths != sorted(set(paths)):
        raise WrongPackage("its files are doubled or out of order")
    bad = next((path for path in paths if wrong_path(path)), None)
    if bad is not None:
        raise WrongPackage(f"the path {quote(bad)} cannot be")
    folders = {path[: at.start()] for path in paths for at in re.finditer("/", path)}
    both = next((path for path in paths if path in folders), None)
    if both is not None:
        raise WrongPackage(f"{quote(both)} is a file and a folder")
    if package.file not in paths:
        raise WrongPackage(f"it has no file {quote(package.file)}")
    said = too_large(len(paths), sum(len(one.data) for one in package.members))
    if said:
        raise WrongPackage(said)
