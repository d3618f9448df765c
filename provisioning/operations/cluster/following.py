"""A run of a cluster that somebody here has started: shown while it goes on, stopped by Ctrl-C, its logs brought here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from provisioning import clusters, wiring
from provisioning.clusters import Joined
from provisioning.core.history import RunDetail
from provisioning.core.model import Workflow
from provisioning.core.presence import Presence, fresh
from provisioning.core.text import plain_text
from provisioning.errors import StoreError
from provisioning.operations.audience import Audience
from provisioning.operations.cluster.runs import ClusterRuns
from provisioning.operations.driving import HARD_EXIT, stop_signals

if TYPE_CHECKING:
    from provisioning.adapters.nats.chunks import Chunk

LOGS_WITHIN_S = 10.0


async def follow(
    joined: Joined, run_id: str, start: Awaitable[object], flow: Workflow, audience: Audience, actor: str, after: int = 0
) -> RunDetail:
    """Start a run, show it until it has ended, and return how it ended. `flow` is what is shown.

    Raises what `start` raises, StoreError.

    Ctrl-C and SIGTERM cancel the run and wait until it has stopped; a second one leaves at once.
    """
    runs = ClusterRuns(joined.store, wiring.clock(), actor)

    async def interrupt() -> None:
        audience.on_note("stopping what runs on the workers; Ctrl-C again leaves at once, and they stop it all the same")
        await runs.cancel(run_id, "interrupted")

    def abort() -> None:
        audience.on_abort()
        os._exit(HARD_EXIT)

    logs = clusters.run_logs(joined, run_id, _shown((step.id for step in flow.steps), audience))
    with stop_signals(interrupt, abort):
        await start
        audience.on_run(run_id)
        with suppress(StoreError):  # it is only worth a line
            there = fresh(await clusters.workers_of(joined), wiring.clock().now())
            for note in missing(flow, there):
                audience.on_note(note)
        fetching = asyncio.create_task(logs.serve())
        try:
            async for event in runs.watch(run_id, after):
                audience.on_event(event)
            with suppress(StoreError, TimeoutError):  # they can be fetched later, too
                async with asyncio.timeout(LOGS_WITHIN_S):
                    await logs.caught_up(fetching)
        finally:
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)
    if audience.failure is not None:
        raise audience.failure
    return joined.store.history.run(run_id)


def missing(flow: Workflow, there: Sequence[Presence]) -> list[str]:
    """Return what is to be said of steps that nobody can do now."""
    if not there:
        return ["no worker is there: the run goes on when one is (`provisioning worker start`)"]
    waiting = [step for step in flow.steps if not step.unchanged]
    targets = dict.fromkeys(step.placement.target or "" for step in waiting)
    nobody = [target for target in targets if not any(one.serves(target) for one in there)]
    return [f"no worker serves {target}: its steps wait until one does (`--target {target}`)" for target in nobody]


def _shown(steps: Iterable[str], audience: Audience) -> Callable[[Chunk], None]:
    """Return what tells the audience of output: its whole lines, by step."""
    names = {clusters.log_name(step): step for step in steps}
    halves: dict[str, bytes] = {}

    def heard(chunk: Chunk) -> None:
        step = names.get(chunk.name.partition(".")[0])
        if step is None:
            return
        whole, newline, rest = (halves.pop(chunk.name, b"") + chunk.data).rpartition(b"\n")
        halves[chunk.name] = rest[-4096:]
        if newline:
            audience.on_output(step, plain_text(whole))

    return heard
