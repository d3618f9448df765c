"""Commands over Dagu files: of `dag-engine`, and of `provisioning dag`.

Each verb lives in a module of its own that is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

VERBS: Mapping[str, str] = MappingProxyType(
    {
        "list": "List the DAG files of a folder: schedule, next run, last status.",
        "show": "Draw a DAG: its steps, what they do and wait for.",
        "validate": "Check DAG files, and say how they are read.",
    }
)
"""Verb -> one line of help, in the order of the help."""

WHERE: Mapping[str, str] = MappingProxyType(
    {
        "list": "dagu.listing:list_dags",
        "show": "dagu.showing:show",
        "validate": "dagu.checking:validate",
    }
)
"""Verb -> `module:command` in this package."""

ALIASES: Mapping[str, str] = MappingProxyType({"ls": "list"})
"""Dagu's own word -> verb."""
