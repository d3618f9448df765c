"""Find and read taskservs: folders with `taskserv.toml` and one folder per profile."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from provisioning.core.declare import NAME_PATTERN, Profile, Taskserv
from provisioning.core.faults import Fault
from provisioning.core.shown import quote
from provisioning.formats.jsontext import decode
from provisioning.formats.source import read_bytes
from provisioning.formats.taskserv_toml import FILE_NAME, read_declaration
from provisioning.formats.tomltext import SIZE_LIMIT_BYTES
from provisioning.profiles import SHIPPED, files_digest, install_script, profile_files

_NAME = re.compile(NAME_PATTERN)


def catalogue_folders(workspace_path: Path, infra: str | None = None, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Return where taskservs are looked for, first wins: infra, workspace, the user's library, the ones we ship.

    The user's library is `$XDG_DATA_HOME/provisioning/taskservs`, by default below `~/.local/share`. Folders that do not
    exist are in the list as well.
    """
    data = environ.get("XDG_DATA_HOME") or "~/.local/share"
    of_infra = [workspace_path / "infra" / infra / "taskservs"] if infra else []
    return [*of_infra, workspace_path / "taskservs", Path(data).expanduser() / "provisioning" / "taskservs", SHIPPED]


def load_catalogue(folders: Sequence[Path], base: Path | None = None) -> Catalogue:
    """Return the catalogue over `folders`. Names are listed now, each taskserv is read when it is first asked for.

    Faults name files relative to `base` where they are below it.
    """
    return Catalogue(folders, base)


class Catalogue(Mapping[str, Taskserv]):
    """Every taskserv that can be found, by name.

    A taskserv with faults still has a record, as far as it could be read, so that everything around it can be checked
    too; whoever installs has to look at `faults` or `inspect`.
    """

    def __init__(self, folders: Sequence[Path], base: Path | None = None) -> None:
        self._base = base
        self._paths: dict[str, Path] = {}
        self._read: dict[str, Taskserv] = {}
        self._faults: dict[str, tuple[Fault, ...]] = {}
        for folder in folders:
            for path in _taskserv_folders(folder):
                self._paths.setdefault(path.name, path)

    def __getitem__(self, name: str) -> Taskserv:
        if name not in self._read:
            self._read[name], faults = load_taskserv(self._paths[name])
            self._faults[name] = tuple(self._relative(fault) for fault in faults)
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._paths))

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"Catalogue(<{len(self)} taskservs>)"

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults of the taskservs read so far, in order of their names."""
        return tuple(fault for name in sorted(self._faults) for fault in self._faults[name])

    def inspect(self, name: str) -> tuple[Taskserv | None, tuple[Fault, ...]]:
        """Read a taskserv and return it with its faults; None for a name that nothing has."""
        if name not in self:
            return None, ()
        return self[name], self._faults[name]

    def _relative(self, fault: Fault) -> Fault:
        if self._base is None or not Path(fault.file).is_relative_to(self._base):
            return fault
        return replace(fault, file=str(Path(fault.file).relative_to(self._base)))


def load_taskserv(path: Path) -> tuple[Taskserv, list[Fault]]:
    """Read the taskserv in a folder: what could be read, and what is wrong with it. Without taskserv.toml all is default."""
    path = path.absolute()
    text, faults = _read_toml(path / FILE_NAME)
    declared, wrong = read_declaration(text, path.name, str(path / FILE_NAME))
    faults += wrong
    profiles = {}
    for folder in _subfolders(path, faults):
        files, wrong = profile_files(folder, path.name)
        faults += wrong + _script_faults(folder, path.name, {file.name for file in files})
        profiles[folder.name] = Profile(name=folder.name, path=str(folder), files_digest=files_digest(files))
    if not profiles:
        hint = f"create default/{install_script(path.name)}"
        faults.append(
            Fault(code="no_profile", message=f"taskserv {quote(path.name)} has no profile", file=str(path), hint=hint)
        )
    return replace(declared, path=str(path), profiles=profiles), faults


def _taskserv_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders that may be taskservs: names as the name rule says, so `_lib` and hidden ones are not."""
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if _NAME.match(entry.name) and _is_folder(entry)]
    except OSError:
        return
    yield from (folder / name for name in sorted(found))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself must not hide the folders beside it
        return False


def _subfolders(path: Path, faults: list[Fault]) -> list[Path]:
    """Return the profiles' folders. One that is a symlink out of the taskserv is a fault."""
    kept, root = [], path.resolve()
    for folder in _taskserv_folders(path):
        if folder.resolve().is_relative_to(root):
            kept.append(folder)
        else:
            message = f"symlink {quote(folder.name)} leads out of taskserv {quote(path.name)}"
            faults.append(Fault(code="bad_file", message=message, file=str(folder), hint="a bundle takes plain files only"))
    return kept


def _script_faults(folder: Path, taskserv: str, names: set[str]) -> list[Fault]:
    script = install_script(taskserv)
    if script in names:
        return []
    message = f"profile {quote(folder.name)} of taskserv {quote(taskserv)} has no {script}"
    return [Fault(code="missing_script", message=message, file=str(folder / script), hint="it gets the operation as $1")]


def _read_toml(path: Path) -> tuple[str, list[Fault]]:
    if path.is_symlink():
        return "", [Fault(code="bad_file", message=f"{path.name} is a symlink, expected a file", file=str(path))]
    if not path.exists():
        return "", []
    content = read_bytes(path, most=SIZE_LIMIT_BYTES)
    text, fault = ("", content) if isinstance(content, Fault) else decode(content)
    return text, [replace(fault, file=str(path))] if fault else []
