"""Commands over DAG files with `--nats`: what only a machine alone could do before."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clusterprocs import Shell, reach, worker

from provisioning.adapters.nats.connect import Access

WITHIN_S = 60


@pytest.fixture
def shell(tmp_path: Path, nats_access: Access) -> Iterator[Shell]:
    """A user's folder, and a worker somewhere."""
    with worker(tmp_path / "worker", *reach(nats_access), "--name", "w0"):
        yield Shell(tmp_path / "shell")


def until(path: Path) -> None:
    end = time.monotonic() + WITHIN_S
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_run_has_another_name_queue_and_folder_where_its_user_says_so(
    tmp_path: Path, shell: Shell, nats_access: Access
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (shell.folder / "etl.yaml").write_text("steps:\n  - {run: 'echo \"$DAG_NAME in $PWD\"', output: SAID}\n", "utf-8")
    words = ["--name", "nightly", "--queue", "slow", "--default-working-dir", str(there)]
    done = shell.facts("dag", "run", "etl.yaml", *reach(nats_access), *words)
    assert (done["workflow"], done["status"], done["outputs"]["SAID"]) == ("nightly", "succeeded", f"nightly in {there}")
    again = shell.facts("dag", "retry", done["run_id"], "--step", done["steps"][0]["id"], *reach(nats_access))
    assert again["outputs"]["SAID"] == f"nightly in {there}"


def test_a_folder_that_would_be_one_of_this_machine_is_refused_before_anything_runs(shell: Shell, nats_access: Access) -> None:
    (shell.folder / "etl.yaml").write_text("steps:\n  - run: pwd\n", "utf-8")
    done = shell("dag", "run", "etl.yaml", *reach(nats_access), "--default-working-dir", "work")
    assert done.returncode == 2
    assert "with a cluster it is a folder of the worker" in done.stderr
    assert shell.facts("dag", "history", *reach(nats_access))["runs"] == []


def test_a_run_that_waits_for_its_queue_says_so_and_runs_when_there_is_room(
    tmp_path: Path, shell: Shell, nats_access: Access
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    text = f"queue: one\nsteps:\n  - run: 'touch {begun}; while [ ! -e {go} ]; do sleep 0.05; done'\n"
    (shell.folder / "first.yaml").write_text(text, "utf-8")
    (shell.folder / "second.yaml").write_text("queue: one\nsteps:\n  - run: 'true'\n", "utf-8")
    first = shell.begin("dag", "run", "first.yaml", *reach(nats_access), "--run-id", "r1")
    until(begun)
    second = shell.begin("dag", "run", "second.yaml", *reach(nats_access), "--run-id", "r2")
    assert second.stderr is not None
    said = ""
    while "queued: queue one is taken (1 of 1): r1" not in said:
        said += (line := second.stderr.readline())
        assert line, said
    listed = shell.facts("queue", "list", *reach(nats_access))["queue"]
    assert [(one["run_id"], one["state"], one["blockers"][0]["name"]) for one in listed if "step" not in one] == [
        ("r2", "queued", "queue one")
    ]
    assert shell.facts("dag", "status", "r2", *reach(nats_access))["status"] == "queued"
    go.touch()
    for process in (first, second):
        process.communicate(timeout=WITHIN_S)
        assert process.returncode == 0


def test_logs_of_a_run_are_followed_from_the_beginning_to_the_end(tmp_path: Path, shell: Shell, nats_access: Access) -> None:
    go = tmp_path / "go"
    text = f"""
steps:
  - {{name: slow, command: 'echo begun; while [ ! -e {go} ]; do sleep 0.05; done; echo over; echo last >&2'}}
  - {{name: after, command: echo after it, depends: slow}}
"""
    (shell.folder / "etl.yaml").write_text(text, "utf-8")
    running = shell.begin("dag", "run", "etl.yaml", *reach(nats_access), "--run-id", "r1")
    following = None
    end = time.monotonic() + WITHIN_S
    while shell("dag", "status", "r1", *reach(nats_access)).returncode:
        assert time.monotonic() < end
    following = shell.begin("dag", "logs", "r1", "--follow", *reach(nats_access))
    assert following.stdout is not None
    assert following.stdout.readline() == "slow | begun\n"
    go.touch()
    out, err = following.communicate(timeout=WITHIN_S)
    assert (following.returncode, out) == (0, "slow | over\nafter | after it\n")
    assert "slow | last\n" in err
    running.communicate(timeout=WITHIN_S)
    later = shell("dag", "logs", "r1", "slow", "--stdout", "--follow", *reach(nats_access))
    assert (later.returncode, later.stdout) == (0, "begun\nover\n")


def test_ctrl_c_ends_the_following_and_not_the_run(tmp_path: Path, shell: Shell, nats_access: Access) -> None:
    go = tmp_path / "go"
    text = f"steps:\n  - {{name: slow, command: 'echo begun; while [ ! -e {go} ]; do sleep 0.05; done'}}\n"
    (shell.folder / "etl.yaml").write_text(text, "utf-8")
    running = shell.begin("dag", "run", "etl.yaml", *reach(nats_access), "--run-id", "r1")
    end = time.monotonic() + WITHIN_S
    while shell("dag", "status", "r1", *reach(nats_access)).returncode:
        assert time.monotonic() < end
    following = shell.begin("dag", "logs", "r1", "--follow", *reach(nats_access))
    assert following.stdout is not None
    assert following.stdout.readline() == "begun\n"
    following.send_signal(signal.SIGINT)
    _out, err = following.communicate(timeout=WITHIN_S)
    assert (following.returncode, "Traceback" in err) == (130, False)
    assert shell.facts("dag", "status", "r1", *reach(nats_access))["status"] == "running"
    go.touch()
    running.communicate(timeout=WITHIN_S)
    assert running.returncode == 0


def test_past_starts_are_run_by_the_cluster_each_once(shell: Shell, nats_access: Access) -> None:
    text = 'schedule: "CRON_TZ=UTC 0 6 * * *"\nsteps:\n  - {run: \'echo "$DAG_SCHEDULED_AT $WHO"\', output: SAID}\n'
    (shell.folder / "etl.yaml").write_text(text, "utf-8")
    words = ["etl.yaml", "--from", "2026-03-01T00:00Z", "--to", "2026-03-04T00:00Z", *reach(nats_access)]
    planned = shell.facts("schedule", "backfill", *words, "--dry-run")
    assert (planned["total"], planned["started"]) == (3, 0)
    done = shell.facts("schedule", "backfill", *words, "--parallel", "2", "--", "WHO=ann")
    assert [(one["action"], one["status"]) for one in done["items"]] == [("run", "succeeded")] * 3
    runs = shell.facts("dag", "history", *reach(nats_access))["runs"]
    assert {one["run_id"] for one in runs} == {one["run_id"] for one in done["items"]}
    shown = shell.facts("dag", "status", done["items"][1]["run_id"], *reach(nats_access))
    assert shown["outputs"]["SAID"] == "2026-03-02T06:00:00Z ann"
    again = shell.facts("schedule", "backfill", *words)
    assert [one["action"] for one in again["items"]] == ["skip"] * 3
    anew = shell.facts("schedule", "backfill", *words, "--reprocess", "successful", "--newest-first")
    assert [(one["at"][:10], one["status"]) for one in anew["items"]] == [(f"2026-03-0{day}", "succeeded") for day in (3, 2, 1)]


def test_a_run_that_is_queued_up_is_left_to_the_cluster_and_listed_with_its_dag(shell: Shell, nats_access: Access) -> None:
    (shell.folder / "etl.yaml").write_text('params: WHO=world\nsteps:\n  - {run: echo "hello $WHO", output: SAID}\n', "utf-8")
    words = ["--queue", "slow", "--name", "nightly", *reach(nats_access), "--", "WHO=you"]
    left = shell.facts("dag", "enqueue", "etl.yaml", *words)
    assert (left["workflow"], left["status"]) == ("nightly", "queued")
    shell("run", "watch", left["run_id"], *reach(nats_access))
    shown = shell.facts("dag", "status", left["run_id"], *reach(nats_access))
    assert (shown["status"], shown["outputs"]["SAID"]) == ("succeeded", "hello you")
    again = shell("dag", "enqueue", "etl.yaml", "--run-id", left["run_id"], *reach(nats_access))
    assert again.returncode != 0
    assert "exists already" in again.stderr
    named = shell.facts("dag", "enqueue", "etl.yaml", "--run-id", "r2", *reach(nats_access))
    shell("run", "watch", named["run_id"], *reach(nats_access))
    (listed,) = shell.facts("dag", "list", str(shell.folder), *reach(nats_access))["dags"]
    assert (listed["status"], listed["last_run"]["run_id"]) == ("succeeded", "r2")
    (alone,) = shell.facts("dag", "list", str(shell.folder))["dags"]
    assert alone["last_run"] is None
