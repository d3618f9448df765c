"""Build bundles: prepare, render, pack. The same inputs give the same bytes, wherever the folders are.

What rendering asked a secret for is packed apart (`Bundle.secret_data`), so that it can go to tmpfs on the server and
never into the digest.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from provisioning.adapters.prepare import DEFAULT_TIMEOUT_S, run_prepare
from provisioning.adapters.render import Compiled, Renderer
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.hosts import Bundle, BundleRequest
from provisioning.core.ports import Secrets
from provisioning.core.shown import quote
from provisioning.errors import ConfigError
from provisioning.profiles import MAX_BYTES, PREPARE, ProfileFile, install_script, profile_files, too_big

TEMPLATE_SUFFIX = ".j2"
SMALL_BYTES = 256 * 1024  # up to here the files travel as they are, above as an archive
KEPT_BYTES = 4 * 1024 * 1024  # a bigger profile is read again for every server


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A profile that was read. What is the same on every server is ready for the archive."""

    files: Sequence[ProfileFile]
    contents: Mapping[str, tuple[bool, bytes]]  # name -> whether executable, content; of the files that are no templates
    members: Mapping[str, bytes]  # name -> its part of the archive, of the same files
    templates: Mapping[str, bytes]  # name of the file -> its text, to be rendered
    plain_bytes: int  # of the files that are no templates

    @property
    def prepares(self) -> bool:
        """Whether the profile has to run `prepare` first."""
        return any(file.name == PREPARE for file in self.files)


class TarBundles:
    """The port `Bundles`, for one run: a profile is read when it is first needed, and every server gets the same.

    Blocking work runs in threads.
    """

    def __init__(self, secrets: Secrets, *, prepare_timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._secrets = secrets
        self._prepare_timeout_s = prepare_timeout_s
        self._compiled = Compiled()
        self._kept: dict[str, _Source] = {}

    async def build(self, request: BundleRequest) -> tuple[Bundle, Mapping[str, str]]:
        """Return the bundle and the values of the secrets it used, by name.

        `data` and `secret_data` are tar.gz archives; `secret_data` is empty where no file holds a secret. Raises
        ConfigError: a file that cannot be bundled, a failed prepare, a template that cannot be rendered, a secret that
        cannot be resolved.
        """
        source = self._kept.get(request.profile_path)
        if source is None:
            source = await asyncio.to_thread(self._read, request)
        if source.prepares:
            return await self._prepared(request, source.files)
        return await asyncio.to_thread(self._packed, request, source)

    def _read(self, request: BundleRequest) -> _Source:
        source = _source(Path(request.profile_path), request.taskserv)
        if sum(file.size_bytes for file in source.files) <= KEPT_BYTES:
            self._kept[request.profile_path] = source
        return source

    async def _prepared(self, request: BundleRequest, files: Sequence[ProfileFile]) -> tuple[Bundle, Mapping[str, str]]:
        """Run prepare in a copy of its own, then build from the copy."""
        scratch = await asyncio.to_thread(tempfile.mkdtemp, prefix="provisioning-")
        try:
            folder = Path(scratch, "taskserv", request.profile)
            await asyncio.to_thread(_copy, files, folder)
            await run_prepare(folder, request, timeout_s=self._prepare_timeout_s)
            made = await asyncio.to_thread(_source, folder, request.taskserv, Path(request.profile_path))
            return await asyncio.to_thread(self._packed, request, made)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True))

    def _packed(self, request: BundleRequest, source: _Source) -> tuple[Bundle, Mapping[str, str]]:
        renderer = Renderer(request, self._secrets, source.templates, self._compiled)
        plain, secret, total = dict(source.members), dict[str, bytes](), source.plain_bytes
        contents = dict(source.contents)
        for file in source.files:
            if file.name in source.templates:
                text, holds_secret = renderer.render(file.name)
                data, name = text.encode(), file.name.removesuffix(TEMPLATE_SUFFIX)
                (secret if holds_secret else plain)[name] = _member(name, data, executable=file.executable)
                if not holds_secret:
                    contents[name] = (file.executable, data)
                total += len(data)
        _check_size(request, len(plain) + len(secret), total)
        archive = _archive(plain)
        bundle = Bundle(
            data=_gzip(archive),
            digest=hashlib.sha256(archive).hexdigest(),  # before compression, which may differ between zlib versions
            entry=install_script(request.taskserv),
            files=tuple((name, *contents[name]) for name in sorted(contents)) if total <= SMALL_BYTES else (),
            secret_data=_gzip(_archive(secret)) if secret else b"",
        )
        return bundle, renderer.used


def _source(folder: Path, taskserv: str, shown: Path | None = None) -> _Source:
    """Read a profile. Raises ConfigError with every fault, as if its files were in the folder `shown`."""
    files = _files(folder, taskserv, shown)
    bundled = [file for file in files if file.name != PREPARE]
    plain = {file: file.path.read_bytes() for file in bundled if not file.name.endswith(TEMPLATE_SUFFIX)}
    return _Source(
        files=files,
        contents={file.name: (file.executable, data) for file, data in plain.items()},
        members={file.name: _member(file.name, data, executable=file.executable) for file, data in plain.items()},
        templates={file.name: file.path.read_bytes() for file in bundled if file not in plain},
        plain_bytes=sum(map(len, plain.values())),
    )


def _files(folder: Path, taskserv: str, shown: Path | None = None) -> list[ProfileFile]:
    """Return the files of the profile. Raises ConfigError with every fault, as if they were in the folder `shown`."""
    files, faults = profile_files(folder, taskserv)
    names = {file.name for file in files}
    if install_script(taskserv) not in {name.removesuffix(TEMPLATE_SUFFIX) for name in names}:
        message = f"profile {quote(folder.name)} of taskserv {quote(taskserv)} has no {install_script(taskserv)}"
        faults.append(Fault(code="missing_script", message=message, file=str(folder)))
    for name in sorted(names):
        if name.endswith(TEMPLATE_SUFFIX) and name.removesuffix(TEMPLATE_SUFFIX) in names:
            message = f"{quote(name)} would overwrite {quote(name.removesuffix(TEMPLATE_SUFFIX))}"
            faults.append(Fault(code="name_taken", message=message, file=str(folder / name), hint="rename one of them"))
    if faults:
        if shown:
            faults = [replace(fault, file=fault.file.replace(str(folder), str(shown))) for fault in faults]
        raise ConfigError(faults[0].message, hint=faults[0].hint, faults=faults)
    return files


def _copy(files: Sequence[ProfileFile], folder: Path) -> None:
    for file in files:
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, target)
        target.chmod(0o755 if file.executable else 0o644)


def _check_size(request: BundleRequest, count: int, total_bytes: int) -> None:
    """Check again what rendering made: templates grow. Raises ConfigError."""
    if total_bytes > MAX_BYTES:
        fault = too_big(Path(request.profile_path), count, total_bytes)
        raise ConfigError(f"taskserv {quote(request.taskserv)}: {fault.message}", hint=fault.hint, faults=[fault])


def _member(name: str, data: bytes, *, executable: bool) -> bytes:
    """Return a file as it stands in an archive, without anything that differs between two machines: times, owners, umask."""
    return _header(name, len(data), executable=executable) + data + b"\0" * (-len(data) % tarfile.BLOCKSIZE)


@lru_cache(maxsize=1024)
def _header(name: str, size_bytes: int, *, executable: bool) -> bytes:
    """Return what stands before a file; what is rendered for one server is often as long as for another."""
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    info.mode = 0o755 if executable else 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8")


def _archive(members: Mapping[str, bytes]) -> bytes:
    """Return the archive of these members, in the order of their names."""
    joined = b"".join(members[name] for name in sorted(members)) + b"\0" * 2 * tarfile.BLOCKSIZE
    return joined + b"\0" * (-len(joined) % tarfile.RECORDSIZE)


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=3, mtime=0)  # scripts become 8 % smaller with 6, for three times the work
