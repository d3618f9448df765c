"""What a plain `sh` is told, and how a command's own output is told from the rest."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.adapters.ssh.script import COMMAND, Errand, Heard
from provisioning.core.stopping import stop_script

SHELLS = [shell for shell in ("bash", "dash", "busybox", "zsh", "fish") if shutil.which(shell)]
HELLO, END = b"@n1 begins ", b"@n1 ended "


def errand(script: bytes, *shell: str, **env: str) -> Errand:
    return Errand(number="n1", script=script, shell=shell, env=env)


def play(
    what: Errand, *, login_shell: str = "sh", program: bytes | None = None
) -> tuple[Heard, Heard, list[bytes], list[bytes]]:
    """Have a login shell do it on this machine, as sshd would: the leader of a process group."""
    words = [login_shell, *(["sh"] if login_shell == "busybox" else []), "-c", COMMAND]
    ran = subprocess.run(
        words, input=program or what.program(), capture_output=True, check=False, start_new_session=True, timeout=60
    )
    out: list[bytes] = []
    err: list[bytes] = []
    streams = (Heard(what, out.append), Heard(what, err.append))
    for heard, data in zip(streams, (ran.stdout, ran.stderr), strict=True):
        heard.feed(data)
        heard.finish()
    return *streams, out, err


@pytest.mark.parametrize("login_shell", SHELLS)
def test_every_login_shell_runs_it_alike(login_shell: str) -> None:
    out, err, said, complained = play(
        errand(b"printf '%s\\n' \"$A\"; echo 'it'\\''s' >&2; exit 7", "sh", A="a 'b' \"c\" $d `e`\n\\f"),
        login_shell=login_shell,
    )

    assert (b"".join(said), b"".join(complained)) == (b"a 'b' \"c\" $d `e`\n\\f\n", b"it's\n")
    assert (out.ended, err.ended) == (b"7", b"7")


def test_one_that_leads_no_process_group_makes_one(tmp_path: Path) -> None:
    what = errand(b"ps -o pgid= -p $PPID", "sh")
    script = tmp_path / "script"
    script.write_bytes(what.program())
    ran = subprocess.run(
        ["bash", "-c", f"echo $$; bash -c {shlex.quote(COMMAND)} < {script}; :"],
        capture_output=True,
        check=False,
        timeout=60,
        text=True,
    )
    first, hello, group, _ = ran.stdout.splitlines()

    assert hello == f"@n1 begins {group.strip()}"
    assert first != group.strip()


@pytest.mark.parametrize(
    ("script", "shell", "said"),
    [
        pytest.param(b"#!/usr/bin/env python3\nprint(1)", (), b"1\n", id="what its first line names"),
        pytest.param(b"#! /bin/sh -e \nfalse\necho no", (), b"", id="with one option"),
        pytest.param(b"#!/bin/sh\r\necho yes #\r\n", (), b"yes\n", id="with a line end of another system"),
        pytest.param(b"#!/bin/false\necho yes", ("sh",), b"yes\n", id="but not when a shell is named"),
        pytest.param(b"echo $-", ("bash", "-eu"), b"ehuB\n", id="options of a shell"),
        pytest.param(b'read x; echo "<$x>"', ("sh",), b"<>\n", id="its standard input is empty"),
        pytest.param(b"cat <<X\n$((1+1))\nX\n", ("sh",), b"2\n", id="here-documents of its own"),
        pytest.param(b"#\xff\xfe\necho a", ("sh",), b"a\n", id="bytes of no script"),
        pytest.param(b"# " + b"x" * 300_000 + b"\necho long", ("sh",), b"long\n", id="longer than a pipe holds"),
        pytest.param(b"echo END_n; echo '}'", ("sh",), b"END_n\n}\n", id="what looks like our own lines"),
    ],
)
def test_a_script_is_run_by_the_right_program(script: bytes, shell: tuple[str, ...], said: bytes) -> None:
    _, _, out, _ = play(errand(script, *shell))

    assert b"".join(out) == said


def test_neither_script_nor_variables_stand_in_arguments() -> None:
    _, _, out, _ = play(
        errand(b"tr '\\0' ' ' < /proc/$PPID/cmdline; tr '\\0' ' ' < /proc/$$/cmdline # hunter2", "sh", SECRET="hunter3")
    )

    assert b"sh /dev/fd/3" in b"".join(out)
    assert b"hunter" not in b"".join(out)


def test_what_is_cut_off_anywhere_is_never_run_in_part(tmp_path: Path) -> None:
    mark = tmp_path / "done"
    whole = errand(b'touch "$MARK"\ntouch "$MARK"', "sh", MARK=str(mark)).program()
    for size in range(1, len(whole.rstrip()) - 1):
        play(errand(b""), program=whole[:size])
        assert not mark.exists(), whole[:size]
    play(errand(b""), program=whole)

    assert mark.exists()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"env": {"A-B": "1"}}, "a shell takes no variable of the name 'A-B'", id="name"),
        pytest.param({"env": {"A;rm": "1"}}, "a shell takes no variable of the name 'A;rm'", id="hostile name"),
        pytest.param({"env": {"A": "\0"}}, "the value of A has a NUL byte", id="value"),
        pytest.param({"script": b"a\0b"}, "the script has a NUL byte", id="script"),
    ],
)
def test_what_no_shell_takes_is_refused(changes: dict[str, object], why: str) -> None:
    fields: dict[str, object] = {"number": "n1", "script": b"true", "shell": (), "env": {}, **changes}

    assert Errand(**fields).unfit() == why  # type: ignore[arg-type]


@given(
    before=st.binary(max_size=80),
    body=st.lists(st.sampled_from([b"@", b"@n1 ended", b"@n1 begins 5\n", b"x", b"\n", b"@n1 ", b"\xff"]), max_size=12).map(
        b"".join
    ),
    behind=st.binary(max_size=20),
    sizes=st.lists(st.integers(1, 20), min_size=1),
)
def test_only_what_stands_between_our_lines_is_passed_on_however_it_comes(
    before: bytes, body: bytes, behind: bytes, sizes: list[int]
) -> None:
    out: list[bytes] = []
    heard = Heard(errand(b""), out.append)
    whole = before.replace(b"@", b"") + HELLO + b"12\n" + body.replace(END, b"") + END + b"3\n" + behind
    at = 0
    for size in sizes * (len(whole) // sum(sizes) + 1):
        heard.feed(whole[at : at + size])
        at += size
    heard.finish()

    assert (heard.begun, heard.ended) == (b"12", b"3")
    assert b"".join(out) == body.replace(END, b"")


def test_output_is_not_held_back_for_what_might_follow() -> None:
    out: list[bytes] = []
    heard = Heard(errand(b""), out.append)
    heard.feed(HELLO + b"1\nhello, ")
    assert out == [b"hello, "]
    heard.feed(b"you @n1 end")
    assert b"".join(out) == b"hello, you "
    heard.feed(b"s")
    assert b"".join(out) == b"hello, you @n1 ends"


def test_what_a_login_script_says_is_kept_only_in_part() -> None:
    heard = Heard(errand(b""), lambda _data: None)
    for _ in range(1000):
        heard.feed(b"welcome " * 100)

    assert len(heard.before) <= 2048


def test_stopping_ends_what_ignores_us_and_what_has_left_the_group(tmp_path: Path) -> None:
    script = b'trap \'\' TERM; setsid sleep 1000 & echo $! >> "$F"; sleep 1000 & echo $! >> "$F"; echo up; wait'
    env = {**os.environ}
    child = subprocess.Popen(
        ["sh", "-c", COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=env
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(Errand(number="n2", script=script, shell=("sh",), env={"F": str(tmp_path / "pids")}).program())
    child.stdin.close()
    assert child.stdout.readline() == f"@n2 begins {child.pid}\n".encode()
    assert child.stdout.readline() == b"up\n"
    reaped = subprocess.Popen(["sh", "-c", stop_script("PROVISIONING_ERRAND=n2", group=child.pid, grace_s=0.3)])
    child.wait(timeout=60)
    child.stdout.close()

    assert reaped.wait(timeout=60) == 0
    assert not [pid for pid in (tmp_path / "pids").read_text().split() if Path(f"/proc/{pid}/environ").exists() and _runs(pid)]


def test_what_has_ended_counts_as_gone_although_nobody_has_looked_after_it() -> None:
    ended = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    script = stop_script("PROVISIONING_ERRAND=none", group=ended.pid, grace_s=20.0)
    stopped = subprocess.run(["sh", "-c", script], check=False, timeout=60)
    state = Path(f"/proc/{ended.pid}/stat").read_text().rpartition(")")[2].split()[0]

    assert (stopped.returncode, state) == (0, "Z")
    ended.wait()


def _runs(pid: str) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
