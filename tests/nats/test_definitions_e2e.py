"""Dagu files in a cluster of real worker processes: the eight rows, what travels and where to, and workers that are killed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.abroad import error_of
from support.clusterprocs import reach, worker
from support.daguhome import dag_folder
from support.natsservers import access, running

from provisioning import clusters, wiring
from provisioning.adapters.nats.connect import Access
from provisioning.clusters import Joined
from provisioning.core.dagu.report import RunReport, report
from provisioning.core.presence import FRESH_S
from provisioning.engine.runner import load
from provisioning.operations.cluster.dagu import catalogue_at, send_off
from provisioning.operations.cluster.runs import ClusterRuns
from provisioning.operations.dagu.running import Start
from provisioning.settings import Settings

pytestmark = pytest.mark.slow
SAYS = "steps:\n  - {command: echo @WHOSE, output: SAID}\n"


@dataclass
class Person:
    """Somebody who starts DAGs of a folder, and looks at what became of them."""

    joined: Joined
    dags: Path

    async def run(self, ref: str, run_id: str) -> RunReport:
        await self.start(ref, run_id)
        return await self.ended(run_id)

    async def start(self, ref: str, run_id: str) -> None:
        runs = ClusterRuns(self.joined.store, wiring.clock(), "ann@home")
        settings = Settings()
        await send_off(self.joined, catalogue_at(self.dags, settings), ref, Start(run_id=run_id), runs, settings)

    async def ended(self, run_id: str) -> RunReport:
        async with asyncio.timeout(60):
            await ClusterRuns(self.joined.store, wiring.clock(), "ann@home").ended(run_id)
        return report(self.joined.store.history.run(run_id))

    def inside(self, run_id: str = "") -> dict[str, dict[str, object]]:
        """Return the outputs of the runs that steps have started, of one run or all, by their DAG."""
        history = self.joined.store.history
        found = [one for one in history.list_runs(100) if one.trigger.startswith(f"subdag:{run_id}")]
        return {one.workflow: dict(history.run(one.run_id).outputs) for one in found}


@asynccontextmanager
async def person(access: Access, dags: Path) -> AsyncIterator[Person]:
    joined = await clusters.join(access)
    try:
        yield Person(joined, dags)
    finally:
        await joined.aclose()


# ---------------------------------------------------------------- the eight rows

FOLDERS = {"hit": {"child": SAYS.replace("@WHOSE", "local")}, "missing": {"other": SAYS}, "broken": {"child": "steps: 7\n"}}
OWN, LOCAL_WORDS, BROKEN = "local", 'no DAG "child" in', "child.yaml is not a valid DAG"
ROWS = {
    "hit": {"hit": OWN, "missing": "remote", "broken": BROKEN, "none": "remote"},
    "empty": {"missing": LOCAL_WORDS, "none": "was not found, neither here nor by a coordinator"},
    "error": {"hit": OWN, "missing": LOCAL_WORDS, "none": "was not to be had: boss has it, or should, but cannot give it"},
    "absent": {"hit": OWN, "missing": LOCAL_WORDS, "broken": BROKEN, "none": "nobody is there who has definitions"},
}


def coordinator(folder: Path, kind: str) -> list[str]:
    """Return the options of the worker that decides: whether it has a folder of DAGs, and what is in it."""
    if kind == "absent":
        return []
    dags = folder / "boss" / "dags"
    if kind != "error":
        dag_folder(dags, **({"child": SAYS.replace("@WHOSE", "remote")} if kind == "hit" else {"other": SAYS}))
    return ["--dags", str(dags)]


@pytest.mark.parametrize("kind", list(ROWS))
async def test_d40_the_eight_rows_with_real_workers(tmp_path: Path, nats_access: Access, kind: str) -> None:
    options, rows = reach(nats_access), ROWS[kind]
    mains = {f"main-{here}": f"worker_selector: {{own: {here}}}\nsteps:\n  - {{name: sub, call: child}}\n" for here in rows}
    with ExitStack() as stack:
        stack.enter_context(worker(tmp_path / "boss", *options, "--name", "boss", *coordinator(tmp_path, kind)))
        for here in rows:
            own = [] if here == "none" else ["--dags", str(dag_folder(tmp_path / here / "dags", **FOLDERS[here]))]
            labels = ["--name", f"w-{here}", "--label", f"own={here}", "--no-scheduler"]
            stack.enter_context(worker(tmp_path / here, *options, *labels, *own))
        async with person(nats_access, dag_folder(tmp_path / "home" / "dags", **mains)) as ann:
            found = {}
            for here, expected in rows.items():
                ran = await ann.run(f"main-{here}", f"run-{here}")
                good = ran.status.value == "succeeded"
                found[here] = str(ann.inside(f"run-{here}")["child"]["SAID"]) if good else error_of(ran, "sub")
                assert good is (expected in {OWN, "remote"}), found

    assert {here: expected if expected in found[here] else found[here] for here, expected in rows.items()} == rows


# ---------------------------------------------------------------- what travels, and where


async def test_a_worker_without_files_starts_runs_at_another_one_with_all_that_they_need(
    tmp_path: Path, nats_access: Access
) -> None:
    child = "worker_selector: {zone: c}\ndotenv: .env\nsteps:\n  - {command: ./say.sh, output: SAID}\n"
    middle = "worker_selector: {zone: b}\nsteps:\n  - {name: c, call: child}\n"
    dags = dag_folder(tmp_path / "boss" / "dags", child=child, middle=middle)
    (dags / ".env").write_text("WORD=hello\n", "utf-8")
    (dags / "say.sh").write_text('#!/bin/sh\necho "$WORD from $(cat name.txt)"\n', "utf-8")
    (dags / "say.sh").chmod(0o755)
    (dags / "name.txt").write_text("afar\n", "utf-8")
    home = dag_folder(tmp_path / "home" / "dags", main="steps:\n  - {name: b, call: middle}\n")
    options = reach(nats_access)
    with ExitStack() as stack:
        stack.enter_context(worker(tmp_path / "boss", *options, "--name", "boss", "--dags", str(dags)))
        for zone in "bc":
            labels = ["--name", f"w{zone}", "--label", f"zone={zone}", "--no-scheduler"]
            stack.enter_context(worker(tmp_path / zone, *options, *labels))
        async with person(nats_access, home) as ann:
            ran = await ann.run("main", "r1")
            inside = ann.inside()

    assert ran.status.value == "succeeded"
    assert inside["child"] == {"SAID": "hello from afar"}
    assert list((tmp_path / "c").rglob("say.sh"))  # it came to where it ran
    assert not list((tmp_path / "b").rglob("say.sh")) or list((tmp_path / "b").rglob("*.package"))


@pytest.mark.soak
async def test_a_run_whose_worker_is_killed_goes_on_at_another_one_with_its_files(tmp_path: Path, nats_access: Access) -> None:
    text = (
        "type: chain\nsteps:\n"
        "  - {name: one, command: echo one, output: ONE}\n"
        f"  - {{name: slow, command: 'if mkdir {tmp_path}/begun; then sleep 60; fi'}}\n"
        "  - {name: two, command: cat table.txt, output: TWO}\n"
    )
    home = dag_folder(tmp_path / "home" / "dags", main=f"worker_selector: {{does: work}}\n{text}")
    (home / "table.txt").write_text("table\n", "utf-8")
    options = reach(nats_access)
    with ExitStack() as stack:
        stack.enter_context(worker(tmp_path / "boss", *options, "--name", "boss"))
        labels = ["--label", "does=work", "--no-scheduler"]
        pair = {name: stack.enter_context(worker(tmp_path / name, *options, "--name", name, *labels)) for name in ("w0", "w1")}
        async with person(nats_access, home) as ann:
            await ann.start("main", "r1")
            while not (tmp_path / "begun").exists():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)
            first = (await load(ann.joined.store, "r1")).steps["one"].worker
            pair[first].process.send_signal(signal.SIGKILL)
            ran = await ann.ended("r1")

    assert ran.status.value == "succeeded"
    assert dict(ran.detail.outputs) == {"ONE": "one", "TWO": "table"}


@pytest.mark.soak
async def test_servers_that_were_away_for_longer_than_workers_may_be_silent_cost_no_second_execution(tmp_path: Path) -> None:
    """What the servers knew of the workers has expired when they are back: the workers have not."""
    text = f"steps:\n  - {{name: long, command: 'echo begun >> {tmp_path}/marks; sleep 40; echo ended >> {tmp_path}/marks'}}\n"
    home = dag_folder(tmp_path / "home" / "dags", main=f"worker_selector: {{does: work}}\n{text}")
    with running() as server, ExitStack() as stack:
        mine = access(server.url)
        options, labels = reach(mine), ["--label", "does=work", "--no-scheduler"]
        stack.enter_context(worker(tmp_path / "boss", *options, "--name", "boss"))
        for name in ("w0", "w1"):
            stack.enter_context(worker(tmp_path / name, *options, "--name", name, *labels))
        async with person(mine, home) as ann:
            await ann.start("main", "r1")
            while not (tmp_path / "marks").exists():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
            server.kill()
            await asyncio.sleep(FRESH_S + 5)
            server.start()
        await asyncio.sleep(5)
        async with person(mine, home) as ann:
            ran = await ann.ended("r1")

    assert ran.status.value == "succeeded"
    assert (tmp_path / "marks").read_text("utf-8").split() == ["begun", "ended"]
