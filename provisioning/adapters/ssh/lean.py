"""Imports paramiko without what it imports for a single use: half of what that takes."""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_METADATA = "importlib.metadata"


@cache
def load_paramiko() -> None:
    """Import paramiko without `invoke` and `importlib.metadata`. To be called before anything of paramiko is imported.

    With the one it runs the commands of `Match exec` in OpenSSH's configuration; it brings two YAML readers and a test library
    along. The other tells paramiko its own version, and brings all there is for mail.
    """
    if "paramiko" in sys.modules or "invoke" in sys.modules:
        return
    standing_in = {"invoke": None, **({} if _METADATA in sys.modules else {_METADATA: _Versions(_METADATA)})}
    sys.modules |= standing_in  # type: ignore[arg-type] # None is how a module is said not to be there
    try:
        import paramiko  # noqa: F401
    finally:
        for name, module in standing_in.items():
            if sys.modules.get(name) is module:  # another thread may have been here, too
                sys.modules.pop(name, None)


def allow_commands() -> None:
    """Let paramiko run the commands of `Match exec`."""
    import invoke
    from paramiko import config

    config.invoke = invoke  # type: ignore[attr-defined]


class _Versions(ModuleType):
    """Stands in for `importlib.metadata` where only a version is asked for; for anything else it asks the real one."""

    def version(self, package: str) -> str:
        """Return the version of an installed package: it is in the name of the folder beside it."""
        found = find_spec(package)
        folder = Path(found.origin).parent.parent if found and found.origin else Path()
        names = [path.name for path in folder.glob(f"{package}-*.dist-info")]
        return names[0].removesuffix(".dist-info").partition("-")[2] if len(names) == 1 else self._real().version(package)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._real(), name)

    @staticmethod
    def _real() -> Any:  # noqa: ANN401
        if isinstance(sys.modules.get(_METADATA), _Versions):
            del sys.modules[_METADATA]
        import importlib.metadata

        return importlib.metadata
