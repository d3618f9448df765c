"""The user's own file, `$XDG_CONFIG_HOME/provisioning/config.toml`: known workspaces, the active one, settings."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from types import MappingProxyType

from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.suggest import nearest
from provisioning.errors import ConfigError, StoreError

SIZE_LIMIT_BYTES = 1024 * 1024
MEND = "mend the file, or remove it"
KEYS = ("active", "workspaces", "settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFile:
    """What a user keeps between calls. Paths are absolute."""

    path: Path
    active: str | None = None  # path of the workspace that `workspace use` chose
    workspaces: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # name -> path
    settings: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


def config_path(environment: Mapping[str, str] | None = None) -> Path:
    """Return where the file is, whether it exists or not."""
    variables = os.environ if environment is None else environment
    base = variables.get("XDG_CONFIG_HOME") or ""
    root = Path(base) if Path(base).is_absolute() else Path(variables.get("HOME") or Path.home()) / ".config"
    return root / "provisioning" / "config.toml"


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Return the user's cache folder for us, whether it exists or not."""
    variables = os.environ if environment is None else environment
    base = variables.get("XDG_CACHE_HOME") or ""
    root = Path(base) if Path(base).is_absolute() else Path(variables.get("HOME") or Path.home()) / ".cache"
    return root / "provisioning"


def state_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Return the user's folder for what we keep between calls and could make anew, whether it exists or not."""
    variables = os.environ if environment is None else environment
    base = variables.get("XDG_STATE_HOME") or ""
    root = Path(base) if Path(base).is_absolute() else Path(variables.get("HOME") or Path.home()) / ".local" / "state"
    return root / "provisioning"


def read(path: Path | None = None) -> UserFile:
    """Return the user's file; one that does not exist is empty. Raises ConfigError."""
    path = path or config_path()
    try:
        text = _text(path)
        import tomllib  # loaded only where there is something to read

        content = tomllib.loads(text)
    except FileNotFoundError:
        return UserFile(path=path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}", hint=MEND) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, numbers without end, nesting without end
        raise ConfigError(f"cannot read {path}: {error}", hint=MEND) from error
    faults = list(_faults(path, content))
    if faults:
        raise ConfigError(f"{path} is wrong", faults=faults)
    return UserFile(
        path=path,
        active=content.get("active"),
        workspaces=content.get("workspaces", {}),
        settings=content.get("settings", {}),
    )


def _text(path: Path) -> str:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > SIZE_LIMIT_BYTES:  # a pipe would be waited for
        raise OSError("is no regular file" if status.st_size <= SIZE_LIMIT_BYTES else "is larger than 1 MiB")
    return path.read_text(encoding="utf-8")


def _faults(path: Path, content: Mapping[str, object]) -> list[Fault]:
    wrong = [
        _wrong(path, "active", "text") for value in [content.get("active")] if value is not None and not isinstance(value, str)
    ]
    tables = [_wrong(path, key, "a table") for key in ("workspaces", "settings") if not isinstance(content.get(key, {}), dict)]
    names = content.get("workspaces")
    if isinstance(names, dict):
        wrong += [_wrong(path, f"workspaces.{name}", "a path") for name, value in names.items() if not isinstance(value, str)]
    unknown = [
        Fault(
            code="unknown_key",
            message=f"unknown key {key!r}",
            file=str(path),
            path=f"$.{key}",
            hint=f"did you mean {near}?" if (near := nearest(key, KEYS)) else f"keys: {', '.join(KEYS)}",
        )
        for key in content
        if key not in KEYS
    ]
    return [*wrong, *tables, *unknown]


def _wrong(path: Path, key: str, expected: str) -> Fault:
    return Fault(code="wrong_type", message=f"{key} must be {expected}", file=str(path), path=f"$.{key}")


def write(file: UserFile) -> None:
    """Write the file as a whole. Comments in it are lost. Raises StoreError."""
    import tomli_w

    content: dict[str, object] = {"active": file.active} if file.active else {}
    content |= {key: dict(table) for key, table in (("workspaces", file.workspaces), ("settings", file.settings)) if table}
    temporary = file.path.with_name(f".{file.path.name}.{os.getpid()}")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(tomli_w.dumps(content), encoding="utf-8")
        temporary.replace(file.path)
    except OSError as error:
        raise StoreError(f"cannot write {file.path}: {error.strerror}") from error
