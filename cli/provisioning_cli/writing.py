"""New files in a workspace: never over something that is there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from provisioning.core.declare import NAME_PATTERN
from provisioning.errors import StoreError, UsageError


def valid_name(kind: str, name: str) -> str:
    """Return the name. Raises UsageError when it cannot be one."""
    if not re.match(NAME_PATTERN, name) or name.endswith("\n"):
        raise UsageError(
            f"{name[:60]!r} cannot be the name of a {kind}",
            hint="letters, digits, dots, hyphens and underscores; it starts with a letter or digit and has at most 128",
        )
    return name


def write_new(folder: Path, files: Mapping[str, str], *, besides: Iterable[str] = ()) -> list[str]:
    """Write files below a folder and return their names. Scripts become executable.

    Raises UsageError, before anything is written, when one of them exists already, or one of the names in `besides`, which
    would contradict them; StoreError when the disk refuses.
    """
    there = [name for name in (*files, *besides) if os.path.lexists(folder / name)]
    if there:
        raise UsageError(f"{folder} has files of its own: {', '.join(there)}", hint="choose another folder, or move them away")
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            if text.startswith("#!"):
                path.chmod(0o755)
    except OSError as error:
        raise StoreError(f"cannot write below {folder}: {error.strerror}", hint="is the folder yours to write?") from error
    return list(files)
