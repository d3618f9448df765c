"""What a killed runner left behind: states it had committed but not written, and a run that nobody ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from provisioning.core.events import Event, Kind
from provisioning.core.history import RunSummary
from provisioning.core.ports import Clock, Journal
from provisioning.core.resources import ResourceBook
from provisioning.engine.recorder import Recorder
from provisioning.engine.runner import Runner, load

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.store import SqliteStore

FORMULAS = frozenset({"formula", ""})
"""Sources of runs that we end. What a Python program has left open goes on with its next client."""
LOOK_BACK = 1000  # runs: more than one is only there when the state file was changed by hand


async def catch_up(store: SqliteStore, recorder: Recorder, clock: Clock, fence: int, note: Callable[[str], None]) -> None:
    """Bring the loaded states up to the journal, and end what is still open. The caller holds the workspace."""
    runner = Runner(store, clock, roll=lambda: 0.0, stop_work=_no_work, projections=(recorder,), fence=fence)
    unknown = created_after(store.history.list_runs(limit=LOOK_BACK), recorder.book.newest)
    still_open = [run for run in await store.open_runs() if store.history.summary(run).source in FORMULAS]
    known = [run_id for run_id in dict.fromkeys((recorder.book.run, *still_open)) if run_id not in unknown]
    for run_id in (*known, *unknown):
        events = await unrecorded(store, recorder.book, run_id, known=run_id in known)
        if events:
            await recorder.committed(await load(store, run_id), events)
        if run_id in still_open:
            note(f"run {run_id} was cut off; what it had not finished is run again")
            await runner.abandon(run_id, "its runner died")
    await recorder.flush()


def created_after(newest_first: Sequence[RunSummary], newest: str) -> list[str]:
    """Return the runs that were created after `newest`, oldest first; none when it is not among them."""
    ids = [summary.run_id for summary in newest_first]
    return ids[: ids.index(newest)][::-1] if newest in ids else []


async def unrecorded(store: Journal, book: ResourceBook, run_id: str, *, known: bool) -> list[Event]:
    """Return the events of a run that the states do not have.

    A run that they know, and that is not the last they heard of, has been opened since: what follows that is news.
    """
    events = await store.events(run_id, after=book.seq if run_id == book.run else 0)
    if not known or run_id == book.run:
        return events
    begun = [index for index, event in enumerate(events) if event.kind in {Kind.RUN_CREATED, Kind.RUN_REOPENED}]
    return events[begun[-1] :] if begun else []


async def _no_work(_run: str) -> None:
    """No worker has anything of a run whose runner is dead."""
