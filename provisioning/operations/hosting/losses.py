"""Runs to whose journals somebody else has written: each ends as failed with the reason, and all others go on.

What was decided of such a run since is recorded nowhere: it was based on what is no longer so. A run inside another one is no
case of this: its outer run waits for an end that was never recorded, so the server ends, and the next one goes on with both.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from provisioning.core import decide
from provisioning.core.decide import Decision
from provisioning.core.events import Kind
from provisioning.core.model import RunState
from provisioning.core.ports import Commit
from provisioning.engine.runner import load
from provisioning.errors import NotFoundError, StaleRevision

if TYPE_CHECKING:
    from provisioning.operations.hosting.host import Host

_log = logging.getLogger("provisioning.server")
TRIES = 5  # to write behind what somebody else writes


async def end_lost(host: Host, run_id: str, error: StaleRevision) -> None:
    """End a run that goes on here. Raises StoreError."""
    reason = f"somebody else has written to its journal: {error.message}"
    _log.error("run %s: %s", run_id, reason)
    await host.worker.cancel(run_id)
    try:
        await end_as_failed(host, run_id, reason)
        await host.runner.abandon(run_id, reason)  # for the runner only: what it decides of a lost run is not recorded
    except NotFoundError:
        _log.warning("run %s has no journal any more", run_id)
        return  # it stays lost: whatever the runner still believes is not recorded
    host.counts.lost.discard(run_id)


async def end_as_failed(host: Host, run_id: str, reason: str) -> None:
    """Record the end of a run behind whatever its journal holds; who keeps writing to it has it. Raises NotFoundError."""
    for _ in range(TRIES):
        decision = Decision(run=await load(host.store, run_id), now=host.now())
        known = decision.run.seq
        if decision.run.ended:
            return
        decision.emit(Kind.RUN_FINISHING, data={"state": RunState.FAILED.value, "reason": reason})
        decide.abandon(decision, reason)
        try:
            await host.store.commit(Commit(run=run_id, expected_seq=known, events=decision.events, fence=None))
        except StaleRevision:
            continue
        host.feeds.nudge()
        return
    _log.warning("run %s is left to who writes to its journal", run_id)
