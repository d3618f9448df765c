"""Finds definitions by the table of `core.dagu.definitions`: the local store, then the coordinator."""

from __future__ import annotations

from typing import Protocol

from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.definitions import Local, Remote, Verdict, asks, judge
from provisioning.core.frozen import dataclass
from provisioning.engine.actions.dagu.runs import Definitions
from provisioning.errors import DefinitionError, NotFoundError, ProvisioningError


class Elsewhere(Protocol):
    """The coordinator's definitions."""

    async def find(self, name: str, run: str) -> DagFile | None:
        """Return the DAG of this name, for a run inside `run`; None where nobody has it.

        Raises DefinitionError, ConfigError, StoreError.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Heard:
    """What the coordinator was found to say."""

    remote: Remote
    dag: DagFile | None = None
    error: ProvisioningError | None = None


class Loading:
    """Fulfils `runs.Definitions`. Either source may be missing."""

    def __init__(self, local: Definitions | None, elsewhere: Elsewhere | None) -> None:
        self._local, self._elsewhere = local, elsewhere

    async def find(self, name: str, run: str) -> DagFile:
        """Return the DAG of this name, for a run inside `run`.

        Raises the local store's own error where there is one, with what the coordinator failed with as its cause; without a
        local store NotFoundError when nobody has it, DefinitionError when the coordinator failed or there is none.
        """
        local, found, error = await self._here(name, run)
        heard = await self._there(name, run) if asks(local) else _Heard(Remote.ABSENT)
        verdict = judge(local, heard.remote)
        if verdict is Verdict.LOCAL and found is not None:
            return found
        if verdict is Verdict.REMOTE and heard.dag is not None:
            return heard.dag
        if verdict is Verdict.LOCAL_ERROR and error is not None:
            raise error from heard.error
        raise _refusal(name, verdict, heard) from heard.error

    async def _here(self, name: str, run: str) -> tuple[Local, DagFile | None, ProvisioningError | None]:
        if self._local is None:
            return Local.NONE, None, None
        try:
            return Local.HIT, await self._local.find(name, run), None
        except NotFoundError as error:
            return Local.MISSING, None, error
        except ProvisioningError as error:
            return Local.BROKEN, None, error

    async def _there(self, name: str, run: str) -> _Heard:
        if self._elsewhere is None:
            return _Heard(Remote.ABSENT)
        try:
            dag = await self._elsewhere.find(name, run)
        except ProvisioningError as error:
            return _Heard(Remote.ERROR, error=error)
        return _Heard(Remote.HIT, dag) if dag is not None else _Heard(Remote.EMPTY)


def _refusal(name: str, verdict: Verdict, heard: _Heard) -> ProvisioningError:
    """Return what is raised where there is no local store."""
    if verdict is Verdict.REMOTE_ERROR and heard.error is not None:
        kind = type(heard.error) if isinstance(heard.error, DefinitionError) else DefinitionError
        return kind(f"the DAG {name} was not to be had: {heard.error.message}", hint=heard.error.hint)
    if verdict is Verdict.NOWHERE:
        return NotFoundError(
            f"the DAG {name} was not found, neither here nor by a coordinator", hint="put its file into the server's folder"
        )
    return DefinitionError(
        f"the DAG {name} cannot be looked up: this worker has no folder of DAGs, and there is no coordinator to ask",
        hint="give the worker a folder with --dags, or start a server that has one",
    )
