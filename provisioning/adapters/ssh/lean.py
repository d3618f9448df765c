"""Imports paramiko without what it imports for a single use: half of what that takes."""

from __future__ import annotations

import sys
from functools import cache


@cache
def load_paramiko() -> None:
    """Import paramiko without `invoke`, with which it runs the commands of `Match exec` in OpenSSH's configuration.

    Invoke brings two YAML readers and a test library along. To be called before anything of paramiko is imported.
    """
    if "paramiko" in sys.modules or "invoke" in sys.modules:
        return
    sys.modules["invoke"] = None  # type: ignore[assignment] # this is how a module is said not to be there
    try:
        import paramiko  # noqa: F401
    finally:
        sys.modules.pop("invoke", None)  # another thread may have been here, too


def allow_commands() -> None:
    """Let paramiko run the commands of `Match exec`."""
    import invoke
    from paramiko import config

    config.invoke = invoke  # type: ignore[attr-defined]
