"""What a scheduler needs of whoever runs DAGs, and whom it tells what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.params import Given
from provisioning.core.model import RunState
from provisioning.core.scheduling import Act
from provisioning.operations.dagu.running import Start


class Runs(Protocol):
    """Starts and stops runs of Dagu files: a server's engine does, and processes of their own."""

    async def start(self, dag: DagFile, asked: Start) -> None:
        """Have a run go on; return once it is recorded under `asked.run_id`, queued or not, durably.

        Raises ExistsError where there is such a run already, LockedError where somebody else is just starting it, StoreError
        where trying again may help, any other ProvisioningError where it cannot.
        """
        ...

    async def stop(self, run_ids: Sequence[str], actor: str) -> None:
        """Stop runs that go on; return when they have ended. Those that have ended already, or are lost, are passed over."""
        ...

    async def ended(self, run_id: str) -> RunState:
        """Wait until a run has ended and return how; FAILED where its process is gone."""
        ...

    async def last_given(self, dag: str) -> tuple[Given, ...]:
        """Return the parameters that the newest run of a DAG was started with; none if it never ran."""
        ...


class Observer:
    """Told what a scheduler does, from the event loop's thread. Does nothing; override what you need."""

    def on_act(self, name: str, act: Act, run_id: str) -> None:
        """Something was done for a DAG. `run_id` is what was started, empty for STOP and DROP."""

    def on_failure(self, name: str, message: str) -> None:
        """Something could not be done. `name` is the DAG's, or empty where it is about the folder or the store."""
