"""Which folders are meant: the DAG files, what lies beneath them, which are suspended, and where history and logs are.

The files are in `--dags`, else `dags` of `--dagu-home`, else the setting `dagu.dags`, else `dags` of `$DAGU_HOME`, else an
existing `~/.dagu/dags`, else `$XDG_CONFIG_HOME/dagu/dags`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from provisioning.core.frozen import dataclass
from provisioning.errors import UsageError
from provisioning.settings import DaguSettings, load

DAGS, BASE, FUNCTIONS, SUSPENDED = "dags", "base.yaml", "functions.toml", "suspend"
SUSPEND_SUFFIX = ".suspend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Absolute paths. Nothing of it need exist, but the base does."""

    dags: Path  # the folder of the files
    named: bool  # somebody said which folder it is
    base: Path | None  # base.yaml, which lies beneath every DAG
    suspended: Path  # the folder of flag files `NAME.suspend`
    data: Path  # the folder of history and logs

    @property
    def functions(self) -> Path:
        """The file that says what `function:` ids run."""
        return self.dags / FUNCTIONS


def find_places(
    *,
    dags: str | None = None,
    home: str | None = None,
    settings: DaguSettings | None = None,
    environment: Mapping[str, str] | None = None,
) -> Places:
    """Return which folders are meant. `dags` and `home` are the options, None where they were not given.

    Raises UsageError for an empty option, ConfigError for wrong settings.
    """
    variables = os.environ if environment is None else environment
    chosen = settings or load().dagu
    for option, value in (("--dags", dags), ("--dagu-home", home)):
        if value == "":  # an unset variable in a script must not mean the current folder
            raise UsageError(f"{option} is empty", hint="give a folder")
    folder = dags or ("" if home else chosen.dags)
    data = (
        Path(chosen.data).expanduser().absolute()
        if chosen.data
        else _xdg(variables, "DATA", ".local/share") / "provisioning/dagu"
    )
    if folder:
        return _around(_said(folder), data)
    return _at_home(home or variables.get("DAGU_HOME") or "", variables, data)


def _around(dags: Path, data: Path) -> Places:
    """Return the places around a folder that was named. One that is called `dags` is taken for a part of Dagu's home.

    Of other folders nothing above them counts, nor of a folder that anybody may write to: its base.yaml is anybody's.
    """
    home = dags.parent if dags.name == DAGS and not _is_anybodys(dags.parent) else None
    bases = [dags / BASE, *([home / BASE] if home else [])]
    return Places(
        dags=dags,
        named=True,
        base=next(filter(_is_file, bases), None),
        suspended=(home or data) / SUSPENDED,
        data=data,
    )


def _at_home(home: str, variables: Mapping[str, str], data: Path) -> Places:
    """Return the places in Dagu's own home, or where XDG has them."""
    old = _user(variables) / ".dagu"
    root = _said(home) if home else old if os.path.isdir(old / DAGS) else None  # noqa: PTH112 -- never raises
    config = root or _xdg(variables, "CONFIG", ".config") / "dagu"
    base = config / BASE
    return Places(
        dags=config / DAGS,
        named=bool(home),
        base=base if _is_file(base) else None,
        suspended=(root or _xdg(variables, "DATA", ".local/share") / "dagu") / SUSPENDED,
        data=data,
    )


def _said(folder: str) -> Path:
    """Return a folder as somebody wrote it; `~` is a home, unless there is no such user."""
    return Path(os.path.expanduser(folder)).absolute()  # noqa: PTH111 -- never raises


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 -- never raises, however long the name is


def _is_anybodys(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return False


def _user(variables: Mapping[str, str]) -> Path:
    return Path(variables.get("HOME") or Path.home())


def _xdg(variables: Mapping[str, str], kind: str, below_home: str) -> Path:
    """Return one of the XDG folders; a relative one does not count."""
    said = Path(variables.get(f"XDG_{kind}_HOME") or "")
    return said if said.is_absolute() else _user(variables) / below_home
