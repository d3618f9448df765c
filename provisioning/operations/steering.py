"""What can be asked of runs that another process drives, and what keeps them. Also says so where no process drives them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from provisioning import wiring
from provisioning.core.folding import fold
from provisioning.core.frozen import dataclass
from provisioning.core.history import History, RunSummary
from provisioning.core.model import NO_FIELDS, RUN_ENDED, GateKind, RunState, StepState
from provisioning.core.ports import Inbox, Journal, Request
from provisioning.core.presence import Presence
from provisioning.core.requests import stopped_at
from provisioning.core.run import Run, StepRun
from provisioning.core.schedules import Schedules
from provisioning.core.why import Blocker, absent, blockers, holders, why_queued
from provisioning.engine.runner import load
from provisioning.errors import UsageError, WaitTimeout
from provisioning.operations import RunResult
from provisioning.operations.failure import command, explain
from provisioning.operations.records import find_run
from provisioning.operations.session import run_blocking
from provisioning.settings import Settings

if TYPE_CHECKING:
    from provisioning.adapters.sqlite.store import SqliteStore
    from provisioning.core.events import Event

T = TypeVar("T")
CUT_OFF_HINT = "the next `provisioning taskserv create` records that and goes on from there"
NOBODY_DECIDES = "nobody decides for the cluster: start a worker without --no-scheduler"
STOPS_WITHIN_S = 60.0
WAITING = frozenset({StepState.READY, StepState.DISPATCHED, StepState.RETRY_WAIT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that was left for whoever drives the run: at once, or as soon as somebody does."""

    run_id: str
    driven: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A step that could start or has been handed out, or a whole run (`step` is empty) that is queued."""

    run_id: str
    workflow: str
    step: str
    state: str
    since: datetime | None
    reasons: tuple[Blocker, ...]


class Reach(Protocol):
    """How whoever drives the runs of a folder is reached."""

    @property
    def lasting(self) -> bool:
        """Whether somebody takes up every run, sooner or later, whatever became of who drove it."""
        ...

    def driven(self, folder: Path) -> bool:
        """Whether somebody drives them now."""
        ...

    def there(self, folder: Path) -> Sequence[Presence] | None:
        """Return the workers that are there now; None where one process does everything, or nobody can say."""
        ...

    def within(self, folder: Path, work: Callable[[Store], Coroutine[None, None, T]]) -> T:
        """Do something with their store."""
        ...

    def delete_logs(self, folder: Path, run_id: str) -> None:
        """Remove the logs of a run."""
        ...


class Store(Journal, Inbox, Protocol):
    """A store and what it remembers."""

    @property
    def history(self) -> History:
        """What happened."""
        ...

    @property
    def schedules(self) -> Schedules:
        """What is remembered of schedules."""
        ...

    async def delete_dead_letters(self, *, before: datetime | None = None, waiting: bool = False) -> int:
        """Remove dead letters; see `client.engine.HistoryStore`."""
        ...


class Here:
    """Fulfils `Reach` for a folder of this machine: over its store and its lock."""

    lasting = False

    def driven(self, folder: Path) -> bool:
        """See `Reach`."""
        return wiring.workspace_lock(folder).holder() is not None

    def there(self, folder: Path) -> None:
        """See `Reach`."""

    def within(self, folder: Path, work: Callable[[Store], Coroutine[None, None, T]]) -> T:
        """See `Reach`."""
        return _in_store(folder, work)

    def delete_logs(self, folder: Path, run_id: str) -> None:
        """See `Reach`."""
        wiring.log_store(folder, Settings()).delete(run_id)


HERE = Here()


def cancel(folder: Path, ref: str, actor: str, reach: Reach = HERE) -> Asked:
    """Ask for a run to be stopped. Raises NotFoundError, UsageError for a run that has ended, or was cut off."""
    return _ask(folder, _open_run(folder, ref), "cancel", actor, reach=reach)


def pause(folder: Path, ref: str, actor: str, reach: Reach = HERE) -> Asked:
    """Ask for nothing new to be started. Raises as `cancel`, and for a run that is not running."""
    run = _open_run(folder, ref)
    if run.state is not RunState.RUNNING:
        raise UsageError(f"run {run.run_id} is not running: it is {run.state.value}")
    return _ask(folder, run, "pause", actor, reach=reach)


def resume(folder: Path, ref: str, actor: str, reach: Reach = HERE) -> Asked:
    """Ask a paused run to go on. Raises as `cancel`, and for a run that is not paused."""
    run = _open_run(folder, ref)
    if run.state not in {RunState.PAUSING, RunState.PAUSED}:
        raise UsageError(f"run {run.run_id} is not paused: it is {run.state.value}")
    return _ask(folder, run, "resume", actor, reach=reach)


def open_gate(
    folder: Path, ref: str, kind: GateKind, name: str, actor: str, payload: object = None, reach: Reach = HERE
) -> Asked:
    """Deliver a signal or an approval. Raises as `cancel`. Steps that wait for it may come later: see `awaited`."""
    data = {"kind": kind.value, "name": name, "payload": payload}
    return _ask(folder, _open_run(folder, ref), "open_gate", actor, data, reach)


def go_on(folder: Path, ref: str, step: str, actor: str, reach: Reach = HERE) -> Asked:
    """Ask a run to go on from the breakpoints where it stops, or where one step does. Raises as `cancel`, and for none."""
    run = _open_run(folder, ref)
    if not stopped_at(folded(folder, run.run_id), step):
        what = f"step {step} of run {run.run_id}" if step else f"run {run.run_id}"
        raise UsageError(
            f"{what} is stopped at no breakpoint", hint=f"`provisioning run show {run.run_id} --why STEP` tells more"
        )
    return _ask(folder, run, "continue", actor, {"step": step}, reach)


def delete(folder: Path, ref: str, actor: str, *, force: bool, reach: Reach = HERE) -> str:
    """Remove every trace of a run; return its id. One that has not ended is refused, or with `force` cancelled first.

    Raises NotFoundError, UsageError, WaitTimeout when it does not stop.
    """
    run = find_run(folder, ref).summary
    if run.state not in RUN_ENDED:
        if not force:
            raise UsageError(f"run {run.run_id} has not ended: it is {run.state.value}", hint="cancel it first, or use --force")
        if reach.driven(folder) or run.source == "formula":
            _ask(folder, run, "cancel", actor, {"reason": "deleted"}, reach)
            reach.within(folder, lambda store: _ended(store, run.run_id))
    reach.within(folder, lambda store: store.delete(run.run_id))
    reach.delete_logs(folder, run.run_id)
    return run.run_id


def purge_dead_letters(folder: Path, *, older_than_days: float | None, waiting: bool, reach: Reach = HERE) -> tuple[int, int]:
    """Remove dead letters that were replayed, `waiting` ones too; return how many, and how many wait after it."""
    if not wiring.has_history(folder):
        return 0, 0
    before = wiring.clock().now() - timedelta(days=older_than_days) if older_than_days is not None else None

    async def purge(store: Store) -> tuple[int, int]:
        return await store.delete_dead_letters(before=before, waiting=waiting), store.history.count_dead_letters()

    return reach.within(folder, purge)


def result_of(folder: Path, run_id: str) -> RunResult:
    """Return how a run ended."""
    detail = find_run(folder, run_id)
    return RunResult(detail=detail, failure=explain(detail, command(folder, ["run", "retry", run_id]), wiring.last_lines))


def awaited(run: Run, kind: GateKind) -> list[str]:
    """Return the names of the gates of a kind that steps of a run wait for."""
    return [name for (gate, name) in run.gated if gate == kind.value and (gate, name) not in run.opened]


def folded(folder: Path, run_id: str) -> Run:
    """Return the state of a run (exact id)."""
    return _in_store(folder, lambda store: load(store, run_id))


def why(folder: Path, run_id: str, step: str, reach: Reach = HERE) -> list[Blocker]:
    """Return all that keeps a step of a run (exact ids) from running; nothing for one that runs or has ended."""
    there = reach.there(folder)

    async def look(store: SqliteStore) -> list[Blocker]:
        run = await load(store, run_id)
        others = [other for other, _since in await _open_runs(store) if other.id != run_id]
        return blockers(run, step, holders([run, *others]), None, there)

    found = _in_store(folder, look)
    if not found or reach.driven(folder):
        return found
    return [
        _nobody(run_id, reach),
        *(one for one in found if (one.kind, one.name) != ("queued", run_id)),
    ]  # nobody lets it wait


def without_worker(folder: Path, run_id: str, reach: Reach) -> dict[str, list[str]]:
    """Return why steps of a run (exact id) wait for a worker that is not there: the steps by reason."""
    there, found = reach.there(folder), dict[str, list[str]]()
    if there is None:
        return found
    run = folded(folder, run_id)
    for step in run.steps:
        if (blocker := absent(run, step, there)) is not None:
            found.setdefault(blocker.reason, []).append(step)
    return found


def queue(folder: Path, reach: Reach = HERE) -> list[Queued]:
    """Return what waits in the open runs of a folder, the oldest first; nothing where nothing ever ran."""
    if not wiring.has_history(folder):
        return []
    runs, there = _in_store(folder, _open_runs), reach.there(folder)
    held = holders(run for run, _since in runs)
    found: list[Queued] = []
    for run, since in runs:
        if run.state in {RunState.CREATED, RunState.QUEUED}:
            found.append(_queued(run, None, run.created_at, tuple(why_queued(run, held))))
        for step in run.steps.values() if run.state is not RunState.QUEUED else ():
            if step.state in WAITING or _at_a_gate(run, step):
                reasons = tuple(blockers(run, step.spec.id, held, None, there))
                found.append(_queued(run, step, _since(run, step, since), reasons))
    return sorted(found, key=lambda one: (one.since is None, one.since))


# ---------------------------------------------------------------- parts


def _at_a_gate(run: Run, step: StepRun) -> bool:
    """Whether a step waits for nothing but what somebody has to do: send a signal, continue, approve."""
    closed = sum((gate.kind.value, gate.name) not in run.opened for gate in set(step.spec.gates))
    return step.state is StepState.PENDING and closed > 0 and step.remaining == closed


def _open_run(folder: Path, ref: str) -> RunSummary:
    run = find_run(folder, ref).summary
    if run.state in RUN_ENDED:
        hint = f"`provisioning run show {run.run_id}` tells more"
        raise UsageError(f"run {run.run_id} has ended: {run.state.value}", hint=hint)
    return run


def _ask(
    folder: Path, run: RunSummary, kind: str, actor: str, data: Mapping[str, object] = NO_FIELDS, reach: Reach = HERE
) -> Asked:
    driven = reach.driven(folder)
    if not driven and run.source == "formula" and not reach.lasting:  # nobody will take it up again
        raise UsageError(f"run {run.run_id} has no runner any more: it was cut off", hint=CUT_OFF_HINT)
    reach.within(folder, lambda store: store.request(Request(run=run.run_id, kind=kind, actor=actor, data=data)))
    return Asked(run_id=run.run_id, driven=driven)


async def _ended(store: Store, run_id: str) -> None:
    until = time.monotonic() + STOPS_WITHIN_S
    while store.history.summary(run_id).state not in RUN_ENDED:
        if time.monotonic() > until:
            raise WaitTimeout(f"run {run_id} has not stopped within {STOPS_WITHIN_S:g} s", hint="try again later")
        await asyncio.sleep(0.05)


def _nobody(run_id: str, reach: Reach) -> Blocker:
    reason = "no process drives the run"
    if reach.lasting:
        reason = NOBODY_DECIDES
    return Blocker(kind="runner", name=run_id, reason=reason)


async def _open_runs(store: SqliteStore) -> list[tuple[Run, Mapping[str, datetime]]]:
    """Return the runs that have not ended, each with the time of the newest event of each step."""
    found: list[tuple[Run, Mapping[str, datetime]]] = []
    for run_id in await store.open_runs():
        events: Sequence[Event] = await store.events(run_id)
        if not events:  # deleted meanwhile
            continue
        workflow = await store.workflow(str(events[0].data["workflow"]))
        found.append((fold(run_id, workflow, events), {event.step: event.at for event in events}))
    return found


def _since(run: Run, step: StepRun, touched: Mapping[str, datetime]) -> datetime | None:
    """Return since when a step has been as it is: since its newest event, else since the last step before it ended."""
    if step.spec.id in touched:
        return touched[step.spec.id]
    ends = [end for dep in step.spec.deps if (end := run.steps[dep.step].ended_at) is not None]
    return max(ends, default=run.started_at)


def _queued(run: Run, step: StepRun | None, since: datetime | None, reasons: tuple[Blocker, ...]) -> Queued:
    return Queued(
        run_id=run.id,
        workflow=run.workflow.name,
        step=step.spec.id if step else "",
        state=step.state.value if step else run.state.value,
        since=since,
        reasons=reasons,
    )


def _in_store(folder: Path, work: Callable[[SqliteStore], Coroutine[None, None, T]]) -> T:
    async def within() -> T:
        store = wiring.open_store(folder)
        try:
            return await work(store)
        finally:
            store.close()

    return run_blocking(within())
