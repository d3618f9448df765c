"""What the steps of Dagu files need from the outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Generic, Protocol, TypeVar

from provisioning.core.dagu.functions import Function
from provisioning.core.errands import Filters, Mailer, RemoteShell
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.outside import Disk, Processes
from provisioning.core.ports import Secrets
from provisioning.engine.actions import Action
from provisioning.errors import DefinitionError

T = TypeVar("T")


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


class Sources(Protocol):
    """The files that travel with DAGs, on the machine of this worker."""

    async def folder(self, package: str, root: str) -> str:
        """Return the folder that has the DAG's file and those beside it, for the run `root` and those inside it.

        Raises DefinitionError when the package is not to be had, StoreError.
        """
        ...


class NoSources:
    """Fulfils `Sources` where every DAG is read where it lies."""

    async def folder(self, package: str, root: str) -> str:
        """Raise DefinitionError."""
        raise DefinitionError(
            f"run {root} needs the package {package}, and this process does not get packages",
            hint="run it by workers: `provisioning worker start`",
        )


class OnDemand(Generic[T]):
    """Something that is made when a step first needs it: starting a run is to cost what its steps need."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self.made: T | None = None

    def __call__(self) -> T:
        """Return it."""
        if self.made is None:
            self.made = self._make()
        return self.made


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Ports, and the actions that other steps have as well. `environment` is what programs inherit."""

    processes: Processes
    disk: Disk
    secrets: Secrets
    mailer: OnDemand[Mailer]
    filters: OnDemand[Filters]
    remote: OnDemand[RemoteShell]
    http: OnDemand[Action]
    docker: OnDemand[Action]
    environment: Callable[[], Mapping[str, str]]
    functions: Callable[[], Mapping[str, Function]]
    readers: Readers
    sources: Sources = field(default_factory=NoSources)
    functions_in: Callable[[str], Mapping[str, Function]] | None = None  # of a folder that came in a package
