"""The worker's side: definitions that a coordinator has, kept under their digest; and what travels with a run."""

from __future__ import annotations

import asyncio
from typing import Protocol

from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.definitions import Answer, Coordinator, Packages, Status, Wanted
from provisioning.core.dagu.package import WrongPackage, unpack
from provisioning.errors import ConfigError, DefinitionError
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.packing import packed, read_package

HAVE_MOST = 20
"""How many digests a question names: those that were used last."""


class Kept(Protocol):
    """Packages of this worker, under their digest."""

    def get(self, digest: str) -> bytes | None:
        """Return one, None where it is not kept."""
        ...

    def put(self, data: bytes) -> str:
        """Keep one, and return its digest."""
        ...

    def digests(self) -> list[str]:
        """Return what is kept, the newest first."""
        ...


class Fetching:
    """Fulfils `engine.actions.dagu.loading.Elsewhere`. Each use asks anew: what is kept is used while it is right."""

    def __init__(self, coordinator: Coordinator, kept: Kept, packages: Packages, *, caller: str) -> None:
        self._coordinator, self._kept, self._packages, self._caller = coordinator, kept, packages, caller
        self._last: dict[str, str] = {}  # name -> digest

    async def find(self, name: str, run: str) -> DagFile | None:
        """Return the DAG, None where nobody has it. Raises DefinitionError, NoCoordinator, ConfigError, StoreError."""
        answer, data = await self._coordinator.ask(Wanted(name=name, caller=self._caller, have=self._have(name)))
        if answer.status is Status.UNCHANGED:
            kept = await asyncio.to_thread(self._kept.get, answer.digest)
            if kept is None:  # removed, or damaged, since it was named
                answer, data = await self._coordinator.ask(Wanted(name=name, caller=self._caller))
            else:
                data = kept
        if answer.status is Status.NOT_FOUND:
            return None
        if answer.status not in {Status.FOUND, Status.UNCHANGED}:
            raise _refused(answer)
        return await self._taken(name, run, answer, data)

    async def _taken(self, name: str, run: str, answer: Answer, data: bytes) -> DagFile:
        try:
            package = unpack(data, answer.digest)
        except WrongPackage as error:
            raise DefinitionError(f"what {answer.by or 'the coordinator'} sent for the DAG {name} is wrong: {error}") from error
        dag = await asyncio.to_thread(read_package, package)
        await asyncio.to_thread(self._kept.put, data)
        await self._packages.put(run, data)
        self._last[name] = answer.digest
        return dag

    def _have(self, name: str) -> tuple[str, ...]:
        """Return digests to name in a question: the one that this name had last, and those that were used last."""
        last = [self._last[name]] if name in self._last else []
        return tuple(dict.fromkeys([*last, *self._kept.digests()[:HAVE_MOST]]))


class Travelling:
    """Fulfils `engine.actions.dagu.runs.Definitions` from the folder of the DAG files: what is found travels with its run."""

    def __init__(self, catalogue: Catalogue, kept: Kept, packages: Packages) -> None:
        self._catalogue, self._kept, self._packages = catalogue, kept, packages

    async def find(self, name: str, run: str) -> DagFile:
        """Read the file anew: it may have changed since the run began. Raises as `packing.package_of` does."""
        dag, data = await asyncio.to_thread(packed, self._catalogue, name)
        await asyncio.to_thread(self._kept.put, data)
        await self._packages.put(run, data)
        return dag


def _refused(answer: Answer) -> DefinitionError | ConfigError:
    who = answer.by or "the coordinator"
    said = {
        Status.REFUSED: f"{who} refuses it: {answer.error}",
        Status.BROKEN: f"{who} has it, or should, but cannot give it: {answer.error}",
        Status.TOO_LARGE: f"{who} has it, but it is too large to travel: {answer.error}",
    }
    return DefinitionError(said.get(answer.status, f"{who} said {answer.status}"), hint=answer.hint)
