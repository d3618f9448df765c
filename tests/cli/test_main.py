"""The root: help, options everywhere, exit codes, and errors that a person can use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.calls import Caller, pretended

from provisioning import errors
from provisioning.core.faults import Fault, Severity
from provisioning_cli.main import COMMANDS, provisioning

HEAVY = (
    "rich",
    "paramiko",
    "asyncio",
    "networkx",
    "jsonschema",
    "jinja2",
    "sqlite3",
    "msgspec",
    "yaml",
    "nickel",
    "json",
    "difflib",
)


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a process of its own."""
    code = "import sys; from provisioning_cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | environment,
    )


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(option: str) -> None:
    code = (
        "import sys\nfrom provisioning_cli.main import call\n"
        f"assert call([{option!r}]) == 0\nprint(*sys.modules, sep='\\n', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    bare = subprocess.run(
        [sys.executable, "-c", "import click, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    from_click = {name.partition(".")[0] for name in bare.stdout.split()}
    assert not loaded.intersection(HEAVY) - from_click
    assert not [name for name in done.stderr.split() if name.startswith("provisioning_cli.") and name[17:] in COMMANDS]


def test_every_command_is_what_the_root_says_it_is() -> None:
    context = click.Context(provisioning)
    for name in provisioning.list_commands(context):
        command = provisioning.get_command(context, name)
        assert command is not None
        assert command.name == name


@pytest.mark.parametrize(("alias", "name"), [("t", "taskserv"), ("s", "server"), ("ws", "workspace")])
def test_aliases_mean_the_same(cli: Caller, alias: str, name: str) -> None:
    assert cli(alias, "--help").out.splitlines()[2:] == cli(name, "--help").out.splitlines()[2:]
    assert f"{name}, {alias}" in cli("--help").out


def every_command() -> list[tuple[str, ...]]:
    context = click.Context(provisioning)
    found: list[tuple[str, ...]] = []
    for name in provisioning.list_commands(context):
        command = provisioning.get_command(context, name)
        verbs = command.list_commands(context) if isinstance(command, click.Group) else []
        found += [(name, verb) for verb in verbs] or [(name,)]
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_command_has_help_and_the_common_options(cli: Caller, words: tuple[str, ...]) -> None:
    answer = cli(*words, "--help")
    assert answer.code == 0
    for option in ("--workspace", "--infra", "--output"):
        assert option in answer.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("-o", "json", "dag", "plan"),
        ("dag", "-o", "json", "plan"),
        ("dag", "plan", "-o", "json"),
        ("-o", "table", "dag", "plan", "--output=json"),
    ],
    ids=" ".join,
)
def test_common_options_stand_anywhere_and_the_innermost_wins(cli: Caller, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    cli.project = pretended(tmp_path)
    assert [step["id"] for step in cli(*arguments).json["steps"]] == ["base/redis", "base/gate", "app/redis"]


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (("sevrer",), "'server'"),
        (("dag", "shwo"), "'show'"),
        (("taskserv", "create", "--al"), "--all"),
        (("--wrokspace", "x"), "--workspace"),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest(cli: Caller, arguments: tuple[str, ...], near: str) -> None:
    answer = cli(*arguments)
    assert answer.code == 2
    assert near in answer.err
    assert answer.out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.ConfigError("x"), 3),
        (errors.StateFileError("x"), 3),
        (errors.NotFoundError("x"), 4),
        (errors.StepFailed("x"), 1),
        (errors.GateFailed("x"), 5),
        (errors.LockedError("x"), 6),
        (errors.Unreachable("x"), 7),
        (errors.HostKeyError("x"), 7),
        (errors.LoginRefused("x"), 7),
        (errors.ServerFailed("x"), 7),
        (errors.StoreError("x"), 1),
        (errors.Interrupted("x"), 130),
        (ZeroDivisionError("x"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_errors_have_the_exit_codes_of_the_table(cli: Caller, error: Exception, code: int) -> None:
    cli.project = error
    answer = cli("dag", "show")
    assert (answer.code, answer.out) == (code, "")
    assert "Traceback" not in answer.err
    as_json = cli("dag", "show", "-o", "json")
    assert as_json.code == as_json.json["error"]["exit_code"] == code
    assert set(as_json.json["error"]) == {"code", "message", "hint", "exit_code"}


def test_ctrl_c_is_130(cli: Caller) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    cli.project = errors.Interrupted("run 1 was stopped", hint="resume: provisioning ...")
    assert cli("dag", "show").code == 130
    from provisioning_cli.failures import exit_code

    assert exit_code(KeyboardInterrupt(), as_json=False) == 130


def test_an_error_says_what_to_do(cli: Caller) -> None:
    cli.project = errors.NotFoundError("no server 'x'", hint="did you mean y?")
    assert cli("dag", "show").err == "error: no server 'x'\nhint: did you mean y?\n"


def test_all_faults_are_listed_by_file_with_their_places(cli: Caller) -> None:
    faults = (
        Fault(code="a", message="first", file="dag.json", path="$.formulas[0]", line=3, column=7, hint="did you mean b?"),
        Fault(code="b", message="second", file="servers.json"),
        Fault(code="c", message="third", file="dag.json", severity=Severity.WARNING),
    )
    cli.project = errors.ConfigError("2 errors", faults=faults)
    assert cli("dag", "show").err.splitlines() == [
        "error: 2 errors",
        "dag.json: 2 faults",
        "  dag.json:3:7: error: first at $.formulas[0]",
        "      did you mean b?",
        "  warning: third",
        "servers.json: 1 fault",
        "  error: second",
    ]
    assert [fault["code"] for fault in cli("dag", "show", "-o", "json").json["error"]["faults"]] == ["a", "b", "c"]


def test_a_usage_error_is_json_when_json_was_asked_for(cli: Caller) -> None:
    for arguments in (("-o", "json", "nonsense"), ("dag", "show", "--nonsense", "-ojson"), ("--output=json", "dag")):
        assert cli(*arguments).json["error"]["code"] == "usage"


def test_a_bug_leaves_a_report_and_no_traceback(cli: Caller, clean_environment: Path) -> None:
    cli.project = ZeroDivisionError("secret detail")
    answer = cli("dag", "show")
    assert answer.code == 1
    assert "ZeroDivisionError" in answer.err
    assert "secret detail" not in answer.err
    reports = list(clean_environment.rglob("crashes/*.txt"))
    assert len(reports) == 1
    assert str(reports[0]) in answer.err
    assert reports[0].stat().st_mode & 0o777 == 0o600
    assert "Traceback" in reports[0].read_text()


def test_control_characters_of_names_never_reach_the_terminal(cli: Caller) -> None:
    cli.project = errors.NotFoundError("no server 'x\x1b[2J\x9b\u202e'", hint="\x07")
    answer = cli("dag", "show")
    as_json = cli("dag", "show", "-o", "json")
    for text in (answer.err, as_json.out):
        assert not [char for char in text if char != "\n" and (ord(char) < 32 or 127 <= ord(char) < 160 or char == "\u202e")]
    assert as_json.json["error"]["message"] == "no server 'x\x1b[2J\x9b\u202e'"


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = f"{sys.executable} -c 'from provisioning_cli.main import main; main()' completion bash | true"
    for _ in range(3):
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=120)
        assert done.stderr == ""


@pytest.mark.parametrize(
    "asked", [{"PROVISIONING_SPANS": "["}, {"PROVISIONING_SPANS": "1"}, {"COMP_WORDS": "provisioning", "COMP_CWORD": "x"}]
)
def test_a_shell_that_asks_for_completions_in_the_wrong_words_gets_none_and_no_message(asked: dict[str, str]) -> None:
    shell = "nushell_complete" if "PROVISIONING_SPANS" in asked else "bash_complete"
    done = program(_PROVISIONING_COMPLETE=shell, **asked)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_output_that_the_terminal_cannot_show_is_escaped() -> None:
    done = program("nö\udce4such", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_without_a_workspace_it_says_how_to_get_one(cli: Caller) -> None:
    answer = cli("dag", "show")
    assert answer.code == 4
    assert "-w PATH" in answer.err
    assert cli("-w", "nowhere", "dag", "show").code == 4


def test_an_empty_workspace_option_never_means_the_current_folder(
    cli: Caller, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sample)
    assert cli("-w", "", "workspace", "show").code == 2
    assert cli("workspace", "show").code == 0


def test_the_environment_can_name_workspace_and_output(cli: Caller, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVISIONING_WORKSPACE", str(sample))
    monkeypatch.setenv("PROVISIONING_OUTPUT", "json")
    assert cli("workspace", "show").json["name"] == "test"
