"""What the action `shell` makes of its settings, with programs that are only played."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.acting import Heard, task_of

from provisioning.adapters.memory.processes import FakeProcesses, Played
from provisioning.core.ports import Outcome
from provisioning.engine.actions import Result
from provisioning.engine.actions.shell import ShellAction, check_settings

MARKS = {"PROVISIONING_RUN_ID": "run-1", "PROVISIONING_STEP": "build/app", "PROVISIONING_ATTEMPT": "1"}


async def run(processes: FakeProcesses, context: Heard | None = None, args: object = None, **settings: Any) -> Result:
    return await ShellAction(processes).run(task_of("shell", args=args, **settings), context or Heard())


async def after(played: Played, **settings: Any) -> Result:
    """Return what is said of a command that does this."""
    processes = FakeProcesses()
    processes.on("bash", played)
    return await run(processes, **{"command": "make it\nand more", **settings})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"command": "echo a"}, ["bash", "-c", "echo a"], id="command"),
        pytest.param(
            {"command": "echo a", "shell": ["bash", "-euo", "pipefail", "-c"]},
            ["bash", "-euo", "pipefail", "-c", "echo a"],
            id="command in a shell of its own",
        ),
        pytest.param({"argv": ["ls", "a b", "$HOME"]}, ["ls", "a b", "$HOME"], id="argv is left as it is"),
        pytest.param({"script": "echo a\n"}, ["bash", "echo a\n"], id="script"),
        pytest.param({"script": "echo", "shell": ["bash", "-eu", "-c"]}, ["bash", "-eu", "echo"], id="script loses -c"),
        pytest.param({"script": "echo", "shell": ["sh", "-ec"]}, ["sh", "-e", "echo"], id="script loses the c of -ec"),
        pytest.param({"script": "echo", "shell": ["bash", "--rc"]}, ["bash", "--rc", "echo"], id="long options stay"),
        pytest.param(
            {"script": "#!/usr/bin/env -S python3 -u\nprint()"},
            ["/usr/bin/env", "-S python3 -u", "#!/usr/bin/env -S python3 -u\nprint()"],
            id="shebang, its rest one word as for the kernel",
        ),
        pytest.param({"script": "#!/bin/sh\n:", "shell": ["dash"]}, ["dash", "#!/bin/sh\n:"], id="a shell wins over a shebang"),
    ],
)
async def test_a_step_is_run_by_these_words(settings: dict[str, Any], words: list[str]) -> None:
    processes = FakeProcesses()

    assert (await run(processes, **settings)).outcome is Outcome.OK
    assert [call.words for call in processes.ran] == [words]


async def test_arguments_become_environment_as_text_or_json_and_win_over_env() -> None:
    processes = FakeProcesses()
    args = {"NAME": "a $(rm x)", "COUNT": 3, "ON": True, "NONE": None, "LIST": [1, {"a": "ä"}], "BOTH": "args"}
    await run(processes, args=args, command="echo", env={"BOTH": "env", "RATE": 1.5, "OFF": False, "EMPTY": None})

    assert processes.ran[0].program.env == MARKS | {
        "BOTH": "args",
        "RATE": "1.5",
        "OFF": "false",
        "EMPTY": "",
        "NAME": "a $(rm x)",
        "COUNT": "3",
        "ON": "true",
        "NONE": "",
        "LIST": '[1,{"a":"ä"}]',
    }
    assert processes.ran[0].words == ["bash", "-c", "echo"]


async def test_a_command_is_told_which_attempt_it_works_for_and_arguments_cannot_change_that() -> None:
    processes = FakeProcesses()
    await run(processes, command="echo", args={"PROVISIONING_STEP": "other"})

    assert processes.ran[0].program.env == MARKS


@pytest.mark.parametrize(
    ("played", "result"),
    [
        pytest.param(Played(), Result(outcome=Outcome.OK, exit_code=0), id="nothing printed"),
        pytest.param(
            Played(stdout=b"a\nb\n\n", stderr=b"c"), Result(outcome=Outcome.OK, exit_code=0, output="a\nb"), id="success"
        ),
        pytest.param(
            Played(code=3, stdout=b"half\n"),
            Result(
                outcome=Outcome.FAILED,
                exit_code=3,
                error_kind="exit",
                error="`make it` ended with exit code 3",
                output="half",
            ),
            id="failure",
        ),
        pytest.param(
            Played(kind="signal", code=9),
            Result(outcome=Outcome.FAILED, exit_code=137, error_kind="signal", error="`make it` was killed by signal 9"),
            id="signal",
        ),
        pytest.param(
            Played(kind="missing", message="there is no program bash in PATH (/bin)"),
            Result(outcome=Outcome.FAILED, error_kind="start", error="there is no program bash in PATH (/bin)"),
            id="no shell",
        ),
        pytest.param(
            Played(kind="start", message="bash could not be started: permission denied"),
            Result(outcome=Outcome.FAILED, error_kind="start", error="bash could not be started: permission denied"),
            id="not started",
        ),
    ],
)
async def test_a_step_ends_as_its_command_did(played: Played, result: Result) -> None:
    assert await after(played) == result


@pytest.mark.parametrize(
    ("printed", "output"),
    [
        pytest.param(b'{"a": [1, 2.5, null]}\n', {"a": [1, 2.5, None]}, id="object"),
        pytest.param(b'"text"', "text", id="text"),
        pytest.param(b"null", None, id="null"),
    ],
)
async def test_json_is_parsed(printed: bytes, output: object) -> None:
    assert await after(Played(stdout=printed), output="json") == Result(outcome=Outcome.OK, exit_code=0, output=output)


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        pytest.param(b"hello", "`make it` printed no JSON: ", id="no JSON"),
        pytest.param(b"{}{}", "`make it` printed no JSON: ", id="more than one value"),
        pytest.param(b"NaN", "`make it` printed no JSON: ", id="a number that JSON has not"),
        pytest.param(b'"\\ud800"', "`make it` printed no JSON: ", id="half a character"),
        pytest.param(b"[" * 60_000, "`make it` printed no JSON: ", id="too deep"),
        pytest.param(b"9" * 60_000, "`make it` printed no JSON: ", id="too many digits"),
        pytest.param(b" \n", "`make it` printed nothing, where JSON was expected", id="nothing"),
        pytest.param(b'"' + b"x" * 70_000 + b'"', "`make it` printed more than 65,536 bytes", id="too long"),
    ],
)
async def test_what_should_be_json_and_is_not_fails_the_step(printed: bytes, why: str) -> None:
    result = await after(Played(stdout=printed), output="json")

    assert (result.outcome, result.error_kind, result.exit_code) == (Outcome.FAILED, "output", 0)
    assert result.error.startswith(why)


async def test_output_is_cut_between_characters_and_the_log_says_so() -> None:
    context, processes = Heard(), FakeProcesses()
    processes.on("bash", Played(stdout="aä€😀".encode() * 3))
    result = await run(processes, context, command="echo", capture_bytes=9)

    assert result.output == "aä€"  # the next character has four bytes, of which there was room for three
    assert context.data.decode() == "aä€😀" * 3
    assert context.notes == ["the output of this step is cut: of standard output only the first 9 bytes are kept for others"]


async def test_invalid_text_is_replaced() -> None:
    assert (await after(Played(stdout=b"a\xff\n"))).output == "a\ufffd"


async def test_cancelling_a_step_cancels_its_program() -> None:
    processes = FakeProcesses()
    processes.on("bash", Played(hang=True))
    job = asyncio.create_task(run(processes, command="sleep 1000", grace_s=2))
    await processes.until_ran("bash")
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert processes.ran[0].cancelled
    assert processes.ran[0].program.grace_s == 2


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        pytest.param({"comand": "echo"}, 'unknown setting "comand", did you mean "command"?', id="near a known name"),
        pytest.param({"command": "echo", "zzz": 1}, 'unknown setting "zzz"', id="near nothing"),
        pytest.param({}, "exactly one of command, argv and script has to be there", id="nothing to run"),
        pytest.param({"command": "a", "script": "b"}, "exactly one of command, argv and script has to be there", id="two"),
        pytest.param({"command": 3}, "command has to be a text", id="number for text"),
        pytest.param({"command": "a\0b"}, "command has to be a text", id="NUL"),
        pytest.param({"command": "a\ud800"}, "command has to be a text", id="half a character"),
        pytest.param({"argv": []}, "argv has to be a list of texts, the first of them not empty", id="empty argv"),
        pytest.param({"argv": ["ls", 1]}, "argv has to be a list of texts, the first of them not empty", id="number in argv"),
        pytest.param({"argv": ["ls"], "shell": ["sh", "-c"]}, "argv is run without a shell: leave shell out", id="argv, shell"),
        pytest.param(
            {"command": "a", "shell": ["bash"]},
            "shell has to end with the option after which it takes a command, such as -c",
            id="shell without -c",
        ),
        pytest.param(
            {"command": "a", "env": {"A": [1]}},
            "env has to be an object whose values are texts, numbers, true or false",
            id="list in env",
        ),
        pytest.param(
            {"command": "a", "env": {"A=B": "1"}},
            'env has to be without the variable "A=B", whose name no system takes',
            id="name of a variable",
        ),
        pytest.param({"command": "a", "grace_s": -1}, "grace_s has to be a number of seconds", id="negative time"),
        pytest.param({"command": "a", "grace_s": float("nan")}, "grace_s has to be a number of seconds", id="no time"),
        pytest.param({"command": "a", "capture_bytes": True}, "capture_bytes has to be a whole number, at least 0", id="bool"),
        pytest.param({"command": "a", "output": "yaml"}, "output has to be text or json", id="unknown output"),
        pytest.param({"command": "a", "clean_env": "yes"}, "clean_env has to be true or false", id="text for bool"),
    ],
)
async def test_wrong_settings_are_refused_and_nothing_runs(settings: dict[str, Any], found: str) -> None:
    processes = FakeProcesses()
    result = await run(processes, **settings)

    assert found in check_settings(settings)
    assert (result.error_kind, processes.ran) == ("settings", [])
    assert found in result.error


async def test_every_fault_is_reported_at_once() -> None:
    assert len(check_settings({"comand": "a", "output": "xml", "cwd": 1})) == 4


@pytest.mark.parametrize("args", [{"": "a"}, {"a b": "c"}, {"A": "x\0y"}, {"A": ["\ud800"]}])
async def test_arguments_that_cannot_be_environment_are_refused(args: dict[str, object]) -> None:
    processes = FakeProcesses()

    assert (await run(processes, args=args, command="echo")).error_kind == "settings"
    assert processes.ran == []


async def test_settings_that_are_null_count_as_not_given() -> None:
    processes = FakeProcesses()
    await run(processes, command="echo", argv=None, shell=None, env=None, grace_s=None, capture_bytes=None, cwd=None)

    assert processes.ran[0].words == ["bash", "-c", "echo"]
    assert (processes.ran[0].program.grace_s, processes.ran[0].program.cwd) == (5.0, "")
