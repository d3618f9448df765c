"""Build bundles: prepare, render, pack. The same inputs give the same bytes, wherever the folders are.

What rendering asked a secret for is packed apart (`Bundle.secret_data`), so that it can go to tmpfs on the server and
never into the digest.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from provisioning.adapters.prepare import DEFAULT_TIMEOUT_S, run_prepare
from provisioning.adapters.render import Renderer
from provisioning.core.faults import Fault
from provisioning.core.ports import Bundle, BundleRequest, Secrets
from provisioning.core.shown import quote
from provisioning.errors import ConfigError
from provisioning.profiles import MAX_BYTES, PREPARE, ProfileFile, install_script, profile_files, too_big

TEMPLATE_SUFFIX = ".j2"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of the bundle, ready to be packed."""

    name: str
    data: bytes
    executable: bool
    secret: bool


class TarBundles:
    """The port `Bundles`. Blocking work runs in threads."""

    def __init__(self, secrets: Secrets, *, prepare_timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._secrets = secrets
        self._prepare_timeout_s = prepare_timeout_s

    async def build(self, request: BundleRequest) -> tuple[Bundle, Mapping[str, str]]:
        """Return the bundle and the values of the secrets it used, by name.

        `data` and `secret_data` are tar.gz archives; `secret_data` is empty where no file holds a secret. Raises
        ConfigError: a file that cannot be bundled, a failed prepare, a template that cannot be rendered, a secret that
        cannot be resolved.
        """
        files = await asyncio.to_thread(_files, Path(request.profile_path), request.taskserv)
        if any(file.name == PREPARE for file in files):
            return await self._prepared(request, files)
        return await asyncio.to_thread(self._packed, request, files)

    async def _prepared(self, request: BundleRequest, files: Sequence[ProfileFile]) -> tuple[Bundle, Mapping[str, str]]:
        """Run prepare in a copy of its own, then build from the copy."""
        scratch = await asyncio.to_thread(tempfile.mkdtemp, prefix="provisioning-")
        try:
            folder = Path(scratch, "taskserv", request.profile)
            await asyncio.to_thread(_copy, files, folder)
            await run_prepare(folder, request, timeout_s=self._prepare_timeout_s)
            made = await asyncio.to_thread(_files, folder, request.taskserv, Path(request.profile_path))
            return await asyncio.to_thread(self._packed, request, made)
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True))

    def _packed(self, request: BundleRequest, files: Sequence[ProfileFile]) -> tuple[Bundle, Mapping[str, str]]:
        renderer = Renderer(request, self._secrets, _templates(files))
        entries = [_entry(file, renderer) for file in files if file.name != PREPARE]
        _check_size(request, entries)
        plain = _tar([entry for entry in entries if not entry.secret])
        secret = [entry for entry in entries if entry.secret]
        bundle = Bundle(
            data=_gzip(plain),
            digest=hashlib.sha256(plain).hexdigest(),  # before compression, which may differ between zlib versions
            entry=install_script(request.taskserv),
            secret_data=_gzip(_tar(secret)) if secret else b"",
        )
        return bundle, renderer.used


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


def _templates(files: Sequence[ProfileFile]) -> Mapping[str, Path]:
    return {file.name: file.path for file in files if file.name.endswith(TEMPLATE_SUFFIX)}


def _entry(file: ProfileFile, renderer: Renderer) -> _Entry:
    if file.name.endswith(TEMPLATE_SUFFIX):
        text, secret = renderer.render(file.name)
        return _Entry(file.name.removesuffix(TEMPLATE_SUFFIX), text.encode(), file.executable, secret)
    return _Entry(file.name, file.path.read_bytes(), file.executable, secret=False)


def _check_size(request: BundleRequest, entries: Sequence[_Entry]) -> None:
    """Check again what rendering made: templates grow. Raises ConfigError."""
    total = sum(len(entry.data) for entry in entries)
    if total > MAX_BYTES:
        fault = too_big(Path(request.profile_path), len(entries), total)
        raise ConfigError(f"taskserv {quote(request.taskserv)}: {fault.message}", hint=fault.hint, faults=[fault])


def _tar(entries: Sequence[_Entry]) -> bytes:
    """Return an archive without anything that differs between two machines: times, owners, umask, order."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in sorted(entries, key=lambda entry: entry.name):
            info = tarfile.TarInfo(entry.name)
            info.size = len(entry.data)
            info.mode = 0o755 if entry.executable else 0o644
            archive.addfile(info, io.BytesIO(entry.data))
    return packed.getvalue()


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=6, mtime=0)
