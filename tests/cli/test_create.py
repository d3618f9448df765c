"""`taskserv create`: flags, the plan first, progress, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.calls import Caller, Script, pretended

from provisioning.core.model import StepState
from provisioning.errors import GateFailed

RUN_KEYS = {"run_id", "workflow", "status", "exit_code", "started_at", "ended_at", "outputs", "steps"}
STEP_KEYS = {"id", "formula", "server", "kind", "state", "attempts", "started_at", "ended_at", "log"}
PLAN_KEYS = {"id", "formula", "server", "taskserv", "kind", "action", "because", "depends_on"}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("redis", "--all"),
        ("--all", "--only"),
        ("redis", "--connect"),
        ("redis", "--update", "--cmd", "config"),
        ("redis", "--upload", "--cmd", "config"),
        ("redis", "--upload", "--reset"),
        ("redis", "--only", "--reset", "--reset-prerequisites"),
        ("redis", "--max-parallel", "0"),
        ("redis", "--max-parallel", "many"),
        ("redis", "extra"),
    ],
    ids=" ".join,
)
def test_contradictions_are_usage_errors_and_nothing_runs(cli: Caller, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    script = Script()
    cli.project = pretended(tmp_path, script)
    answer = cli("taskserv", "create", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert script.selections == []


def test_every_flag_reaches_the_planner_and_the_runner(cli: Caller, tmp_path: Path) -> None:
    script = Script()
    cli.project = pretended(tmp_path, script)
    flags = (
        "--server",
        "s-0",
        "--server",
        "s-1",
        "--reset",
        "--reset-prerequisites",
        "--keep-going",
        "--max-parallel",
        "3",
        "--wait",
    )
    assert cli("t", "create", "redis", *flags).code == 0
    asked, options = script.selections[0], script.options[0]
    assert (asked.name, asked.everything, asked.servers) == ("redis", False, frozenset({"s-0", "s-1"}))
    assert asked.reset
    assert asked.reset_prerequisites
    assert (options.keep_going, options.max_parallel, options.wait, options.source) == (True, 3, True, "cli")
    assert "@" in options.actor


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        (("--all",), "everything", True),
        (("redis", "--only"), "only", True),
        (("redis", "--update"), "update", True),
        (("redis", "--upload"), "upload", True),
        (("redis", "--cmd", "status"), "operation", "status"),
        (("redis",), "operation", "install"),
    ],
)
def test_a_flag_means_one_field(cli: Caller, tmp_path: Path, flags: tuple[str, ...], field: str, value: object) -> None:
    script = Script()
    cli.project = pretended(tmp_path, script)
    assert cli("taskserv", "create", *flags).code == 0
    assert getattr(script.selections[0], field) == value


def test_the_plan_comes_first_then_events_then_the_summary(cli: Caller, tmp_path: Path) -> None:
    cli.project = pretended(tmp_path)
    answer = cli("taskserv", "create", "--all")
    assert answer.out.index("3 steps, 3 to run") < answer.out.index("run 0199-run succeeded")
    lines = answer.err.splitlines()
    assert [line[9:] for line in lines] == [
        "run 0199-run started",
        "base/redis  started",
        "base/redis  succeeded in 1.5 s",
        "base/gate  started",
        "base/gate  succeeded in 1.5 s",
        "app/redis  started",
        "app/redis  succeeded in 1.5 s",
    ]
    assert "\x1b" not in answer.out + answer.err


def test_json_is_one_document_with_the_shape_of_the_contract(cli: Caller, tmp_path: Path) -> None:
    cli.project = pretended(tmp_path)
    document = cli("taskserv", "create", "--all", "-o", "json").json
    assert set(document) >= RUN_KEYS
    assert all(set(step) >= STEP_KEYS for step in document["steps"])
    assert (document["run_id"], document["status"], document["exit_code"]) == ("0199-run", "succeeded", 0)
    assert all(set(step) >= PLAN_KEYS for step in document["plan"]["steps"])


def test_a_failure_keeps_its_message_its_code_and_the_run(cli: Caller, tmp_path: Path) -> None:
    hint = "last output:\n    not ready\nlog: /x.log\nresume: provisioning taskserv create --all"
    failure = GateFailed("base/gate failed: formula base, server s-0: no answer", hint=hint, run_id="0199-run")
    cli.project = pretended(tmp_path, Script(failure=failure, states={"base/gate": StepState.FAILED}))
    answer = cli("taskserv", "create", "--all")
    assert answer.code == 5
    assert "base/gate  failed after 1.5 s: exit code 3" in answer.err
    assert answer.err.endswith(f"error: {failure.message}\n{hint}\n")
    document = cli("taskserv", "create", "--all", "-o", "json").json
    assert (document["status"], document["exit_code"]) == ("failed", 5)
    assert document["error"] == {"code": "gate_failed", "message": failure.message, "hint": hint, "exit_code": 5}


def test_check_shows_the_plan_and_writes_nothing(cli: Caller, tmp_path: Path) -> None:
    script = Script()
    folder = tmp_path / "ws"
    folder.mkdir()
    cli.project = pretended(folder, script)
    document = cli("taskserv", "create", "redis", "--check", "-o", "json").json
    assert [(step["id"], step["kind"], step["action"]) for step in document["steps"]] == [
        ("base/redis", "node", "create"),
        ("base/gate", "gate", "verify"),
        ("app/redis", "node", "create"),
    ]
    assert all(set(step) >= PLAN_KEYS for step in document["steps"])
    assert script.selections == []
    assert list(folder.iterdir()) == []
    assert "3 steps, 3 to run" in cli("taskserv", "create", "redis", "--check").out


@pytest.mark.parametrize(
    ("connections", "code"),
    [({}, 0), ({"base/gate": "exit 1"}, 0), ({"s-0": "connection refused"}, 7)],
    ids=["fine", "gate", "server"],
)
def test_check_connect_tells_servers_and_gates_and_fails_for_servers(
    cli: Caller, tmp_path: Path, connections: dict[str, str], code: int
) -> None:
    cli.project = pretended(tmp_path, Script(connections=connections))
    answer = cli("taskserv", "create", "--all", "--check", "--connect", "-o", "json")
    assert answer.code == code
    assert {row["what"]: row["problem"] for row in answer.json["connections"] if row["problem"]} == connections


def test_an_unknown_taskserv_is_exit_4_with_the_nearest_name(cli: Caller, tmp_path: Path) -> None:
    cli.project = pretended(tmp_path)
    answer = cli("taskserv", "create", "reddis", "--check")
    assert answer.code == 4
    assert "redis" in answer.err


def test_retry_runs_again_and_ends_like_create(cli: Caller, tmp_path: Path) -> None:
    script = Script()
    cli.project = pretended(tmp_path, script)
    document = cli("run", "retry", "last", "--keep-going", "-o", "json").json
    assert script.retried == ["last"]
    assert script.options[0].keep_going
    assert set(document) >= RUN_KEYS
