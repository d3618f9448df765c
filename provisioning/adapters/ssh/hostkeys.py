"""Is it the right machine? known_hosts as OpenSSH reads it, and the two refusals: unknown, and not the one we know."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from provisioning.core.frozen import dataclass
from provisioning.errors import ConfigError, HostKeyError

_NOT_PLAIN = re.compile(r"[*?]|^[!|]")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """A host key as it travels: its type, and its blob in base64."""

    type: str
    base64: str

    @property
    def fingerprint(self) -> str:
        """Return what `ssh-keygen -l` shows."""
        digest = hashlib.sha256(base64.b64decode(self.base64)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a known_hosts file."""

    patterns: tuple[str, ...]
    key: HostKey
    revoked: bool = False
    place: str = ""  # file:line

    def names(self, name: str) -> bool:
        """Whether the line speaks of this host."""
        if any(pattern.startswith("!") and fnmatchcase(name, _literal_brackets(pattern[1:])) for pattern in self.patterns):
            return False
        return any(_names(pattern, name) for pattern in self.patterns)


class Entries:
    """The entries of one file. Asked for every server: those with plain names are found by name."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._all = entries
        self._others: list[int] = []  # places of those with patterns or hashes
        self._by_name: dict[str, list[int]] = {}
        for place, entry in enumerate(entries):
            plain = not any(_NOT_PLAIN.search(pattern) for pattern in entry.patterns)
            for places in [self._of(pattern) for pattern in entry.patterns] if plain else [self._others]:
                places.append(place)

    def about(self, name: str) -> list[Entry]:
        """Return those that speak of a host, in the order of the file."""
        others = [place for place in self._others if self._all[place].names(name)]
        return [self._all[place] for place in sorted({*self._by_name.get(name.lower(), ()), *others})]

    def _of(self, name: str) -> list[int]:
        return self._by_name.setdefault(name.lower(), [])


class KnownHosts:
    """Some known_hosts files, each parsed once. Files that do not exist are empty."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._files = [load(path) for path in paths]

    def types(self, name: str) -> tuple[str, ...]:
        """Return the types of the keys we know of a host: asking for another type would look like a changed key."""
        return tuple(dict.fromkeys(entry.key.type for entry in self._about(name) if not entry.revoked))

    def revoked(self, name: str, key: HostKey) -> bool:
        """Whether this key of a host must not be used any more."""
        return any(entry.revoked and entry.key == key for entry in self._about(name))

    def check(self, name: str, key: HostKey, *, server: str) -> None:
        """Accept a key that we know. Raises HostKeyError: unknown, changed or revoked."""
        entries = self._about(name)
        for entry in entries:
            if entry.key == key and entry.revoked:
                raise HostKeyError(
                    f"the host key of {server} is revoked: {key.type} {key.fingerprint} ({entry.place})", server=server
                )
        known = [entry for entry in entries if not entry.revoked]
        if any(entry.key == key for entry in known) or (not known and self._knows_without_port(name, key)):
            return
        if known:
            raise _changed(known, key, name=name, server=server)
        raise HostKeyError(
            f"the host key of {server} ({name}) is not known: {key.type} {key.fingerprint}",
            hint=f"compare the fingerprint on the server, then: provisioning server trust {server}",
            server=server,
        )

    def _about(self, name: str) -> list[Entry]:
        return [entry for file in self._files for entry in file.about(name)]

    def _knows_without_port(self, name: str, key: HostKey) -> bool:
        """Whether a host without an entry for its port is known by this key without one; OpenSSH accepts that, too."""
        host, port, _ = name.removeprefix("[").partition("]:")
        return bool(port) and any(entry.key == key and not entry.revoked for entry in self._about(host))


def _changed(known: Sequence[Entry], key: HostKey, *, name: str, server: str) -> HostKeyError:
    same = next((entry for entry in known if entry.key.type == key.type), known[0])
    what = "has changed" if same.key.type == key.type else "is of another type than the one we know"
    return HostKeyError(
        f"the host key of {server} ({name}) {what}: known {same.key.type} {same.key.fingerprint} ({same.place}), "
        f"offered {key.type} {key.fingerprint}",
        hint=f"somebody may be listening in; if the server was reinstalled, remove {same.place}, then: "
        f"provisioning server trust {server}",
        server=server,
    )


@cache
def _load(path: Path, stamp: tuple[int, int, int]) -> Entries:
    del stamp  # only tells one state of the file from another
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as wrong:
        raise ConfigError(f"{path} cannot be read: {wrong.strerror}") from wrong
    return Entries([entry for number, line in enumerate(lines, 1) for entry in parse(line, place=f"{path}:{number}")])


def load(path: Path) -> Entries:
    """Return the entries of a file, none when it is not there. Raises ConfigError when it cannot be read."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Entries(())
    except OSError as wrong:
        raise ConfigError(f"{path} cannot be read: {wrong.strerror}") from wrong
    return _load(path, (found.st_ino, found.st_size, found.st_mtime_ns))


def parse(line: str, *, place: str = "") -> Iterator[Entry]:
    """Yield the entry of a line. Comments, damaged lines and certificate authorities, which we do not check, have none."""
    words = line.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if marker not in {"", "@revoked"} or len(words) < 3 or words[0].startswith("#"):
        return
    try:
        base64.b64decode(words[2], validate=True)
    except ValueError:
        return
    key = HostKey(type=words[1], base64=words[2])
    yield Entry(patterns=tuple(words[0].split(",")), key=key, revoked=marker == "@revoked", place=place)


def add_known_host(path: Path, name: str, key: HostKey) -> None:
    """Append a key durably, the file and its folder private. `name` is what `config.known_name` returns."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    line = f"{name} {key.type} {key.base64}\n".encode()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(handle, line)  # one write: a reader, or another writer, sees the whole line
        os.fsync(handle)
    finally:
        os.close(handle)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _names(pattern: str, name: str) -> bool:
    if not pattern.startswith("|1|"):
        if "*" not in pattern and "?" not in pattern:
            return pattern.lower() == name.lower()
        return fnmatchcase(name.lower(), _literal_brackets(pattern.lower()))
    try:
        _, _, salt, wanted = pattern.split("|")
        hashed = hmac.new(base64.b64decode(salt), name.lower().encode(), hashlib.sha1).digest()
        return hmac.compare_digest(base64.b64encode(hashed).decode(), wanted)
    except ValueError:
        return False


def _literal_brackets(pattern: str) -> str:
    """Return the pattern with `[` taken as itself: in known_hosts it begins `[host]:port`, not a set of letters."""
    return pattern.replace("[", "[[]")
