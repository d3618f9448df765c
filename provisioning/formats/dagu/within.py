"""What the rest of a file says about the step that is read."""

from __future__ import annotations

from collections.abc import Callable

from provisioning.core.dagu.declared import Defaults
from provisioning.core.dagu.doing import Doing
from provisioning.core.frozen import dataclass
from provisioning.formats.dagu.dialect import Recognised
from provisioning.formats.dagu.reading import Record, Spot


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """`foreach` reads the steps of a loop: they are steps themselves."""

    known_dags: frozenset[str]
    recognised: Recognised
    defaults: Defaults
    foreach: Callable[[Record, Spot | None], Doing]
