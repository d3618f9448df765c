"""`dag-engine` among processes: killed, stopped, interrupted, queued, approved from elsewhere."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.dagengine import Engine, alive, states, until

LONG_STEP = """
type: graph
steps:
  - name: first
    command: echo first >> {calls}
  - name: middle
    depends: first
    command: |
      echo middle >> {calls}
      test -e {again} && exit 0
      echo half way
      sh -c 'sleep 1000 & echo $! > {child}; echo $$ > {parent}; touch {mark}; wait'
  - name: last
    depends: middle
    command: echo last >> {calls}
handler_on:
  exit:
    command: echo exit >> {calls}
"""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Return the program over an empty folder."""
    return Engine(tmp_path)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Return what the steps of `LONG_STEP` write and read, by name."""
    return {name: tmp_path / name for name in ("calls", "again", "child", "parent", "mark")}


# ---------------------------------------------------------------- a killed engine


def test_after_the_engine_was_killed_status_says_so_and_retry_continues(engine: Engine, files: dict[str, Path]) -> None:
    engine.dag("long", LONG_STEP.format(**files))
    engine.killed("long", files["mark"], "r1")

    told = engine("status", "long")
    assert told.code == 1
    for said in ("failed", "its process is gone", "dag-engine retry r1", "half way"):
        assert said in told.out
    document = engine.status("r1")
    assert (document["status"], document["lost"], document["exit_code"]) == ("failed", True, 1)
    assert document["resume"] == "dag-engine retry r1"
    assert states(document)["first"] == "succeeded"
    assert states(document)["middle"] == "failed"
    assert engine("ps", "-o", "json").json["runs"][0]["lost"] is True
    assert engine("list", "-o", "json").json["dags"][0]["status"] == "failed"
    assert "half way" in engine("logs", "r1").out
    stopped = engine("stop", "long")
    assert (stopped.code, "its process is gone" in stopped.err) == (2, True)

    files["again"].touch()
    again = engine("retry", "r1", "-o", "json")
    assert (again.code, again.json["status"]) == (0, "succeeded")
    assert files["calls"].read_text().split() == ["first", "middle", "middle", "last", "exit"]
    assert not alive(files["child"])
    assert not alive(files["parent"])
    assert engine("status", "long").code == 0


def test_a_killed_engine_leaves_nothing_of_runs_inside_its_run(engine: Engine, files: dict[str, Path]) -> None:
    engine.dag("inner", LONG_STEP.format(**files))
    engine.dag("outer", "steps:\n  - name: call\n    run: inner\n")
    engine.killed("outer", files["mark"], "r1")
    files["again"].touch()
    again = engine("retry", "outer", "-o", "json")
    assert (again.code, states(again.json)) == (0, {"call": "succeeded"})
    assert files["calls"].read_text().split().count("first") == 1
    assert not alive(files["child"])
    assert not alive(files["parent"])


def test_a_run_that_goes_on_is_not_run_again(engine: Engine, files: dict[str, Path]) -> None:
    engine.dag("long", LONG_STEP.format(**files))
    with engine.started("run", "long", "-r", "r1") as running:
        until(files["mark"].exists)
        again = engine("retry", "r1")
        assert (again.code, "r1" in again.err) == (6, True)
        assert engine("rm", "r1").code == 2
        assert engine("stop", "r1").code == 0
        assert running.wait(60) == 1


# ---------------------------------------------------------------- stopped


def test_stop_ends_a_step_with_all_its_children(engine: Engine, files: dict[str, Path]) -> None:
    engine.dag("long", LONG_STEP.format(**files))
    with engine.started("run", "long", "-r", "r1", "-o", "json") as running:
        until(files["mark"].exists)
        assert engine.states("long") == {
            "first": "succeeded",
            "middle": "running",
            "last": "not_started",
            "(exit)": "not_started",
        }
        assert engine("stop", "long", "-o", "json").json == {"stopped": [{"run_id": "r1", "status": "aborted"}]}
        assert not alive(files["child"])
        assert not alive(files["parent"])
        running.wait(60)
        assert running.returncode == 1
    assert engine.states("r1")["middle"] == "aborted"
    assert files["calls"].read_text().split() == ["first", "middle", "exit"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_what_runs_and_exits_with_130(engine: Engine, files: dict[str, Path], number: signal.Signals) -> None:
    engine.dag("long", LONG_STEP.format(**files))
    with engine.started("run", "long", "-r", "r1") as running:
        until(files["mark"].exists)
        running.send_signal(number)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "resume: dag-engine retry r1" in err
    assert not alive(files["child"])
    assert engine.status("r1")["status"] == "aborted"
    files["again"].touch()
    assert engine("retry", "r1").code == 0


@pytest.mark.parametrize(
    "policy",
    [
        "    retry_policy:\n      limit: 3\n      interval_sec: 1000\n",
        "    repeat_policy:\n      repeat: until\n      exit_code: [0]\n      interval_sec: 1000\n",
    ],
    ids=["retry", "repeat"],
)
def test_stop_does_not_wait_for_a_retry_or_a_round(engine: Engine, tmp_path: Path, policy: str) -> None:
    mark = tmp_path / "mark"
    engine.dag("waits", f"steps:\n  - name: once\n    command: touch {mark}; exit 1\n{policy}")
    with engine.started("run", "waits", "-r", "r1") as running:
        until(mark.exists)
        until(lambda: engine.status("r1")["steps"][0].get("exit_code") == 1)
        assert engine("stop", "r1").code == 0
        assert running.wait(60) == 1
    assert engine.status("r1")["status"] == "aborted"


def test_a_step_that_ignores_the_signal_is_killed_after_the_clean_up_time(engine: Engine, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    engine.dag(
        "deaf",
        f"max_clean_up_time_sec: 1\nsteps:\n  - name: deaf\n    script: |\n"
        f"      trap '' TERM\n      echo $$ > {pid}.new; mv {pid}.new {pid}\n      while true; do sleep 0.1; done\n",
    )
    with engine.started("run", "deaf") as running:
        until(pid.exists)
        assert engine("stop", "deaf").code == 0
        assert not alive(pid)
        assert running.wait(60) == 1


def test_restart_stops_the_run_and_starts_another_with_its_parameters(engine: Engine, files: dict[str, Path]) -> None:
    engine.dag("long", "params:\n  - P: none\n" + LONG_STEP.format(**files) + "  success:\n    command: echo P=$P\n")
    with engine.started("run", "long", "-r", "r1", "--", "P=given") as running:
        until(files["mark"].exists)
        files["again"].touch()
        again = engine("restart", "long", "-o", "json")
        assert running.wait(60) == 1
    assert (again.code, again.json["params"]) == (0, [["P", "given"]])
    assert again.json["run_id"] != "r1"
    assert not alive(files["child"])


# ---------------------------------------------------------------- several at once


def test_two_engines_work_on_one_folder_at_once(engine: Engine, tmp_path: Path) -> None:
    """Each waits for the other's step."""
    for name, other in (("left", "right"), ("right", "left")):
        wait = f"touch {tmp_path}/{name}.mark; while ! test -e {tmp_path}/{other}.mark; do sleep 0.02; done"
        engine.dag(name, f"steps:\n  - name: meet\n    command: {wait}\n")
    with engine.started("run", "left") as left, engine.started("run", "right") as right:
        assert (left.wait(60), right.wait(60)) == (0, 0)
    assert sorted(run["workflow"] for run in engine("history", "-o", "json").json["runs"]) == ["left", "right"]


QUEUED = """
queue: one
steps:
  - name: holds
    command: touch {folder}/$1.mark; while ! test -e {folder}/$1.go; do sleep 0.02; done
"""


def test_a_queue_lets_one_run_at_a_time(engine: Engine, tmp_path: Path) -> None:
    engine.dag("q", QUEUED.format(folder=tmp_path))
    with engine.started("run", "q", "-r", "r1", "--", "a") as first:
        until((tmp_path / "a.mark").exists)
        with (
            engine.started("run", "q", "-r", "r2", "--", "b") as second,
            engine.started("run", "q", "-r", "r3", "--", "c") as third,
        ):
            until(lambda: len(engine("ps", "-o", "json").json["runs"]) == 3)
            assert (engine.status("r2")["status"], engine.status("r3")["status"]) == ("queued", "queued")
            assert engine("stop", "r3", "-o", "json").json["stopped"][0]["status"] == "aborted"
            assert third.wait(60) == 1
            assert not (tmp_path / "b.mark").exists()
            (tmp_path / "a.go").touch()
            (tmp_path / "b.go").touch()
            assert (first.wait(60), second.wait(60)) == (0, 0)
    assert not (tmp_path / "c.mark").exists()


def test_a_queued_run_can_be_interrupted(engine: Engine, tmp_path: Path) -> None:
    engine.dag("q", QUEUED.format(folder=tmp_path))
    with engine.started("run", "q", "-r", "r1", "--", "a"):
        until((tmp_path / "a.mark").exists)
        with engine.started("run", "q", "-r", "r2", "--", "b") as second:
            until(lambda: len(engine("ps", "-o", "json").json["runs"]) == 2)
            second.send_signal(signal.SIGINT)
            assert second.wait(60) == 130
        assert engine.status("r2")["status"] == "aborted"
        assert engine("stop", "r1").code == 0


# ---------------------------------------------------------------- people

APPROVED = """
type: chain
steps:
  - name: build
    command: echo built
  - name: ask
    action: human.task
    with:
      prompt: Ship it?
      input: [VERSION]
      required: [VERSION]
  - name: ship
    command: echo shipping $VERSION
"""


def test_a_run_waits_until_somebody_approves(engine: Engine) -> None:
    engine.dag("ship", APPROVED)
    with engine.started("run", "ship", "-r", "r1", "-o", "json") as running:
        until(lambda: engine("status", "ship").code == 0 and engine.status("ship")["status"] == "waiting")
        document = engine.status("r1")
        assert document["waiting"] == [{"step": "ask", "prompt": "Ship it?"}]
        assert "dag-engine approve r1 ask" in engine("status", "r1").out
        refused = engine("approve", "r1", "ask")
        assert (refused.code, "without VERSION" in refused.err) == (2, True)
        assert engine("approve", "r1", "build", "--input", "VERSION=1").code == 2
        assert engine("approve", "ship", "ask", "--input", "VERSION=1.2").code == 0
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert "waits for approval: ask: Ship it?" in err
    assert '"stdout": "shipping 1.2\\n"' in out
    late = engine("approve", "r1", "ask", "--input", "VERSION=1")
    assert (late.code, "has ended" in late.err) == (2, True)


def test_a_run_that_is_rejected_says_why(engine: Engine) -> None:
    engine.dag("ship", APPROVED)
    with engine.started("run", "ship", "-r", "r1") as running:
        until(lambda: "waiting" in engine("ps").out)
        assert engine("reject", "r1", "ask", "--reason", "not today").code == 0
        _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "not today" in err
    document = engine.status("r1")
    assert (document["status"], states(document)["ask"], states(document)["ship"]) == ("rejected", "rejected", "aborted")
    assert engine("list", "-o", "json").json["dags"][0]["status"] == "rejected"


# ---------------------------------------------------------------- logs


def test_a_log_is_followed_until_the_run_ends(engine: Engine, tmp_path: Path) -> None:
    go = tmp_path / "go"
    engine.dag(
        "slow", f"steps:\n  - name: say\n    command: echo before; while ! test -e {go}; do sleep 0.02; done; echo after\n"
    )
    with engine.started("run", "slow", "-r", "r1"):
        until(lambda: "before" in engine("logs", "r1").out if engine("ps", "-o", "json").json["runs"] else False)
        with engine.started("logs", "r1", "say", "--follow") as following:
            assert following.stdout is not None
            assert following.stdout.readline() == "before\n"
            go.touch()
            assert following.stdout.readline() == "after\n"
            assert following.wait(60) == 0
