"""Runs Dagu files in this process: real files, programs and logs, a journal in memory, and nobody waits.

Pauses between tries, rounds and runs are leapt over; a timeout is over when a test says so. What happens in the middle of a run
is bound to what a step prints, never to a clock.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from provisioning import wiring
from provisioning.adapters.logs import FileLogs
from provisioning.adapters.memory import FakeMailer, FakeRemoteShell, MemoryStore
from provisioning.core.dagu.compile import compile_dag
from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.params import from_arguments
from provisioning.core.dagu.report import RunReport, report
from provisioning.core.errands import Mailer, RemoteShell
from provisioning.core.events import Event, Kind
from provisioning.core.model import GateKind, Workflow
from provisioning.core.ports import Request
from provisioning.core.requests import Extent
from provisioning.core.run import Run
from provisioning.engine.actions.dagu.tools import OnDemand, Tools
from provisioning.engine.runner import Runner
from provisioning.engine.worker import Place, Worker
from provisioning.operations.dagu.catalogue import Catalogue
from provisioning.operations.dagu.definitions import Files, functions_of, readers
from provisioning.operations.dagu.places import Places
from provisioning.operations.dagu.running import check_params
from provisioning.settings import Settings

RUN = "run-1"
_PAUSES = {Kind.STEP_RETRY_WAIT, Kind.STEP_REPEAT_WAIT, Kind.RUN_RETRY_WAIT}


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop that can be told that time has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.leapt_s = 0.0

    def time(self) -> float:
        return super().time() + self.leapt_s


class LeapingClock:
    """Fulfils `ports.Clock` on a `LeapingLoop`. `slept` are the seconds that steps wanted to wait."""

    def __init__(self, loop: LeapingLoop, *, leaps: bool = False) -> None:
        self._loop, self._leaps = loop, leaps
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._loop.leapt_s)

    def monotonic_s(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self._leaps:
            self._loop.leapt_s += max(0.0, seconds)
        await asyncio.sleep(0.0 if self._leaps else max(0.0, seconds))


@dataclass
class Live:
    """A run that goes on, as somebody sees it who interferes."""

    loop: LeapingLoop
    runner: Runner
    run_id: str = RUN

    def leap(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.leapt_s += seconds

    async def ask(self, kind: str, /, **data: object) -> None:
        await self.runner.ask(Request(run=self.run_id, kind=kind, actor="somebody", data=data))


Moment = Callable[[Live], Coroutine[None, None, None]]


async def stop(live: Live) -> None:
    """Somebody stops the run."""
    await live.ask("cancel", reason="stopped")


def leap(seconds: float) -> Moment:
    """Let so much time pass."""

    async def passes(live: Live) -> None:
        live.leap(seconds)

    return passes


def approve(step: str, **answer: str) -> Moment:
    """Somebody approves a step."""

    async def agrees(live: Live) -> None:
        await live.ask("open_gate", kind=GateKind.APPROVAL.value, name=step, payload=answer or None)

    return agrees


def reject(step: str, reason: str = "no") -> Moment:
    """Somebody says no."""

    async def refuses(live: Live) -> None:
        await live.ask("reject", kind=GateKind.APPROVAL.value, name=step, reason=reason)

    return refuses


@dataclass
class Meanwhile:
    """What happens in a run. With `leaps` no step waits by itself."""

    printed: dict[str, Moment] = field(default_factory=dict)  # part of what a step prints -> what happens then
    waiting: list[Moment] = field(default_factory=list)  # when nothing but a person is waited for, one after the other
    pausing: list[Moment] = field(default_factory=list)  # in pauses, one after the other; the others are leapt over
    leaps: bool = False


@dataclass
class _Watch:
    """A projection and a watcher: interferes when the moment has come."""

    meanwhile: Meanwhile
    loop: LeapingLoop
    events: list[Event]
    runner: Runner | None = None
    group: asyncio.TaskGroup | None = None

    def binds(self, _run: Run) -> bool:
        return False

    async def committed(self, run: Run, events: Sequence[Event]) -> None:
        self.events += events
        for event in events:
            if event.kind in _PAUSES and self.meanwhile.pausing:
                self._begin(self.meanwhile.pausing.pop(0), run.id)
            elif event.kind in _PAUSES:
                due = datetime.fromisoformat(str(event.data["due"]))
                self.loop.leapt_s += max(0.0, (due - datetime.now(UTC)).total_seconds() - self.loop.leapt_s)
            elif event.kind is Kind.RUN_WAITING and self.meanwhile.waiting:
                self._begin(self.meanwhile.waiting.pop(0), run.id)

    def on_output(self, _step: str, text: str) -> None:
        for part in [part for part in self.meanwhile.printed if part in text]:
            self._begin(self.meanwhile.printed.pop(part), RUN)

    def _begin(self, moment: Moment, run_id: str) -> None:
        assert self.group is not None
        assert self.runner is not None
        self.group.create_task(moment(Live(self.loop, self.runner, run_id)))


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A run that has ended. Steps are named as in the file; handlers as `(exit)`."""

    report: RunReport
    flow: Workflow
    events: Sequence[Event]
    slept: Sequence[float]
    inside: Sequence[RunReport]  # the runs that it has started, oldest first

    @property
    def status(self) -> str:
        return self.report.status.value

    @property
    def reason(self) -> str:
        return self.report.reason

    @property
    def steps(self) -> dict[str, str]:
        """The statuses of the steps, without the handlers."""
        return {one.record.step: one.status.value for one in self.report.steps if one.record.kind == "step"}

    @property
    def handlers(self) -> dict[str, str]:
        return {one.record.step.strip("()"): one.status.value for one in self.report.steps if one.record.kind == "handler"}

    @property
    def outputs(self) -> dict[str, object]:
        return dict(self.report.detail.outputs)

    def record(self, step: str) -> Any:
        return next(one.record for one in self.report.steps if one.record.step == step)

    def stdout(self, step: str) -> str:
        return str(self.record(step).stdout)

    def error(self, step: str) -> str:
        return str(self.record(step).error)

    @property
    def attempts(self) -> Counter[str]:
        """How often each step was begun."""
        return Counter(one.step for one in self.events if one.kind is Kind.STEP_STARTED and one.run == RUN)

    @property
    def order(self) -> list[str]:
        """What was begun, in order, without what only comes with the steps."""
        return [one.step for one in self.events if one.kind is Kind.STEP_STARTED and one.run == RUN and one.step != "(setup)"]

    def pauses(self, step: str = "") -> list[float]:
        """How long a step waited between its attempts, in seconds."""
        found = [one for one in self.events if one.kind in _PAUSES and one.step == step]
        return [round((datetime.fromisoformat(str(one.data["due"])) - one.at).total_seconds(), 3) for one in found]


class DaguRuns:
    """A folder of Dagu files and what ran of them. `environment` is all that programs inherit besides PATH and HOME."""

    def __init__(self, folder: Path, *, base: str = "", environment: Mapping[str, str] | None = None) -> None:
        self.dags, self.home = folder / "dags", folder
        self.dags.mkdir(parents=True, exist_ok=True)
        if base:
            (folder / "base.yaml").write_text(base, "utf-8")
        self.store = MemoryStore()
        self.mailer, self.remote = FakeMailer(), FakeRemoteShell()
        self.settings = Settings()
        self._base = folder / "base.yaml" if base else None
        known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._environment = {**known, "SHELL": "/bin/sh", **(environment or {})}
        self._events: list[Event] = []

    def write(self, name: str, text: str) -> Path:
        """Write a file beside the DAGs."""
        path = self.dags / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    @property
    def catalogue(self) -> Catalogue:
        home = self.home
        places = Places(dags=self.dags, named=True, base=self._base, suspended=home / "suspend", data=home / "data")
        return Catalogue(places, default_type=self.settings.dagu.default_type)

    def load(self, text: str, name: str = "main") -> DagFile:
        """Write a file and read it. Raises ConfigError with its faults."""
        return self.catalogue.load(str(self.write(f"{name}.yaml", text)))

    def run(
        self,
        text: str,
        *params: str,
        printed: Mapping[str, Moment] | None = None,
        waiting: Sequence[Moment] = (),
        pausing: Sequence[Moment] = (),
        leaps: bool = False,
    ) -> Ran:
        """Run a file to its end. `printed`, `waiting` and `pausing` say what happens meanwhile, see `Meanwhile`."""
        dag = self.load(text)
        given = from_arguments(params)
        check_params(dag, given)
        asked = {"params": [[one.name, one.value] for one in given]}
        flow = compile_dag(dag)

        async def begin(runner: Runner) -> Run:
            return await runner.submit(RUN, flow, params=asked)

        return self._driven(begin, Meanwhile(dict(printed or {}), list(waiting), list(pausing), leaps=leaps))

    def retry(self, step: str | None = None, extent: Extent = Extent.BELOW) -> Ran:
        """Run what has failed again."""

        async def begin(runner: Runner) -> Run:
            return await runner.retry(RUN, from_step=step, extent=extent)

        return self._driven(begin, Meanwhile())

    # ------------------------------------------------------------ parts

    def _driven(self, begin: Callable[[Runner], Awaitable[Run]], meanwhile: Meanwhile) -> Ran:
        self._events = []
        with asyncio.Runner(loop_factory=LeapingLoop) as loop:
            run, slept = loop.run(self._drive(begin, meanwhile))
        history = self.store.history
        inside = [one for one in reversed(history.list_runs(2000)) if one.trigger.startswith("subdag:")]
        return Ran(
            report=report(history.run(RUN)),
            flow=run.workflow,
            events=self._events,
            slept=slept,
            inside=[report(history.run(one.run_id)) for one in inside],
        )

    async def _drive(self, begin: Callable[[Runner], Awaitable[Run]], meanwhile: Meanwhile) -> tuple[Run, Sequence[float]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LeapingLoop)
        clock, pace = LeapingClock(loop), LeapingClock(loop, leaps=meanwhile.leaps)
        at_hand: list[Worker] = []
        watch = _Watch(meanwhile, loop, self._events)
        self.store._timers._clock = clock
        runner = Runner(
            self.store,
            clock,
            roll=lambda: 0.5,
            stop_work=lambda run: at_hand[0].cancel(run),  # noqa: PLW0108 - the worker is made after the runner
            projections=(watch,),
            fence=None,
            poll_s=1e6,
        )
        worker = Worker(
            "local",
            self.store,
            wiring.dagu_actions(self._tools(), runner, Files(self.catalogue)),
            FileLogs(self.home / "logs"),
            pace,
            place=Place(slots=100),
            watcher=watch.on_output,
        )
        at_hand.append(worker)
        async with asyncio.TaskGroup() as group:
            watch.runner, watch.group = runner, group
            serving = [group.create_task(runner.serve()), group.create_task(worker.serve())]
            await begin(runner)
            run = await runner.ended(RUN)
            for task in serving:
                task.cancel()
        assert not meanwhile.printed, f"never printed: {list(meanwhile.printed)}"
        return run, pace.slept

    def _tools(self) -> Tools:
        places = self.catalogue.places
        tools = wiring.dagu_tools(self.dags, self.settings, lambda: functions_of(places), readers())
        return replace(
            tools,
            mailer=OnDemand[Mailer](lambda: self.mailer),
            remote=OnDemand[RemoteShell](lambda: self.remote),
            environment=lambda: self._environment,
        )
