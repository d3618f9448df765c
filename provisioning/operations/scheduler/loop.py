"""The scheduler: looks at what is due, has it done, and keeps how far it has looked.

Any number of them may look at one store. What is due is done before it is marked as done, and the id of a run follows from its
instant: whoever dies in between has its work done by another, or by itself after it was started again, and nothing twice.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.params import Given
from provisioning.core.ports import Clock
from provisioning.core.schedules import Going, Kept, Mark, Schedules
from provisioning.core.scheduling import AGAIN, MOST, Act, Decision, Known, What, decide, run_id
from provisioning.errors import ExistsError, LockedError, ProvisioningError, StoreError
from provisioning.operations.dagu.running import Start
from provisioning.operations.scheduler.ports import Observer, Runs
from provisioning.operations.scheduler.watched import Watch, Watched

RESCAN_S = 5.0  # how often files are looked at, and how far a wall clock that is put forward can deceive
STARTS_AT_ONCE = 8
_FLUSH = timedelta(minutes=1)
_RETRY = timedelta(seconds=10)
ACTOR = "scheduler"

Alive = Callable[[str], bool]
"""Whether the process of an open run is there."""


@dataclass(slots=True, kw_only=True)
class _Entry:
    """One DAG. `due` is when it is looked at next; None: never. A busy one is looked at when that is over.

    One that owes has something due that could not be tried yet: its cursor stays.
    """

    watch: Watch
    cursor: datetime
    due: datetime | None = None
    busy: bool = False
    owes: bool = False


class Scheduler:
    """`run` it, or `look` and `settled` by hand."""

    def __init__(
        self,
        *,
        watched: Watched,
        schedules: Schedules,
        runs: Runs,
        alive: Alive,
        clock: Clock,
        observer: Observer | None = None,
        most: int = MOST,
    ) -> None:
        """`alive` is asked for open runs before they count as going on; `most` caps what is made up for after a downtime."""
        self._watched, self._schedules, self._runs, self._alive, self._clock = watched, schedules, runs, alive, clock
        self._observer, self._most = observer or Observer(), most
        self._entries: dict[str, _Entry] = {}
        self._heap: list[tuple[datetime, str]] = []
        self._looked: datetime | None = None
        self._flushed: datetime | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Semaphore(STARTS_AT_ONCE)
        self._told = ""

    async def run(self) -> None:
        """Look for ever. What goes on when this is cancelled is left to the next look of any scheduler."""
        try:
            while True:
                await self._look_or_tell()
                await self._clock.sleep(self._pause_s())
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look_or_tell(self) -> None:
        """Look once. What keeps it from that is told when it begins."""
        try:
            await self.look()
        except ProvisioningError as error:
            if error.message != self._told:
                self._observer.on_failure("", error.message)
            self._told = error.message
        else:
            self._told = ""

    async def look(self) -> None:
        """Look once: read what has changed, begin what is due. Costs what is due and changed, and a `stat` for every file.

        Raises NotFoundError or ConfigError for the folder, StoreError.
        """
        await self._reload()
        now = self._clock.now()
        due = self._pop(now)
        if due:
            try:
                await self._begin(due, now)
            except BaseException:
                for name in due:
                    self._owe(name, now + _RETRY)
                raise
        self._looked = max(now, self._looked or now)
        await self._flush(now)

    async def settled(self) -> None:
        """Wait until everything that was begun is done. Raises what no scheduler expects."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    @property
    def next_look(self) -> datetime | None:
        """When something is due next; None: never."""
        while self._heap and self._stale(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    # ------------------------------------------------------------ which are due

    async def _reload(self) -> None:
        """Take over what has changed in the files. A schedule that is new or another counts from the last look on."""
        changes = await asyncio.to_thread(self._watched.look)
        for name, fault in self._watched.faults.items():
            self._observer.on_failure(name, f"it is not scheduled: {fault}")
        found = {name: watch for name, watch in changes.items() if watch is not None}
        kept = await self._schedules.kept(list(found)) if found else {}
        unseen = [name for name in found if name not in kept or kept[name].mark is None]
        since = self._looked or self._clock.now()
        if unseen:
            await self._schedules.advance(unseen, since)
        for name in changes.keys() - found.keys():
            self._entries.pop(name, None)
        for name, watch in found.items():
            known = kept.get(name)
            if known is not None and known.restarting is not None and name not in self._entries:
                self._keep(self._finish_restart(watch, known.restarting))
            self._take(watch, known, since)

    def _take(self, watch: Watch, kept: Kept | None, since: datetime) -> None:
        mark = kept.mark if kept is not None and kept.mark is not None else Mark(cursor=since)
        entry = self._entries.get(watch.name)
        cursor = mark.cursor if self._looked is None else max(mark.cursor, since)
        if entry is None:
            entry = self._entries[watch.name] = _Entry(watch=watch, cursor=cursor)
        entry.watch = watch
        if not (entry.busy or entry.owes):
            entry.cursor = cursor
            self._again_at(watch.name, self._clock.now() if mark.behind is not None else watch.timing.next(cursor))

    def _pop(self, now: datetime) -> list[str]:
        found: list[str] = []
        while (at := self.next_look) is not None and at <= now:
            name = heapq.heappop(self._heap)[1]
            self._entries[name].busy = True
            found.append(name)
        return found

    def _again_at(self, name: str, at: datetime | None) -> None:
        entry = self._entries.get(name)
        if entry is not None:
            entry.busy, entry.due = False, at
            if at is not None:
                heapq.heappush(self._heap, (at, name))

    def _owe(self, name: str, at: datetime) -> None:
        self._again_at(name, at)
        if name in self._entries:
            self._entries[name].owes = True

    def _stale(self, at: datetime, name: str) -> bool:
        entry = self._entries.get(name)
        return entry is None or entry.busy or entry.due != at

    def _pause_s(self) -> float:
        at = self.next_look
        left_s = (at - self._clock.now()).total_seconds() if at is not None else RESCAN_S
        return min(max(left_s, 0.0), RESCAN_S)

    # ------------------------------------------------------------ what is due

    async def _begin(self, due: Sequence[str], now: datetime) -> None:
        kept = await self._schedules.kept(due)
        going = await self._going(due)
        idle: dict[str, Mark] = {}
        for name in due:
            entry = self._entries[name]
            decision = await self._decide(entry, kept.get(name), going.get(name, ()), now)
            if decision.acts:
                self._keep(self._serve(entry, decision))
            else:
                idle[name] = decision.mark
                self._done(entry, decision)
        if idle:
            await self._schedules.put(idle)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _going(self, names: Sequence[str]) -> Mapping[str, list[Going]]:
        """Return by DAG the runs that go on, without those whose process is gone."""
        found = await self._schedules.going(names)
        alive = await asyncio.to_thread(lambda: [one for one in found if self._alive(one.run_id)])
        return {name: [one for one in alive if one.name == name] for name in {one.name for one in alive}}

    async def _decide(self, entry: _Entry, kept: Kept | None, going: Sequence[Going], now: datetime) -> Decision:
        """Decide from where any scheduler has looked furthest."""
        mark = kept.mark if kept is not None and kept.mark is not None else Mark(cursor=entry.cursor)
        mark = Mark(cursor=max(mark.cursor, entry.cursor), behind=mark.behind)
        timing = entry.watch.timing
        succeeded_at = await self._schedules.succeeded_at(entry.watch.name) if timing.skip_if_successful else None
        return decide(timing, Known(mark=mark, going=going, succeeded_at=succeeded_at), now, most=self._most)

    async def _serve(self, entry: _Entry, decision: Decision) -> None:
        """Do what was decided, then mark it as done. Where it could not be tried, it is not: there is another look."""
        name = entry.watch.name
        try:
            for act in decision.acts:
                await self._do(entry.watch, act)
            await self._schedules.put({name: decision.mark})
        except LockedError:
            self._owe(name, self._clock.now() + AGAIN)
        except StoreError as error:
            self._observer.on_failure(name, error.message)
            self._owe(name, self._clock.now() + _RETRY)
        except Exception as error:  # one DAG must not end the scheduling of all
            self._observer.on_failure(name, f"{type(error).__name__}: {error}")
            self._owe(name, self._clock.now() + _FLUSH)
        else:
            self._done(entry, decision)

    def _done(self, entry: _Entry, decision: Decision) -> None:
        entry.cursor, entry.owes = decision.mark.cursor, False
        following = entry.watch.timing.next(entry.cursor) if decision.mark.behind is None else decision.look_at
        self._again_at(entry.watch.name, following)

    async def _do(self, watch: Watch, act: Act) -> None:
        match act.what:
            case What.DROP:
                self._observer.on_act(watch.name, act, "")
            case What.STOP:
                await self._try(watch.name, self._runs.stop(act.runs, ACTOR))
                self._observer.on_act(watch.name, act, "")
            case What.START:
                await self._try(watch.name, self._start(watch, act))
            case What.RESTART:
                await self._try(watch.name, self._restart(watch, act))

    async def _try(self, name: str, work: Awaitable[None]) -> None:
        """Do something. Where another attempt cannot help, it is told and over; a run that there is already is no news."""
        try:
            await work
        except (LockedError, StoreError):
            raise
        except ExistsError:
            return
        except ProvisioningError as error:
            self._observer.on_failure(name, error.message)

    async def _start(self, watch: Watch, act: Act, given: Sequence[Given] = ()) -> None:
        dag = await self._load(watch)
        id = run_id(watch.name, act.at)
        async with self._starting:
            start = Start(given=given, run_id=id, trigger=act.trigger, actor=ACTOR, scheduled_at=act.at)
            await self._runs.start(dag, start)
        self._observer.on_act(watch.name, act, id)

    async def _restart(self, watch: Watch, act: Act) -> None:
        """Stop what goes on, wait as long as the DAG wants, start it with the same parameters.

        Another scheduler may have stopped it just before: so nothing here depends on what went on. Who dies in between leaves
        a note that it was begun.
        """
        await self._schedules.restarting(watch.name, act.at)
        given = await self._runs.last_given(watch.name)
        await self._runs.stop(act.runs, ACTOR)
        await self._clock.sleep((await self._load(watch)).restart_wait_s)
        try:
            await self._start(watch, act, given)
        except (LockedError, StoreError):
            raise
        except ProvisioningError:  # another attempt cannot help, or is not needed
            await self._schedules.restarting(watch.name, None)
            raise
        await self._schedules.restarting(watch.name, None)

    async def _finish_restart(self, watch: Watch, at: datetime) -> None:
        """Start what a scheduler that is gone has stopped to start it anew, unless it goes on again, or is suspended."""
        going = (await self._going([watch.name])).get(watch.name, ())
        if watch.timing.suspended or any(one.began_at > at for one in going):
            await self._schedules.restarting(watch.name, None)
            return
        act = Act(what=What.RESTART, at=at, runs=tuple(one.run_id for one in going))
        while True:
            try:
                await self._try(watch.name, self._restart(watch, act))
            except (LockedError, StoreError) as error:
                self._observer.on_failure(watch.name, error.message)
                await self._clock.sleep(_RETRY.total_seconds())
            else:
                return

    async def _load(self, watch: Watch) -> DagFile:
        return await asyncio.to_thread(self._watched.catalogue.load, str(watch.path))

    # ------------------------------------------------------------ keeping

    async def _flush(self, now: datetime) -> None:
        """Keep, once a minute, that nothing else was due: a downtime begins where the last look was."""
        if self._flushed is not None and now - self._flushed < _FLUSH:
            return
        free = [(name, entry) for name, entry in self._entries.items() if not (entry.busy or entry.owes)]
        idle = [name for name, entry in free if entry.due is None or entry.due > now]
        if idle:
            await self._schedules.advance(idle, now)
        self._flushed = now
