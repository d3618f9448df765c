"""Two Dagu files that differ in one key, what is to be seen of both, and the same key in the words of older versions."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch
from zoneinfo import ZoneInfo

from support.calls import Caller
from support.daguhome import ran as recorded
from support.daguruns import DaguRuns, Live, Moment, Ran, stop

from provisioning import wiring
from provisioning.core.dagu.compile import compile_dag
from provisioning.core.dagu.doing import SubDagDoing
from provisioning.core.dagu.placing import Here, started_by_step
from provisioning.core.events import Kind
from provisioning.core.instants import timing_of
from provisioning.core.schedules import Going, Mark
from provisioning.core.scheduling import Known, What, decide
from provisioning.errors import ConfigError
from provisioning.operations import Listener
from provisioning.operations.dagu.queues import turns_of
from provisioning.operations.dagu.retention import remove_expired
from provisioning.operations.dagu.running import Start, start

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
_SNAKE = re.compile(r"(?<![\w$./-])[a-z]+(?:_[a-z]+)+(?=:)")


@dataclass
class Scene:
    """Where a file is looked at."""

    dagu: DaguRuns
    call: Caller


See = Callable[[Scene, str], object]


@dataclass(frozen=True, kw_only=True)
class Flip:
    """`keys` are those that it is about, by their current names. `older` are other spellings of `after`."""

    keys: Sequence[str]
    before: str
    after: str
    see: See
    seen: tuple[object, object]
    older: Sequence[str] = field(default=())
    camel: bool = True

    @property
    def spellings(self) -> list[str]:
        """The file with the key, in every spelling."""
        other = [camel(self.after)] if self.camel and camel(self.after) != self.after else []
        return [self.after, *other, *self.older]


def camel(text: str) -> str:
    """Return a file with its keys as Dagu had them up to 1.30."""
    return _SNAKE.sub(lambda found: _camel(found[0]), text)


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word.capitalize() for word in rest)


# ---------------------------------------------------------------- what is seen of a run


def run(look: Callable[[Ran], object], *params: str, leaps: bool = False) -> See:
    """Run it, and look at the run."""
    return lambda scene, text: look(scene.dagu.run(text, *params, leaps=leaps))


def ends(ran: Ran) -> tuple[str, list[str]]:
    return ran.status, list(ran.steps.values())


def said(step: str = "a") -> Callable[[Ran], object]:
    """Look at what a step has printed."""
    return lambda ran: ran.stdout(step).strip()


def after_a_while(seconds: float) -> See:
    """Let time pass when a step prints `ready`; then a file `go` lets it end, if it still can."""

    def see(scene: Scene, text: str) -> object:
        return ends(scene.dagu.run(text, printed={"ready": _passes(scene.dagu.dags / "go", seconds)}))

    return see


def stopped(seconds: float) -> See:
    """Stop it when a step prints `ready`; let time pass when that prints `told`. Was it able to leave a file `cleaned`?"""
    ours = SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())  # time that can be leapt over

    async def stops(live: Live) -> None:
        await stop(live)
        live.leap(1)

    def see(scene: Scene, text: str) -> object:
        go = scene.dagu.dags / "go"
        with patch("provisioning.adapters.processes.time", ours):
            scene.dagu.run(text, printed={"ready": stops, "told": _passes(go, seconds)})
        return (scene.dagu.dags / "cleaned").exists()

    return see


def _passes(go: Path, seconds: float) -> Moment:
    async def passes(live: Live) -> None:
        live.leap(seconds)
        for _ in range(200):  # whatever is due now is done before the file is there,
            await asyncio.sleep(0)
        await asyncio.to_thread(time.sleep, 0.2)  # by threads, too
        go.touch()

    return passes


def side_by_side(ran: Ran) -> bool:
    """Whether the second step began before the first had ended."""
    kinds = [one.kind for one in ran.events if one.step in {"a", "b"} and one.kind in {Kind.STEP_STARTED, Kind.STEP_SUCCEEDED}]
    return kinds[:2] == [Kind.STEP_STARTED] * 2


def letters(scene: Scene, text: str) -> object:
    """The subjects of the letters that a run sends, each with its servers' names."""
    scene.dagu.run(text)
    hosts = [server.host for server in scene.dagu.mailer.servers]
    return [(host, letter.subject, len(letter.attachments)) for host, letter in zip(hosts, scene.dagu.mailer.sent, strict=True)]


def logins(scene: Scene, text: str) -> object:
    """Where a run has logged in."""
    scene.dagu.run(text)
    return [(one.login.user, one.login.host, one.login.port) for one in scene.dagu.remote.sent]


# ---------------------------------------------------------------- what is seen without a run


def listed(field_: str) -> See:
    """One field of `dag list -o json`."""

    def see(scene: Scene, text: str) -> object:
        scene.dagu.write("main.yaml", text)
        (row,) = scene.call("dag", "list", str(scene.dagu.dags), "-o", "json").json["dags"]
        return row[field_] if field_ != "next_run" else row[field_] is not None

    return see


def shown(scene: Scene, text: str) -> object:
    """The descriptions of the steps in `dag show`."""
    path = scene.dagu.write("main.yaml", text)
    return [step["description"] for step in scene.call("dag", "show", str(path), "-o", "json").json["steps"]]


def faults(scene: Scene, text: str) -> object:
    """What it is refused for."""
    try:
        scene.dagu.load(text)
    except ConfigError as error:
        return [fault.code for fault in error.faults]
    return []


def selectors(scene: Scene, text: str) -> object:
    """Where the DAG may run, and then those that it starts."""
    dag = scene.dagu.load(text)
    started = [
        started_by_step(step.worker_selector, dag.documents[step.doing.dag.raw], Here(worker="w1"), lambda text: text.raw)
        for step in dag.steps
        if isinstance(step.doing, SubDagDoing)
    ]
    return [dict(place.selector) for place in (compile_dag(dag).steps[0].placement, *started)]


def turns(scene: Scene, text: str) -> object:
    """How many of three runs at once do not have to wait."""
    taken = 0
    for _ in range(3):
        taken += all(turn.try_take() for turn in turns_of(scene.dagu.load(text), scene.dagu.home / "data", scene.dagu.settings))
    return taken


def scheduled(*, going: bool = False, succeeded: bool = False, late: timedelta = timedelta()) -> See:
    """How many starts a scheduler makes of two hourly ones, noon and one o'clock, at the second, or `late`."""

    def see(scene: Scene, text: str) -> object:
        timing = timing_of(scene.dagu.load(text), UTC, ZoneInfo)
        assert timing is not None
        others = [Going(run_id="r", name="main", began_at=NOON, trigger="schedule")] if going else []
        mark = Mark(cursor=NOON - timedelta(minutes=1) if late else NOON)
        known = Known(mark=mark, going=others, succeeded_at=NOON + timedelta(minutes=5) if succeeded else None)
        acts = decide(timing, known, NOON + timedelta(hours=1) + late).acts
        return [act.what.value for act in acts if act.what is not What.DROP]

    return see


def boxed(scene: Scene, text: str) -> object:
    """What a stand-in for Docker's client was called with: the verbs and the image, of all calls in order."""
    client = scene.dagu.write("bin/docker", f'#!/bin/sh\necho "$@" >>{scene.dagu.home}/docker.log\n')
    client.chmod(0o755)
    with patch.dict(os.environ, {"PATH": f"{client.parent}:{os.environ['PATH']}"}):
        dagu = DaguRuns(scene.dagu.home)
        ran = dagu.run(text)
    log = scene.dagu.home / "docker.log"
    calls = [line.split() for line in log.read_text("utf-8").splitlines()] if log.exists() else []
    return ran.status, [(call[0], "alpine" in call) for call in calls]


def kept(scene: Scene, text: str) -> object:
    """How many of three runs are kept."""
    data = scene.dagu.home / "data"
    dag = scene.dagu.load(text)

    async def count() -> int:
        for number in range(3):
            await recorded(data, dag.name, run=f"r{number}")
        store = wiring.open_store(data)
        try:
            return 3 - len(await remove_expired(store, data, dag, scene.dagu.settings, but=""))
        finally:
            store.close()

    return asyncio.run(count())


def logs(scene: Scene, text: str) -> object:
    """Whether the log of the step is in the folder `mine`."""
    dag = scene.dagu.load(text.replace("HERE", str(scene.dagu.home)))
    asyncio.run(start(scene.dagu.catalogue, dag, Start(run_id="r1"), scene.dagu.settings, Listener()))
    return any((scene.dagu.home / "mine").rglob("*.out"))


def fresh(scene: Scene, number: int) -> Scene:
    """Return another place to look at another file."""
    return replace(scene, dagu=DaguRuns(scene.dagu.home / str(number)))
