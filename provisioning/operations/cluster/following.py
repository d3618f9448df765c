"""A run of a cluster that somebody here has started: shown while it goes on, stopped by Ctrl-C, its logs brought here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from provisioning import clusters, wiring
from provisioning.clusters import Joined
from provisioning.core.history import RunDetail
from provisioning.core.model import RunState, Workflow
from provisioning.core.presence import Presence, fresh
from provisioning.core.text import plain_text
from provisioning.core.why import holders, why_queued
from provisioning.engine.runner import load
from provisioning.errors import NotFoundError, StoreError
from provisioning.operations.audience import Audience
from provisioning.operations.cluster.runs import ClusterRuns
from provisioning.operations.dagu import logs as dagu_logs
from provisioning.operations.driving import HARD_EXIT, stop_signals

if TYPE_CHECKING:
    from provisioning.adapters.nats.chunks import Chunk
    from provisioning.adapters.nats.connect import Access

LOGS_WITHIN_S = 10.0
QUEUED_AFTER_S = 1.0
WAITS = frozenset({RunState.CREATED, RunState.QUEUED})


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
        waiting = asyncio.create_task(_tell_if_queued(joined, run_id, audience))
        try:
            async for event in runs.watch(run_id, after):
                audience.on_event(event)
            with suppress(StoreError, TimeoutError):  # they can be fetched later, too
                async with asyncio.timeout(LOGS_WITHIN_S):
                    await logs.caught_up(fetching)
        finally:
            await _end(fetching, waiting)
    if audience.failure is not None:
        raise audience.failure
    return joined.store.history.run(run_id)


async def follow_logs(
    access: Access, run_id: str, steps: Collection[str], tell: Callable[[str, str, str], None], *, streams: Collection[str]
) -> None:
    """Tell what the steps of a run print, (step, stream, text), from the beginning and until it has ended.

    Raises NotFoundError, StoreError, ClusterUnreachable.
    """
    joined = await clusters.join(access)
    try:
        await joined.store.replica.caught_up()
        logs = clusters.run_logs(joined, run_id)
        fetching = asyncio.create_task(logs.serve())

        async def complete() -> None:
            try:
                await asyncio.wait_for(logs.caught_up(fetching), LOGS_WITHIN_S)
            except TimeoutError as error:
                message = f"the end of the logs did not come within {LOGS_WITHIN_S:g} s"
                raise StoreError(message, hint="the same without --follow prints what is here") from error

        try:
            await logs.caught_up(fetching)
            await dagu_logs.follow_logs(joined.folder, run_id, steps, tell, streams=streams, complete=complete)
        finally:
            await _end(fetching)
    finally:
        await joined.aclose()


def missing(flow: Workflow, there: Sequence[Presence]) -> list[str]:
    """Return what is to be said of steps that nobody can do now."""
    if not there:
        return ["no worker is there: the run goes on when one is (`provisioning worker start`)"]
    waiting = [step for step in flow.steps if not step.unchanged]
    targets = dict.fromkeys(step.placement.target or "" for step in waiting)
    nobody = [target for target in targets if not any(one.serves(target) for one in there)]
    return [f"no worker serves {target}: its steps wait until one does (`--target {target}`)" for target in nobody]


async def _tell_if_queued(joined: Joined, run_id: str, audience: Audience) -> None:
    """Say what a run waits for that has not begun after a while."""
    await asyncio.sleep(QUEUED_AFTER_S)
    with suppress(StoreError, NotFoundError):  # it is only worth a line
        run = await load(joined.store, run_id)
        if run.state not in WAITS or not run.workflow.policy.queues:
            return
        others = [await load(joined.store, other) for other in await joined.store.open_runs() if other != run_id]
        for blocker in why_queued(run, holders(others)):
            audience.on_note(f"queued: {blocker.reason}")


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


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
