"""How faults of names and edges read; shared by the checks of formulas and of nodes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from provisioning.core.faults import Fault, Severity
from provisioning.core.naming import NAME_PATTERN
from provisioning.core.shown import quote

NAME_RULE = "at most 128 letters, digits, dots, underscores and hyphens, a letter or digit first and no `..`"
CYCLE_NAMES = 20  # shown of one cycle
_is_name = re.compile(NAME_PATTERN).match


def name_faults(name: str, what: str, path: str) -> list[Fault]:
    """Return the fault of a name that breaks NAME_PATTERN, if it does. "" could not be read and has its fault."""
    if not name or _is_name(name):
        return []
    return [Fault(code="bad_name", message=f"{what} is {quote(name)}, expected {NAME_RULE}", path=path)]


def duplicate(what: str, name: str, path: str, first: str) -> Fault:
    """Return the fault of a second `what` of one name."""
    message = f"found a second {what} {quote(name)}; the first is {first}"
    return Fault(code=f"duplicate_{what}", message=message, path=path, hint="give one of them another name")


def repeated_edge(owner: str, name: str, path: str, *, same: bool) -> Fault:
    """Return the warning for an edge that stands twice, or the error when the two contradict each other."""
    if same:
        message = f"{owner} depends on {quote(name)} twice"
        return Fault(code="duplicate_edge", message=message, path=path, severity=Severity.WARNING, hint="once is enough")
    message = f"{owner} depends on {quote(name)} twice, with different conditions"
    return Fault(code="conflicting_edges", message=message, path=path, hint="keep one of them")


def cycle_fault(what: str, names: Sequence[str], path: str) -> Fault:
    """Return the fault of one cycle, printed as `a -> b -> a`: each depends on the next. At most 20 names are shown."""
    shown = [quote(name) for name in names[:CYCLE_NAMES]]
    if len(names) > CYCLE_NAMES:
        shown.append(f"... {len(names) - CYCLE_NAMES:,} more")
    message = f"{what} wait for one another: {' -> '.join([*shown, quote(names[0])])}"
    return Fault(code="cycle", message=message, path=path, hint="remove one of these dependencies")
