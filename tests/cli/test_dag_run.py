"""`dag-engine run`, `retry`, `dry`, `logs`, `history`, `rm`: real runs of small DAGs, called in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.calls import Caller
from support.dagengine import states

TWO = """
steps:
  - name: one
    command: echo one
    output: ONE
  - name: two
    command: echo "two $ONE"
"""
FAILS = """
type: graph
params: FAIL=yes
steps:
  - name: first
    command: echo first >> {calls}
  - name: boom
    depends: first
    command: sh -c 'echo boom >> {calls}; echo working; echo "oh no" >&2; test ! -e {broken} || exit 3'
  - name: last
    depends: boom
    command: echo last >> {calls}
  - name: beside
    command: echo beside >> {calls}
"""


@pytest.fixture
def dags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of DAG files that the program finds by itself; its history is empty."""
    folder = tmp_path / "dags"
    folder.mkdir()
    monkeypatch.setenv("PROVISIONING_DAGU_DAGS", str(folder))
    monkeypatch.setenv("PROVISIONING_DAGU_DATA", str(tmp_path / "data"))
    return folder


@pytest.fixture
def fails(dags: Path, tmp_path: Path) -> Path:
    """Write a DAG whose step `boom` fails as long as the file `broken` is there; return what its steps write."""
    (tmp_path / "broken").touch()
    text = FAILS.format(calls=tmp_path / "calls", broken=tmp_path / "broken")
    (dags / "fails.yaml").write_text(text)
    return tmp_path / "calls"


# ---------------------------------------------------------------- run


def test_a_run_of_two_steps_is_told_in_json(engine: Caller, dags: Path) -> None:
    (dags / "two.yaml").write_text(TWO)
    answer = engine("run", "two", "--run-id", "r1", "-o", "json")
    document = answer.json
    assert answer.code == 0
    assert (document["run_id"], document["workflow"], document["status"], document["exit_code"]) == (
        "r1",
        "two",
        "succeeded",
        0,
    )
    assert document["started_at"] <= document["ended_at"]
    assert document["outputs"] == {"ONE": "one"}
    assert states(document) == {"one": "succeeded", "two": "succeeded"}
    assert [step["kind"] for step in document["steps"]] == ["step", "step"]
    assert Path(document["steps"][1]["log"]).read_text() == "two one\n"
    assert document["steps"][1]["stdout"] == "two one\n"


def test_start_is_run_and_a_path_is_a_dag(engine: Caller, dags: Path) -> None:
    (dags / "two.yaml").write_text(TWO)
    assert "succeeded" in engine("start", str(dags / "two.yaml")).out


def test_progress_is_a_line_per_event_without_what_nobody_wrote(engine: Caller, dags: Path) -> None:
    (dags / "two.yaml").write_text(TWO)
    told = engine("run", "two").err
    assert "one  started" in told
    assert "two  succeeded in" in told
    assert "setup" not in told
    assert engine("-q", "run", "two").err == ""


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ((), "x y\n"),
        (("--", "B=two words"), "x two words\n"),
        (("--", "A=1", "B=2"), "1 2\n"),
        (("--params", "A=1 B='2 3'"), "1 2 3\n"),
        (("-p", '{"A": "j"}'), "j y\n"),
        (("--", "p1"), "p1 y\n"),
    ],
)
def test_parameters_are_given_as_arguments_or_as_one_text(
    engine: Caller, dags: Path, words: tuple[str, ...], printed: str
) -> None:
    (dags / "p.yaml").write_text('params:\n  - A: x\n  - B: y\nsteps:\n  - name: say\n    command: echo "$A $B"\n')
    document = engine("-o", "json", "run", "p", *words).json
    assert document["steps"][0]["stdout"] == printed


@pytest.mark.parametrize(
    ("words", "code", "near"),
    [
        (("run", "p", "--", "C=1"), 3, "C"),
        (("run", "said", "--", "WHOO=x"), 3, "did you mean WHO?"),
        (("run", "said", "--", "WHOO=x"), 3, "said.yaml: 1 fault"),
        (("dry", "said", "--", "WHOO=x"), 3, 'there is no "WHOO"'),
        (("run", "p", "-p", "A=1", "--", "A=2"), 2, "given twice"),
        (("run", "p", "-p", "A='1"), 2, "never closed"),
        (("run", "p", "--run-id", "../x"), 2, "run id"),
        (("run", "pp"), 4, 'no DAG "pp"'),
        (("run", "p", "--name", "../x"), 2, "no name for a DAG"),
        (("run", "p", "--profile", "x"), 2, "no profiles"),
        (("run", "fixed", "--", "A=1"), 2, "run_config forbids"),
        (("run", "fixed", "--run-id", "r"), 2, "run_config forbids"),
        (("enqueue", "p"), 2, "there is no server"),
        (("status", "p"), 4, "has not run yet"),
        (("retry", "zz"), 4, "no DAG and no run"),
        (("retry", "p", "--downstream"), 2, "goes with --step"),
        (("stop", "p"), 4, "no DAG has run yet"),
        (("history", "--last", "7"), 2, "such as 7d"),
        (("history", "--from", "soon"), 2, "expected a time"),
        (("history", "--status", "faild"), 2, "'failed'"),
        (("rm", "p"), 2, "--history"),
        (("logs", "p"), 4, "has not run yet"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_wrong_calls_are_refused_before_anything_runs(
    engine: Caller, dags: Path, tmp_path: Path, words: tuple[str, ...], code: int, near: str
) -> None:
    step = f"steps:\n  - name: say\n    command: touch {tmp_path / 'ran'}\n"
    (dags / "p.yaml").write_text("params:\n  - A: x\n" + step)
    (dags / "said.yaml").write_text("params: WHO=world\n" + step)
    (dags / "fixed.yaml").write_text("run_config:\n  disable_param_edit: true\n  disable_run_id_edit: true\n" + step)
    answer = engine(*words)
    assert (answer.code, near in answer.err) == (code, True), answer.err
    assert not (tmp_path / "ran").exists()


def test_a_run_id_is_taken_once(engine: Caller, dags: Path) -> None:
    (dags / "two.yaml").write_text(TWO)
    assert engine("run", "two", "-r", "r1").code == 0
    again = engine("run", "two", "-r", "r1")
    assert (again.code == 0, "exists already" in again.err) == (False, True)


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("steps:\n  - command: 'true'\n", 0, "succeeded"),
        ("steps:\n  - command: 'false'\n", 1, "failed"),
        (
            "type: graph\nsteps:\n  - name: a\n    command: 'false'\n    continue_on:\n      failure: true\n"
            "  - name: b\n    command: 'true'\n",
            0,
            "partially_succeeded",
        ),
        ("preconditions:\n  - condition: a\n    expected: b\nsteps:\n  - command: 'true'\n", 0, "aborted"),
        ("handler_on:\n  init:\n    command: 'false'\nsteps:\n  - command: 'true'\n", 1, "aborted"),
    ],
    ids=["all good", "failed", "in part", "not to run now", "init failed"],
)
def test_the_exit_code_is_that_of_the_run(engine: Caller, dags: Path, text: str, code: int, status: str) -> None:
    (dags / "d.yaml").write_text(text)
    answer = engine("run", "d", "-o", "json")
    assert (answer.code, answer.json["status"], answer.json["exit_code"]) == (code, status, code)


def test_a_failure_names_step_command_code_last_lines_log_and_the_command_that_resumes(
    engine: Caller, fails: Path, tmp_path: Path
) -> None:
    answer = engine("run", "fails", "--run-id", "r1")
    for said in (
        "boom failed",
        "command: sh -c",
        "exit code 3",
        "    oh no",
        "log: ",
        "not run: last",
        "resume: dag-engine retry r1",
    ):
        assert said in answer.err
    assert "    working" not in answer.err  # standard error is what tells
    (tmp_path / "broken").unlink()
    assert engine("retry", "r1").code == 0
    assert sorted(fails.read_text().split()) == ["beside", "boom", "boom", "first", "last"]


# ---------------------------------------------------------------- once more


def test_retry_of_one_step_runs_it_alone_and_with_downstream_also_what_is_below(
    engine: Caller, fails: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken").unlink()
    assert engine("run", "fails", "-r", "r1").code == 0
    fails.write_text("")
    assert engine("retry", "r1", "--step", "boom").code == 0
    assert fails.read_text().split() == ["boom"]
    fails.write_text("")
    assert engine("retry", "fails", "--step", "boom", "--downstream").code == 0
    assert fails.read_text().split() == ["boom", "last"]
    nothing = engine("retry", "r1")
    assert (nothing.code, "nothing to retry" in nothing.err) == (2, True)
    assert "did you mean boom?" in engine("retry", "r1", "--step", "bom").err


def test_restart_takes_the_parameters_of_the_newest_run(engine: Caller, dags: Path) -> None:
    (dags / "p.yaml").write_text("params:\n  - A: x\nsteps:\n  - name: say\n    command: echo $A\n")
    engine("run", "p", "--", "A=other")
    document = engine("restart", "p", "-o", "json").json
    assert (document["steps"][0]["stdout"], document["params"]) == ("other\n", [["A", "other"]])
    assert len(engine("history", "p", "-o", "json").json["runs"]) == 2


# ---------------------------------------------------------------- what ran


def test_status_shows_each_step_with_its_last_line(engine: Caller, fails: Path) -> None:
    engine("run", "fails", "-r", "r1")
    told = engine("status", "fails")
    assert told.code == 0
    for said in ("r1", "failed", "oh no", "aborted", "3"):
        assert said in told.out
    assert engine("status", "r", "-o", "json").json == engine("status", "fails", "-o", "json").json


def test_the_runs_of_a_dag_whose_file_is_gone_are_known_by_name(engine: Caller, dags: Path) -> None:
    path = dags / "two.yaml"
    path.write_text(TWO)
    engine("run", "two", "-r", "r1")
    path.unlink()
    assert engine("status", "two", "-o", "json").json["run_id"] == "r1"
    assert [run["run_id"] for run in engine("history", "two", "-o", "json").json["runs"]] == ["r1"]
    assert "two one" in engine("logs", "two", "two").out


def test_history_is_narrowed_and_written_as_csv(engine: Caller, fails: Path, dags: Path, tmp_path: Path) -> None:
    (dags / "two.yaml").write_text(TWO)
    engine("run", "two", "-r", "good")
    engine("run", "fails", "-r", "bad")

    def ids(*words: str) -> list[str]:
        return [run["run_id"] for run in engine("history", *words, "-o", "json").json["runs"]]

    assert ids() == ["bad", "good"]
    assert (ids("--status", "failed"), ids("two"), ids("--limit", "1"), ids("-r", "g")) == (
        ["bad"],
        ["good"],
        ["bad"],
        ["good"],
    )
    assert (ids("--last", "1h"), ids("--to", "2020-01-01"), ids("--from", "2020-01-01")) == (
        ["bad", "good"],
        [],
        ["bad", "good"],
    )
    lines = engine("history", "--format", "csv").out.splitlines()
    assert lines[0].startswith("run_id,workflow,status,")
    assert [line.split(",")[:3] for line in lines[1:]] == [["bad", "fails", "failed"], ["good", "two", "succeeded"]]
    assert json.loads(engine("history", "--format", "json").out)["runs"][0]["exit_code"] == 1


def test_logs_are_one_page_in_the_order_of_the_file(engine: Caller, fails: Path) -> None:
    engine("run", "fails", "-r", "r1")
    page = engine("logs", "r1").out
    assert page.index("boom, stdout\nworking") < page.index("boom, stderr\noh no")
    assert "working" not in engine("logs", "r1", "boom", "--stderr").out
    assert "oh no" not in engine("logs", "fails", "boom", "--stdout").out
    entries = engine("logs", "r1", "-o", "json").json["logs"]
    assert [(one["step"], one["stream"], one["text"]) for one in entries] == [
        ("boom", "stdout", "working\n"),
        ("boom", "stderr", "oh no\n"),
    ]
    assert "did you mean boom?" in engine("logs", "r1", "bom").err


def test_the_end_of_a_log_is_enough_and_following_one_that_has_ended_ends(engine: Caller, dags: Path) -> None:
    (dags / "many.yaml").write_text("steps:\n  - name: count\n    command: seq 100\n")
    engine("run", "many")
    assert engine("logs", "many", "count", "--tail", "2").out.splitlines()[1:] == ["99", "100"]
    assert engine("logs", "many", "--follow").out.split() == [str(number) for number in range(1, 101)]


def test_dry_shows_what_would_run_in_order_and_runs_nothing(engine: Caller, dags: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (dags / "d.yaml").write_text(
        "type: graph\n"
        f'params: "A=`touch {ran}` B=2"\n'
        "steps:\n"
        f"  - name: late\n    command: touch {ran}\n    depends: early\n"
        "    preconditions:\n      - condition: $A\n        expected: x\n"
        f"  - name: early\n    command: touch {ran}; echo $B\n"
        f"handler_on:\n  exit:\n    command: touch {ran}\n"
    )
    document = engine("dry", "d", "-o", "json", "--", "B=3").json
    assert [(step["id"], step["turn"], step["depends_on"]) for step in document["steps"]] == [
        ("early", 1, []),
        ("late", 2, ["early"]),
    ]
    assert document["steps"][0]["commands"] == [f"touch {ran}; echo $B"]
    assert document["steps"][1]["preconditions"] == [{"condition": "$A", "expected": "x"}]
    assert [(one["name"], one["value"]) for one in document["params"]] == [("A", f"`touch {ran}`"), ("B", "3")]
    assert [one["event"] for one in document["handlers"]] == ["exit"]
    assert "nothing was executed" in engine("dry", "d").out
    assert not ran.exists()
    assert not (tmp_path / "data").exists()


# ---------------------------------------------------------------- retention


def test_runs_beyond_the_retention_go_with_their_logs(engine: Caller, dags: Path, tmp_path: Path) -> None:
    (dags / "kept.yaml").write_text("hist_retention_runs: 2\n" + TWO)
    (dags / "two.yaml").write_text(TWO)
    engine("run", "two", "-r", "other")
    for number in range(4):
        engine("run", "kept", "-r", f"r{number}")
    assert [run["run_id"] for run in engine("history", "-o", "json").json["runs"]] == ["r3", "r2", "other"]
    logs = {path.name for path in (tmp_path / "data/.provisioning/logs").iterdir()}
    assert logs == {"r3", "r2", "other"}


def test_runs_inside_others_are_removed_with_them(engine: Caller, dags: Path, tmp_path: Path) -> None:
    (dags / "inner.yaml").write_text(TWO)
    (dags / "outer.yaml").write_text("steps:\n  - name: call\n    run: inner\n")
    assert engine("run", "outer", "-r", "r1").code == 0
    assert len(list((tmp_path / "data/.provisioning/logs").iterdir())) == 2
    assert engine("rm", "r1", "-o", "json").json["removed"][-1] == "r1"
    assert list((tmp_path / "data/.provisioning/logs").iterdir()) == []
    assert engine("history", "-o", "json").json == {"runs": []}


def test_the_history_of_a_dag_is_removed_and_no_other(engine: Caller, dags: Path) -> None:
    (dags / "two.yaml").write_text(TWO)
    (dags / "other.yaml").write_text(TWO)
    engine("run", "two")
    engine("run", "other", "-r", "stays")
    assert engine("rm", "two", "--older-than", "1d", "-o", "json").json == {"removed": []}
    assert engine("delete", "two", "--history").out == "1 run removed\n"
    assert [run["run_id"] for run in engine("history", "-o", "json").json["runs"]] == ["stays"]
