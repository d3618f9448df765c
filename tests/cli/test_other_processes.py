"""A run that a program drives is followed and steered from other processes."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from pathlib import Path

from support.calls import Caller
from support.nursery import Forked
from support.programs import DRIVER, LONG_S, SLOW, called, command, program, run_json, until


def watching(folder: Path, *options: str) -> Forked:
    return called(folder, "-w", str(folder), "run", "watch", "r-1", *options)


def test_a_run_is_paused_resumed_and_signalled_while_two_others_watch_it(cli: Caller, tmp_path: Path) -> None:
    at = ("-w", str(tmp_path))
    with program(tmp_path) as running, watching(tmp_path) as lines, watching(tmp_path, "-o", "json") as events:
        assert cli(*at, "run", "pause", "r-1", "-o", "json").json == {"run_id": "r-1", "requested": "pause"}
        until(lambda: run_json(tmp_path, "run", "show", "r-1")["status"] == "paused")
        assert cli(*at, "run", "signal", "r-1", "go", "--payload", '{"n": 1}').code == 0
        why = cli(*at, "run", "show", "r-1", "--why", "b", "-o", "json").json
        assert (why["state"], {"kind": "paused", "name": "r-1", "reason": "the run is paused"} in why["blockers"]) == (
            "pending",
            True,
        )
        assert cli(*at, "run", "resume", "r-1").out == "asked run r-1 to go on\n"
        out, err = lines.communicate(timeout=LONG_S)
        listed, said = events.communicate(timeout=LONG_S)
        assert running.wait(LONG_S) == 0

    assert (lines.returncode, events.returncode, said) == (0, 0, "")
    assert "run r-1 succeeded" in out
    told = [line.partition(" ")[2] for line in err.splitlines()]
    assert told[-3] == "b  started"
    assert {"paused", "resumed", "signal go is open", "run succeeded"} <= set(told)
    kinds = [json.loads(line) for line in listed.splitlines()]
    assert [one["seq"] for one in kinds] == list(range(1, len(kinds) + 1))
    assert (kinds[0]["kind"], kinds[-1]["kind"]) == ("run_created", "run_finished")
    assert next(one["data"]["payload"] for one in kinds if one["kind"] == "gate_opened") == {"n": 1}


def test_ctrl_c_stops_the_watching_and_not_the_run(tmp_path: Path) -> None:
    with program(tmp_path) as running, watching(tmp_path) as lines:
        assert lines.stderr is not None
        while "a  succeeded" not in lines.stderr.readline():
            assert lines.poll() is None
        lines.send_signal(signal.SIGINT)
        _, err = lines.communicate(timeout=LONG_S)
        assert (lines.returncode, "stopped watching; the run goes on" in err) == (130, True)
        run_json(tmp_path, "run", "signal", "r-1", "go")
        assert running.wait(LONG_S) == 0


def test_a_watch_says_when_nobody_drives_the_run_any_more(tmp_path: Path) -> None:
    with program(tmp_path) as running:
        running.kill()
        running.wait(LONG_S)
    with watching(tmp_path) as lines:
        assert lines.stderr is not None
        while "no process drives run r-1 now" not in lines.stderr.readline():
            assert lines.poll() is None
        lines.send_signal(signal.SIGINT)
        lines.communicate(timeout=LONG_S)
        assert lines.returncode == 130


def test_a_run_that_is_deleted_ends_its_watches(tmp_path: Path) -> None:
    with program(tmp_path) as running:
        running.kill()
        running.wait(LONG_S)
    with watching(tmp_path) as lines:
        assert lines.stderr is not None
        while "a  succeeded" not in lines.stderr.readline():
            assert lines.poll() is None
        run_json(tmp_path, "run", "delete", "r-1", "--force")
        _, err = lines.communicate(timeout=LONG_S)

    assert (lines.returncode, err.splitlines()[-2]) == (4, "error: there is no run 'r-1'")


def test_nobody_who_reads_is_no_error_of_a_watch(tmp_path: Path) -> None:
    with program(tmp_path):
        run_json(tmp_path, "run", "signal", "r-1", "go")
        until(lambda: run_json(tmp_path, "run", "show", "r-1")["status"] == "succeeded")
    script = shlex.join(command("-w", str(tmp_path), "run", "watch", "r-1", "-o", "json")) + " | head -1"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=LONG_S)

    assert (json.loads(ended.stdout)["seq"], ended.stderr) == (1, "")


def test_the_exit_code_of_a_watch_is_that_of_the_run(tmp_path: Path) -> None:
    with program(tmp_path, "fail"), watching(tmp_path) as lines:
        run_json(tmp_path, "run", "signal", "r-1", "go")
        _, err = lines.communicate(timeout=LONG_S)

    assert lines.returncode == 1
    assert "error: b failed: told to fail" in err


def test_a_replay_is_ordered_from_the_program_that_drives_the_folder(cli: Caller, tmp_path: Path) -> None:
    at = ("-w", str(tmp_path))
    with program(tmp_path, "fail") as first:
        run_json(tmp_path, "run", "signal", "r-1", "go")
        assert first.wait(LONG_S) == 0
    (tmp_path / "driver.py").write_text(DRIVER)
    words = [*command()[:1], "driver.py"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout is not None
            assert driver.stdout.readline() == "ready\n"
            answer = cli(*at, "deadletter", "replay", "1")
            assert (answer.code, "in the process that drives it" in answer.out) == (0, True)
            until(lambda: run_json(tmp_path, "run", "show", "r-1")["status"] == "succeeded")
            assert cli(*at, "deadletter", "replay", "1").code == 2
        finally:
            driver.kill()


def test_a_replay_that_nobody_else_drives_runs_here_and_ends_with_its_code(tmp_path: Path) -> None:
    with program(tmp_path, "fail") as first:
        run_json(tmp_path, "run", "signal", "r-1", "go")
        assert first.wait(LONG_S) == 0

    with called(tmp_path, "deadletter", "replay", "1", "--import", "wired", "-o", "json") as ended:
        out, err = ended.communicate(LONG_S)

    assert ended.wait() == 0, err
    document = json.loads(out)
    assert (document["status"], document["outputs"]["b"]) == ("succeeded", 2)


def test_what_a_function_prints_is_not_among_the_results(tmp_path: Path) -> None:
    with program(tmp_path) as running:
        run_json(tmp_path, "run", "signal", "r-1", "go")
        assert running.wait(LONG_S) == 0

    with called(tmp_path, "run", "retry", "r-1", "--from", "a", "-o", "json") as ended:
        out, err = ended.communicate(LONG_S)

    assert (ended.wait(), json.loads(out)["status"]) == (0, "succeeded")
    assert "this is no result" in err


def test_ctrl_c_cancels_what_is_driven_here(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    subprocess.run([*command()[:1], "slow.py"], cwd=tmp_path, check=True, timeout=LONG_S)
    with called(tmp_path, "run", "retry", "slow-1") as ours:
        assert ours.stderr is not None
        while "s  started" not in ours.stderr.readline():
            assert ours.poll() is None
        ours.send_signal(signal.SIGINT)
        _, err = ours.communicate(timeout=LONG_S)

    assert (ours.returncode, "Traceback" in err) == (130, False)
    assert run_json(tmp_path, "run", "show", "slow-1")["status"] == "cancelled"
