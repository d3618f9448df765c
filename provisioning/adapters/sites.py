"""What a worker has to know of a workspace to install its taskservs, packed: servers, taskservs, host keys, no secrets.

A line of JSON and the contents of the files one after the other, compressed: the same workspace gives the same bytes, so their
digest is the address.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from provisioning.adapters.files import private_folder, short_lock, store_error, sync_folder, write_new
from provisioning.codec import CodecError, build, parse, plain
from provisioning.core.declare import Infra, Profile, Server, Taskserv, Workspace
from provisioning.core.frozen import dataclass
from provisioning.errors import ConfigError, StoreError
from provisioning.profiles import profile_files

VERSION = 1
MOST_BYTES = 64 * 1024 * 1024
KNOWN_HOSTS = "known_hosts"
_FACTS, _FILES = "site.json", "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedSite:
    """A part of a workspace, as it travels. Paths of taskservs are those of the machine where it is."""

    workspace: Workspace
    servers: tuple[Server, ...]
    taskservs: Mapping[str, Taskserv]
    lineage: str
    folder: str = ""  # where it was unpacked

    @property
    def known_hosts(self) -> Path:
        """The file with the host keys that the workspace trusts."""
        return Path(self.folder) / KNOWN_HOSTS


def pack(infra: Infra, profiles: Collection[tuple[str, str]], *, lineage: str, known_hosts: bytes) -> bytes:
    """Return the package of these profiles (taskserv, profile) and all servers. Raises ConfigError for one too large."""
    needed = {name: infra.taskservs[name] for name, _ in sorted(profiles)}
    kept = {
        name: replace(
            one, path="", profiles={p.name: replace(p, path="") for p in one.profiles.values() if (name, p.name) in profiles}
        )
        for name, one in needed.items()
    }
    site = PackedSite(
        workspace=replace(infra.workspace, path="", settings={}), servers=infra.servers, taskservs=kept, lineage=lineage
    )
    files = sorted(_files(infra, profiles))
    sizes = [path.stat().st_size for _, _, path in files]
    listed = [[name, size, executable] for (name, executable, _), size in zip(files, sizes, strict=True)]
    head = {"version": VERSION, "site": plain(site), "known_hosts": known_hosts.decode("utf-8", "replace"), "files": listed}
    total = sum(sizes)
    if total > MOST_BYTES:
        raise ConfigError(
            f"the taskservs of this run have {total / 2**20:.0f} MiB, at most {MOST_BYTES // 2**20} MiB travel to workers",
            hint="have scripts fetch what is large on the server itself",
        )
    data = json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    return gzip.compress(data + b"".join(path.read_bytes() for _, _, path in files), compresslevel=3, mtime=0)


def address(data: bytes) -> str:
    """Return the digest of a package."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class SiteFolder:
    """Unpacked packages below a folder, by their digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, digest: str) -> PackedSite | None:
        """Return one that was unpacked before."""
        try:
            return _load(self._path(digest))
        except (OSError, ValueError):
            return None

    def put(self, digest: str, data: bytes) -> PackedSite:
        """Unpack one, whole or not at all. Raises StoreError."""
        if address(data) != digest:
            raise StoreError(f"the package of the workspace is not {digest}")
        final = self._path(digest)
        private_folder(self._folder)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            _unpack(data, scratch)
            return self._place(scratch, digest)
        except OSError as error:
            raise store_error("unpacking", final, error) from error
        except (ValueError, KeyError, TypeError, EOFError) as error:
            raise StoreError(f"the package of the workspace is damaged: {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _place(self, scratch: Path, digest: str) -> PackedSite:
        """Give it its name. What another worker on this machine was faster with may be in use already: it stays."""
        final = self._path(digest)
        with short_lock(self._folder / ".lock"):
            if found := self.find(digest):
                return found
            shutil.rmtree(final, ignore_errors=True)  # it was damaged
            scratch.rename(final)
            sync_folder(self._folder)
        return _load(final)

    def _path(self, digest: str) -> Path:
        kind, _, digits = digest.partition(":")
        if kind != "sha256" or len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
            raise StoreError(f"{digest!r} is no digest of a package")
        return self._folder / digits


# ---------------------------------------------------------------- parts


def _files(infra: Infra, profiles: Collection[tuple[str, str]]) -> Iterator[tuple[str, bool, Path]]:
    for name, profile in profiles:
        found: Profile = infra.taskservs[name].profiles[profile]
        for file in profile_files(Path(found.path), name)[0]:
            yield f"{_FILES}/{name}/{profile}/{file.name}", file.executable, file.path


def _unpack(data: bytes, folder: Path) -> None:
    whole = gzip.decompress(data)
    line, _, rest = whole.partition(b"\n")
    head: dict[str, Any] = parse(line)
    if head["version"] != VERSION:
        raise ValueError(f"it is of version {head['version']}, expected {VERSION}: update the older side")
    at, root = 0, folder.resolve()
    for name, size, executable in head["files"]:
        path = folder / str(name)
        if not path.resolve().is_relative_to(root):
            raise ValueError(f"the path {name!r} leads out of it")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path, rest[at : at + size])
        path.chmod(0o700 if executable else 0o600)
        at += size
    write_new(folder / KNOWN_HOSTS, str(head["known_hosts"]).encode())
    write_new(folder / _FACTS, json.dumps(head["site"]).encode())


def _load(folder: Path) -> PackedSite:
    try:
        site = build(parse((folder / _FACTS).read_bytes()), PackedSite, strict=False)
    except CodecError as error:
        raise ValueError(str(error)) from error
    return replace(site, folder=str(folder), taskservs={name: _placed(one, folder) for name, one in site.taskservs.items()})


def _placed(taskserv: Taskserv, folder: Path) -> Taskserv:
    home = folder / _FILES / taskserv.name
    profiles = {name: replace(one, path=str(home / name)) for name, one in taskserv.profiles.items()}
    return replace(taskserv, path=str(home), profiles=profiles)
