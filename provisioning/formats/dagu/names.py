"""What DAGs may be called, and how other DAGs are referred to."""

from __future__ import annotations

import re

from provisioning.core.check_faults import NAME_RULE
from provisioning.core.naming import NAME_PATTERN
from provisioning.core.shown import quote
from provisioning.formats.dagu.reading import Spot

_is_name = re.compile(NAME_PATTERN).match


def good_name(name: str) -> bool:
    """Whether it may be the name of a DAG: it becomes a file name."""
    return _is_name(name) is not None


def check_name(spot: Spot, name: str, *, what: str = "DAG") -> bool:
    """Remember a name that breaks the rule; return whether it holds."""
    if good_name(name):
        return True
    spot.fault("bad_name", f"found the {what} {quote(name)}, expected {NAME_RULE}")
    return False


def check_dag_name(spot: Spot, name: str, *, what: str = "DAG") -> None:
    """Remember a bad reference to a DAG: a name, or names of folders and a file. A `$` is known only when it runs."""
    if "$" in name or "`" in name or all(good_name(part) for part in name.strip().split("/")):
        return
    spot.fault("bad_name", f"found the {what} {quote(name)}, expected {NAME_RULE}")
