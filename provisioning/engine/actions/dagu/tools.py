"""What the steps of Dagu files need from the outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from provisioning.core.dagu.functions import Function
from provisioning.core.errands import Filters, Mailer, RemoteShell
from provisioning.core.faults import Fault
from provisioning.core.outside import Disk, Processes
from provisioning.core.ports import Secrets, Task
from provisioning.engine.actions import Action, Context, Result, Traits


class Said(Protocol):
    """One variable of a `.env` file. What stands in single quotes is `literal`: references in it mean nothing."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def value(self) -> str:
        """Its value, references still in it."""
        ...

    @property
    def literal(self) -> bool:
        """Whether it is taken as it stands."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """How texts are read that are not ours: `.env` files, YAML that a step prints. The second raises ValueError."""

    dotenv: Callable[[str], tuple[Sequence[Said], Sequence[Fault]]]
    yaml: Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Ports, and the actions that other steps have as well. `environment` is what programs inherit."""

    processes: Processes
    disk: Disk
    secrets: Secrets
    mailer: Mailer
    filters: Filters
    remote: RemoteShell
    http: Action
    docker: Action
    environment: Callable[[], Mapping[str, str]]
    functions: Callable[[], Mapping[str, Function]]
    readers: Readers


class Later:
    """An action that is made when a step first needs it: starting a run is to cost what its steps need."""

    traits = Traits()

    def __init__(self, make: Callable[[], Action]) -> None:
        self._make = make
        self._action: Action | None = None

    async def run(self, task: Task, context: Context) -> Result:
        """See Action."""
        self._action = self._action or self._make()
        return await self._action.run(task, context)
