"""The files of a taskserv's profile, as they go into a bundle and into its digest.

A bundle holds the profile folder; `_common/` beside it, for what several profiles share; and our `provisioning-lib.sh`
if the install script mentions it. The profile's own file wins over a shared one of the same name.

Both the catalogue (`formats`) and the bundle builder (`adapters`) read profiles, so this module is below both.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote

SHIPPED = Path(__file__).resolve().parent / "taskservs"
LIBRARY = "provisioning-lib.sh"
COMMON = "_common"
PREPARE = "prepare"
MAX_FILES = 10_000
MAX_BYTES = 64 * 1024 * 1024  # of all files of one profile


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFile:
    """A regular file of a profile. `name` is relative, with `/`; symlinks inside the folder have been followed."""

    name: str
    path: Path
    executable: bool
    size_bytes: int


def install_script(taskserv: str) -> str:
    """Return the name of the script that every profile must have."""
    return f"install-{taskserv}.sh"


def profile_files(folder: Path, taskserv: str) -> tuple[list[ProfileFile], list[Fault]]:
    """Return the files of a profile, sorted by name, and what is wrong with them: never raises for what is in there."""
    faults: list[Fault] = []
    files = {file.name: file for file in _walk(folder.parent / COMMON, faults)}
    files |= {file.name: file for file in _walk(folder, faults)}
    script = files.get(install_script(taskserv))
    if script and LIBRARY not in files and _mentions(script, LIBRARY):
        files[LIBRARY] = _regular(SHIPPED / "_lib" / "lib.sh", LIBRARY)
    total = sum(file.size_bytes for file in files.values())
    if total > MAX_BYTES or len(files) > MAX_FILES:
        faults.append(too_big(folder, len(files), total))
    return [files[name] for name in sorted(files)], faults


def too_big(folder: Path, count: int, total_bytes: int) -> Fault:
    """Return the fault that says how big a profile is and how big it may be."""
    return Fault(
        code="profile_too_big",
        message=f"profile {quote(folder.name)} has {count} files of {total_bytes / 2**20:.1f} MiB in all",
        file=str(folder),
        hint=f"at most {MAX_FILES} files and {MAX_BYTES // 2**20} MiB; let the script download what is bigger",
    )


def files_digest(files: Iterable[ProfileFile]) -> str:
    """Return the SHA-256 over names, executable bits and contents; what cannot be read, or is too big, counts as empty."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(os.fsencode(file.name) + (b"\0x\0" if file.executable else b"\0-\0"))
        whole.update(_content_digest(file))
    return whole.hexdigest()


def _content_digest(file: ProfileFile) -> bytes:
    if file.size_bytes > MAX_BYTES:  # its profile is refused: nobody waits for gigabytes to be hashed
        return hashlib.sha256().digest()
    try:
        with file.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        return hashlib.sha256().digest()


def _mentions(script: ProfileFile, word: str) -> bool:
    if script.size_bytes > MAX_BYTES:
        return False
    try:
        return word.encode() in script.path.read_bytes()
    except OSError:
        return False


def _regular(path: Path, name: str) -> ProfileFile:
    info = path.stat()
    return ProfileFile(name=name, path=path, executable=bool(info.st_mode & 0o100), size_bytes=info.st_size)


def _walk(folder: Path, faults: list[Fault]) -> Iterator[ProfileFile]:
    """Yield the regular files below `folder`. A symlink out of it, or anything that is no file, is a fault."""
    root = folder.resolve()
    pending = [folder] if folder.is_dir() else []
    while pending:
        here = pending.pop()
        for entry in _listed(here, faults):
            path = Path(entry.path)
            problem = _problem(entry, path, root)
            if problem:
                faults.append(Fault(code="bad_file", message=problem, file=str(path), hint="a bundle takes plain files only"))
            elif entry.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                yield _regular(path, path.relative_to(folder).as_posix())


def _listed(folder: Path, faults: list[Fault]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        faults.append(Fault(code="unreadable", message=f"folder cannot be read: {error.strerror}", file=str(folder)))
        return []


def _problem(entry: os.DirEntry[str], path: Path, root: Path) -> str:
    """Return why an entry cannot be bundled, or an empty text."""
    if not _is_text(entry.name):
        return f"file name {entry.name!r} is not UTF-8"
    try:
        if entry.is_symlink() and not path.resolve(strict=True).is_relative_to(root):
            return f"symlink {quote(entry.name)} leads out of its folder"
        mode = entry.stat().st_mode
    except (OSError, RuntimeError):  # RuntimeError: Python 3.11 and 3.12 on a loop of symlinks
        return f"symlink {quote(entry.name)} leads nowhere"
    if stat.S_ISREG(mode):
        return "" if os.access(path, os.R_OK) else f"file {quote(entry.name)} cannot be read"
    if entry.is_symlink() or not stat.S_ISDIR(mode):
        return f"{quote(entry.name)} is neither a file nor a folder"
    return ""


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
