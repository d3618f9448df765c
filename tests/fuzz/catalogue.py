"""Every target, by name."""

from __future__ import annotations

from collections.abc import Mapping

from fuzz import commands, dagu, dagubeside, declared, evaluated, remote, shown, stored
from fuzz.target import Target

TARGETS: Mapping[str, Target] = {
    target.name: target
    for targets in (
        declared.TARGETS,
        evaluated.TARGETS,
        stored.TARGETS,
        remote.TARGETS,
        shown.TARGETS,
        commands.TARGETS,
        dagu.TARGETS,
        dagubeside.TARGETS,
    )
    for target in targets
}
