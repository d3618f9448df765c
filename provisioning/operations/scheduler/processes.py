"""Runs of Dagu files as processes of their own, which go on when the scheduler ends."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING

from provisioning import wiring
from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.params import Given
from provisioning.core.model import RUN_ENDED, RunState
from provisioning.core.ports import Request
from provisioning.errors import ExistsError, LockedError, NotFoundError, ProvisioningError, StoreError, WaitTimeout
from provisioning.operations.dagu.places import Places
from provisioning.operations.dagu.records import STOPS_WITHIN_S
from provisioning.operations.dagu.restarting import last_given
from provisioning.operations.dagu.running import Start

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.store import SqliteStore

CHILD = "provisioning.operations.scheduler.child"
ERRORS = {one.__name__: one for one in (ExistsError, LockedError, StoreError, ProvisioningError)}
"""What a child can say went wrong before its run was recorded."""


class Processes:
    """Fulfils `ports.Runs`."""

    def __init__(self, places: Places, store: SqliteStore, *, default_type: str = "chain", poll_s: float = 0.2) -> None:
        """`store` is that of `places.data`; the caller closes it."""
        self._places, self._store, self._default_type, self._poll_s = places, store, default_type, poll_s
        self._children: list[subprocess.Popen[bytes]] = []

    async def start(self, dag: DagFile, asked: Start) -> None:
        """See `Runs`: return when the child says that its run is recorded."""
        if await self._state(asked.run_id) is not None:
            raise ExistsError(f"run {asked.run_id} exists already")
        said = await asyncio.to_thread(self._spawn, json.dumps(self._order(dag, asked)).encode())
        answer = json.loads(said) if said else {"error": "StoreError", "message": f"the process of {dag.name} ended at once"}
        if "error" in answer:
            raise ERRORS[answer["error"]](answer["message"], hint=answer.get("hint", ""))

    async def stop(self, run_ids: Sequence[str], actor: str) -> None:
        """See `Runs`. Raises WaitTimeout for a run that does not end."""
        wanted = [run for run in run_ids if await self._goes_on(run)]
        for run in wanted:
            await self._store.request(Request(run=run, kind="cancel", actor=actor, data={"reason": "stopped"}))
        for run in wanted:
            try:
                await asyncio.wait_for(self.ended(run), STOPS_WITHIN_S)
            except TimeoutError:
                message = f"run {run} has not stopped within {STOPS_WITHIN_S:g} s"
                raise WaitTimeout(message, hint="try again later") from None

    async def ended(self, run_id: str) -> RunState:
        """See `Runs`."""
        while True:
            if not await self._goes_on(run_id):
                state = await self._state(run_id)
                return state if state in RUN_ENDED else RunState.FAILED
            await asyncio.sleep(self._poll_s)

    async def last_given(self, dag: str) -> tuple[Given, ...]:
        """See `Runs`."""
        return await asyncio.to_thread(last_given, self._places.data, dag)

    def alive(self, run_id: str) -> bool:
        """Whether the process of an open run is there."""
        return wiring.run_lock(self._places.data, run_id).holder() is not None

    # ------------------------------------------------------------ parts

    async def _state(self, run_id: str) -> RunState | None:
        try:
            return (await asyncio.to_thread(self._store.history.summary, run_id)).state
        except NotFoundError:
            return None

    async def _goes_on(self, run_id: str) -> bool:
        """Whether a run has not ended and has its process. That is asked first: a run ends before its process does."""
        alive = await asyncio.to_thread(self.alive, run_id)
        return alive and await self._state(run_id) not in {*RUN_ENDED, None}

    def _order(self, dag: DagFile, asked: Start) -> dict[str, object]:
        places = self._places
        at = asked.scheduled_at
        return {
            "places": {
                "dags": str(places.dags),
                "named": places.named,
                "base": str(places.base) if places.base is not None else None,
                "suspended": str(places.suspended),
                "data": str(places.data),
            },
            "default_type": self._default_type,
            "file": dag.file,
            "run_id": asked.run_id,
            "trigger": asked.trigger,
            "given": [[one.name, one.value] for one in asked.given],
            "scheduled_at": at.astimezone(UTC).isoformat() if at is not None else None,
        }

    def _spawn(self, order: bytes) -> bytes:
        """Start a child, give it its order, and return the first line that it says; it says no more."""
        self._children = [child for child in self._children if child.poll() is None]
        child = subprocess.Popen(
            [sys.executable, "-m", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._children.append(child)
        assert child.stdin is not None and child.stdout is not None  # noqa: S101, PT018 -- they are pipes
        with child.stdin, child.stdout:
            try:
                child.stdin.write(order)
                child.stdin.close()
            except BrokenPipeError:
                return b""
            return child.stdout.readline()
