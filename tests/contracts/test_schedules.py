"""Every store keeps marks and pauses of schedules the same way, and says the same of the runs that a scheduler has to know."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from support.records import AT, a_commit, a_step, a_workflow, event

from provisioning.adapters.memory import MemoryStore
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Kind
from provisioning.core.model import Source
from provisioning.core.schedules import SCHEDULED_AT, Going, Kept, Mark

Store = MemoryStore | SqliteStore
HOUR = timedelta(hours=1)


async def begun(
    store: Store, run: str, *, name: str = "etl", kind: str = "dagu", trigger: str = "schedule", **params: object
) -> int:
    """Create a run that is queued and return its last seq."""
    address = await store.put_workflow(replace(a_workflow(a_step(kind), name=name), source=Source(kind=kind)))
    said: dict[str, Any] = {"workflow": address, "name": name, "params": params, "trigger": trigger}
    return await store.commit(a_commit(0, event(Kind.RUN_CREATED, run=run, **said), run=run))


async def ended(store: Store, run: str, state: str = "succeeded", **params: Any) -> None:
    seq = await begun(store, run, **params)
    events = [event(Kind.RUN_STARTED, run=run), event(Kind.RUN_FINISHED, run=run, state=state)]
    await store.commit(a_commit(seq, *events, run=run))


async def test_a_mark_is_kept_until_a_later_one_comes(store: Store) -> None:
    assert await store.schedules.kept() == {}
    first = Mark(cursor=AT, behind=AT - HOUR)
    await store.schedules.put({"etl": first, "mail": Mark(cursor=AT)})
    await store.schedules.put({"etl": Mark(cursor=AT - HOUR), "mail": Mark(cursor=AT + HOUR)})

    assert await store.schedules.kept() == {
        "etl": Kept(name="etl", mark=first),
        "mail": Kept(name="mail", mark=Mark(cursor=AT + HOUR)),
    }
    assert list(await store.schedules.kept(["mail", "other"])) == ["mail"]


async def test_advancing_leaves_what_waits_for_its_turn_and_what_is_further(store: Store) -> None:
    behind, further = Mark(cursor=AT, behind=AT - HOUR), Mark(cursor=AT + 2 * HOUR)
    await store.schedules.put({"behind": behind, "further": further, "plain": Mark(cursor=AT)})
    await store.schedules.advance(["behind", "further", "plain", "new"], AT + HOUR)

    marks = {name: kept.mark for name, kept in (await store.schedules.kept()).items()}
    assert marks == {"behind": behind, "further": further, "plain": Mark(cursor=AT + HOUR), "new": Mark(cursor=AT + HOUR)}


async def test_a_pause_says_who_and_when_and_its_end_leaves_nothing_to_make_up_for(store: Store) -> None:
    await store.schedules.put({"etl": Mark(cursor=AT, behind=AT - HOUR)})
    await store.schedules.pause("etl", "ana@work", AT)
    await store.schedules.pause("new", "ana@work", AT)
    kept = await store.schedules.kept()
    assert (kept["etl"].paused_by, kept["etl"].paused_at, kept["etl"].mark) == (
        "ana@work",
        AT,
        Mark(cursor=AT, behind=AT - HOUR),
    )
    assert kept["new"] == Kept(name="new", paused_by="ana@work", paused_at=AT)

    for name in ("etl", "new"):
        await store.schedules.resume(name, AT + HOUR)
    assert await store.schedules.kept() == {name: Kept(name=name, mark=Mark(cursor=AT + HOUR)) for name in ("etl", "new")}


async def test_what_goes_on_of_a_dag_are_its_own_runs_that_have_not_ended_queued_ones_too(store: Store) -> None:
    await begun(store, "r1")
    await ended(store, "r2")
    await begun(store, "r3", trigger="subdag:r1")
    await begun(store, "r4", kind="formula")
    await begun(store, "r5", name="mail", trigger="manual")
    seq = await begun(store, "r6", trigger="catchup")
    await store.commit(a_commit(seq, event(Kind.RUN_STARTED, run="r6"), run="r6"))

    assert await store.schedules.going(["etl", "other"]) == [
        Going(run_id="r1", name="etl", began_at=AT, trigger="schedule"),
        Going(run_id="r6", name="etl", began_at=AT, trigger="catchup"),
    ]
    assert await store.schedules.going([]) == []


async def test_the_newest_success_counts_by_the_instant_that_it_was_for_else_by_when_it_began(store: Store) -> None:
    assert await store.schedules.succeeded_at("etl") is None
    await ended(store, "r1")
    assert await store.schedules.succeeded_at("etl") == AT
    await ended(store, "r2", **{SCHEDULED_AT: (AT - HOUR).isoformat()})
    await ended(store, "r3", "failed")
    await ended(store, "r4", name="mail")
    assert await store.schedules.succeeded_at("etl") == AT - HOUR


async def test_a_restart_is_remembered_from_its_begin_to_its_end_whatever_else_is_kept(store: Store) -> None:
    await store.schedules.restarting("etl", AT)
    await store.schedules.put({"etl": Mark(cursor=AT)})
    await store.schedules.pause("etl", "ana@work", AT)
    await store.schedules.resume("etl", AT + HOUR)
    assert (await store.schedules.kept())["etl"].restarting == AT
    await store.schedules.restarting("etl", None)
    assert (await store.schedules.kept())["etl"] == Kept(name="etl", mark=Mark(cursor=AT + HOUR))
