"""What a killed runner left behind: states it had committed but not written, and a run that nobody ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from provisioning.core.history import RunSummary
from provisioning.core.model import RUN_ENDED
from provisioning.core.ports import Clock
from provisioning.engine.recorder import Recorder
from provisioning.engine.runner import Runner, load

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.store import SqliteStore

LOOK_BACK = 1000  # runs: more than one is only there when the state file was put back by hand


async def catch_up(store: SqliteStore, recorder: Recorder, clock: Clock, fence: int, note: Callable[[str], None]) -> None:
    """Bring the loaded states up to the journal, and end what is still open. The caller holds the workspace."""
    runner = Runner(store, clock, roll=lambda: 0.0, stop_work=_no_work, projections=(recorder,), fence=fence)
    for summary in _unrecorded(store.history.list_runs(limit=LOOK_BACK), recorder.book.run):
        run = await load(store, summary.run_id)
        await recorder.committed(run, await store.events(summary.run_id))
        if not run.ended:
            note(f"run {summary.run_id} was cut off; what it had not finished is run again")
            await runner.abandon(summary.run_id, "its runner died")
    await recorder.flush()


def _unrecorded(newest_first: list[RunSummary], cursor: str) -> list[RunSummary]:
    """Return the runs that the states may not know, oldest first: the one the cursor is in, later ones, and open ones."""
    chosen: list[RunSummary] = []
    for summary in newest_first:
        if cursor or summary.state not in RUN_ENDED:
            chosen.append(summary)
        if summary.run_id == cursor:
            break
    return chosen[::-1]


async def _no_work(_run: str) -> None:
    """No worker has anything of a run whose runner is dead."""
