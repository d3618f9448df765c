"""Floods, bytes that are no text, and outputs that stay open: drained in little memory, kept as they are, shown harmless."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.real import RealWorkspace, formula
from support.watching import Watched, on_a_terminal, watched

pytestmark = pytest.mark.sshd

Say = Callable[[str], None]
MIB = 1024 * 1024
GROWTH_MIB = 64
CAP_BYTES = 10 * MIB  # of a log: the default of `log.max_bytes`
LEFT_OUT = re.compile(rb"\n\[\.\.\. (\d+) bytes left out here \.\.\.\]\n")
MARK = "9754"  # a number of seconds that only these tests sleep

# What a script may do to a terminal: colours, clear, title, clipboard, a link, C1 in both spellings, bell, half an escape.
HARMFUL = (
    b"\x1b[7;35;44mred\x1b[2J\x1b]0;pwned\x07\x1b]52;c;cHduZWQ=\x07\x1b]8;;file:///etc/passwd\x1b\\link\x1b]8;;\x1b\\"
    b"\x9b31m\xc2\x9b32m\x90dcs\x9c\x07\x08\x7f\x0e\x1bc\x1b[?1049h \xff\xfe\xc3( \x00nul\x00 \xed\xa0\x80 \xf4\x90\x80\x80\r\n"
)
FORBIDDEN = (
    b"\x1b[7;35;44m",
    b"\x1b[2J",
    b"pwned",
    b"\x1b]",
    b"\x1bc",
    b"1049h\x20",
    b"\x9b3",
    b"\xc2\x9b",
    b"\x07",
    b"\x00",
    b"\x0e",
)


@pytest.fixture
def workspace(tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers]) -> RealWorkspace:
    made = RealWorkspace(tmp_path / "workspace", throwaway_servers("one"))
    made.dag(formula("a", "one", "loud"))
    return made


def log_of(workspace: RealWorkspace) -> bytes:
    """Return the log of the only step of the last run."""
    steps = workspace.run("run", "show", "last", "-o", "json").json["steps"]
    return Path(next(step["log"] for step in steps if step["kind"] == "node")).read_bytes()


def flooded(workspace: RealWorkspace, body: str, *, timeout_s: float = 150) -> tuple[Watched, float]:
    """Run a loud script; return what was seen of the runner, and the MiB that it took more than for a quiet one."""
    workspace.taskserv("quiet", "echo little")
    workspace.dag(formula("a", "one", "quiet"))
    quiet = watched(workspace, "taskserv", "create", "--all")
    workspace.taskserv("loud", body)
    workspace.dag(formula("a", "one", "loud"))
    loud = watched(workspace, "taskserv", "create", "--all", timeout_s=timeout_s)
    return loud, loud.peak_mib - quiet.peak_mib


# ---------------------------------------------------------------- floods


@pytest.mark.parametrize(
    ("body", "written"),
    [
        pytest.param("head -c 5242880 /dev/zero | tr '\\0' e >&2", b"e" * 5 * MIB, id="5 MiB on stderr only"),
        pytest.param("head -c 1048576 /dev/zero | tr '\\0' l; echo", b"l" * MIB + b"\n", id="a line of 1 MiB"),
    ],
)
def test_what_fits_the_log_is_kept_byte_for_byte(workspace: RealWorkspace, body: str, written: bytes, say: Say) -> None:
    loud, growth_mib = flooded(workspace, body)

    assert loud.ended.code == 0, loud.ended.err
    assert log_of(workspace) == written
    assert growth_mib < GROWTH_MIB
    say(f"{len(written) / MIB:.0f} MiB kept whole, {growth_mib:.0f} MiB more than a quiet run")


def test_a_hundred_megabytes_without_a_newline_take_little_memory(workspace: RealWorkspace, say: Say) -> None:
    loud, growth_mib = flooded(workspace, "head -c 104857600 /dev/zero | tr '\\0' n")

    assert loud.ended.code == 0, loud.ended.err
    kept = log_of(workspace)
    assert int(LEFT_OUT.search(kept)[1]) + len(LEFT_OUT.sub(b"", kept)) == 100 * MIB  # type: ignore[index]
    assert len(kept) < CAP_BYTES + 100
    assert growth_mib < GROWTH_MIB
    say(f"100 MiB without a newline: {growth_mib:.0f} MiB more than a quiet run, {len(kept) / MIB:.1f} MiB of log")


def test_of_a_flood_the_beginning_and_the_end_are_kept_and_the_rest_is_counted(workspace: RealWorkspace, say: Say) -> None:
    loud, growth_mib = flooded(workspace, "seq 10000000 19999999")  # 80 MB

    assert loud.ended.code == 0, loud.ended.err
    kept = log_of(workspace)
    head, left_out, tail = LEFT_OUT.split(kept)
    assert head == b"".join(b"%d\n" % (10_000_000 + number) for number in range(len(head) // 9 + 1))[: len(head)]
    assert tail.endswith(b"19999999\n")
    numbers = [int(line) for line in tail.splitlines()[1:]]
    assert numbers == list(range(numbers[0], 20_000_000)), "nothing is missing in what was kept"
    assert len(head) + int(left_out) + len(tail) == 90_000_000
    assert len(kept) < CAP_BYTES + 100
    assert growth_mib < GROWTH_MIB
    say(f"90 MB of numbers: head {len(head) / MIB:.1f} MiB, tail {len(tail) / MIB:.1f} MiB, {growth_mib:.0f} MiB more memory")


def test_both_streams_are_drained_together(workspace: RealWorkspace, say: Say) -> None:
    body = "for n in 1 2; do head -c 20971520 /dev/zero | tr '\\0' o; head -c 20971520 /dev/zero | tr '\\0' e >&2; done; exit 3"
    loud, growth_mib = flooded(workspace, body)

    assert loud.ended.code == 1, loud.ended.err
    assert "exit code 3" in loud.ended.err
    kept = log_of(workspace)
    assert int(LEFT_OUT.search(kept)[1]) + len(LEFT_OUT.sub(b"", kept)) == 80 * MIB  # type: ignore[index]
    assert growth_mib < GROWTH_MIB
    say(f"2 x 20 MiB on each stream, by turns: {growth_mib:.0f} MiB more than a quiet run")


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stream", ["", " >&2"], ids=["stdout", "stderr"])
def test_n08_a_gigabyte_takes_little_memory(workspace: RealWorkspace, stream: str, say: Say) -> None:
    body = f"yes 'all work and no play makes jack a dull boy' | head -c 1073741824{stream}; echo the-last-line"
    loud, growth_mib = flooded(workspace, body, timeout_s=300)

    assert loud.ended.code == 0, loud.ended.err
    kept = log_of(workspace)
    assert int(LEFT_OUT.search(kept)[1]) + len(LEFT_OUT.sub(b"", kept)) == 1024 * MIB + len(b"the-last-line\n")  # type: ignore[index]
    assert kept.startswith(b"all work")
    assert kept.endswith(b"the-last-line\n")
    assert len(kept) < CAP_BYTES + 100
    assert growth_mib < GROWTH_MIB
    say(f"1 GiB{stream}: {growth_mib:.0f} MiB more than a quiet run")


# ---------------------------------------------------------------- bytes that are no text


def test_bytes_that_are_no_text_are_kept_as_they_are_and_shown_as_text(workspace: RealWorkspace) -> None:
    every = bytes(range(256)) * 64 + HARMFUL * 3
    workspace.taskserv("loud", "cat bytes; cat bytes >&2; exit 3")
    (workspace.folder / "taskservs/loud/default/bytes").write_bytes(every)

    ended = workspace.create("--all")

    assert ended.code == 1
    assert sorted(log_of(workspace)) == sorted(every * 2), "every byte is in the log"
    assert json.loads((workspace.folder / ".provisioning/state.json").read_text("utf-8"))["servers"]["one"]
    for words in (
        ("run", "show", "last"),
        ("run", "show", "last", "-o", "json"),
        ("run", "logs", "last"),
        ("run", "logs", "last", "-o", "json"),
        ("state", "show", "-o", "json"),
        ("state", "history", "-o", "json"),
    ):
        shown = workspace.run(*words)
        assert shown.code == 0, (words, shown.err)
        assert controls(shown.out + shown.err) == set(), words
        if "json" in words:
            assert shown.json is not None
    assert controls(ended.out + ended.err) == set()


def controls(text: str) -> set[str]:
    """Return the control characters of a text, newline and tab aside."""
    return {char for char in text if (ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160}


@pytest.mark.parametrize("words", [("taskserv", "create", "--all"), ("run", "logs", "last")])
def test_nothing_that_a_script_prints_reaches_the_terminal_as_a_command(
    workspace: RealWorkspace, words: tuple[str, ...]
) -> None:
    workspace.taskserv("loud", "for n in 1 2 3 4 5; do cat bytes; cat bytes >&2; sleep 0.15; done; exit 3")
    (workspace.folder / "taskservs/loud/default/bytes").write_bytes(HARMFUL)
    if words[0] == "run":
        assert workspace.create("--all").code == 1

    code, shown = on_a_terminal(workspace, *words)

    assert code == (1 if words[0] == "taskserv" else 0)
    assert b"nul" in shown, "the script's output was shown"
    assert [harm for harm in FORBIDDEN if harm in shown] == []


# ---------------------------------------------------------------- outputs that stay open


@pytest.mark.parametrize(
    "leaves",
    [
        pytest.param(f"sleep {MARK} &", id="a child"),
        pytest.param(f"setsid bash -c 'trap \"\" TERM HUP; sleep {MARK}' &", id="a child in a session of its own"),
        pytest.param(f"(while :; do echo talk; sleep 0.05; : {MARK}; done) &", id="a child that goes on printing"),
    ],
)
def test_the_end_of_the_script_is_the_end_whoever_holds_its_output(workspace: RealWorkspace, leaves: str) -> None:
    workspace.taskserv("loud", f"echo said; {leaves}")

    began_s = time.monotonic()
    ended = workspace.create("--all")

    assert ended.code == 0, ended.err
    assert time.monotonic() - began_s < 20, "the child would have held it for hours"
    assert log_of(workspace).startswith(b"said\n")


def test_a_script_that_closes_its_output_is_waited_for(workspace: RealWorkspace) -> None:
    workspace.taskserv("loud", "echo said; exec >&- 2>&-; sleep 1.5; note end; exit 3")

    ended = workspace.create("--all")

    assert ended.code == 1
    assert ended.json["steps"][0]["exit_code"] == 3
    assert workspace.counts("end") == {"a/loud": 1}


def test_a_gate_opens_whoever_holds_the_output_of_its_command(workspace: RealWorkspace) -> None:
    workspace.taskserv("loud")
    gate = {"check_cmd": f"sleep {MARK} & echo healthy", "retries": 1, "timeout_ms": 45000, "expected": "healthy"}
    workspace.dag(formula("a", "one", "loud", health_gate=gate))

    began_s = time.monotonic()
    ended = workspace.create("--all")

    assert ended.code == 0, ended.err
    assert time.monotonic() - began_s < 40, "the deadline of the gate was not needed"
