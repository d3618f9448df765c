"""Twenty secrets through every way in: none lies or shows anywhere once it has done its work."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
from servers import ThrowawayServers
from support.canaries import SEED, canaries, executions, files_with, hits, new_files_with, sampled, shared_entries
from support.real import wait_until
from support.secretive import SecretiveWorkspace
from support.tracing import need_strace
from support.watching import on_a_terminal

pytestmark = pytest.mark.sshd

Say = Callable[[str], None]
Calls = tuple[tuple[tuple[int, ...], tuple[str, ...]], ...]
INSTALL: Calls = (
    ((0,), ("taskserv", "create", "--all", "--check", "-o", "json")),
    ((1, 5), ("taskserv", "create", "--all", "--keep-going")),  # whichever fails first
    ((0,), ("taskserv", "create", "user", "--reset", "-o", "json")),
)
FAIL_AND_LOOK: Calls = (
    ((1,), ("taskserv", "create", "broken", "-o", "json")),
    ((5,), ("taskserv", "create", "late")),
    ((0,), ("server", "check", "-o", "json")),
    ((0,), ("server", "list", "-o", "json")),
    ((0,), ("dag", "export", "-o", "json")),
    ((0,), ("run", "list", "-o", "json")),
    ((0,), ("run", "show", "last", "-o", "json")),
    ((0,), ("run", "show", "last")),
    ((0,), ("run", "logs", "last")),
    ((0,), ("state", "show", "-o", "json")),
    ((0,), ("state", "reset", "one", "late")),
    ((0,), ("state", "history", "-o", "json")),
)


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    return canaries(tmp_path)


@pytest.fixture
def workspace(
    tmp_path: Path,
    throwaway_servers: Callable[..., ThrowawayServers],
    secrets: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[SecretiveWorkspace]:
    made = SecretiveWorkspace(tmp_path / "workspace", throwaway_servers("one"), secrets)
    with made.agent() as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        monkeypatch.setenv("CANARY", secrets["secret_19"])
        yield made


def not_the_users(found: list[str]) -> list[str]:
    """Leave out the variable that the user has set: it is in the environment of the program that was started with it."""
    return sorted({one for one in found if not (one.startswith("environ") and "provisioning_cli" in one and "_19" in one)})


# ---------------------------------------------------------------- afterwards


@pytest.mark.timeout(600)
@pytest.mark.parametrize("calls", [INSTALL, FAIL_AND_LOOK], ids=["it is installed", "it fails, and is looked at"])
def test_twenty_secrets_leave_no_trace(
    workspace: SecretiveWorkspace, tmp_path: Path, secrets: Mapping[str, str], calls: Calls, say: Say
) -> None:
    before, shown = shared_entries(), []
    with sampled(secrets) as seen:
        for codes, words in calls:
            ended = workspace.run(*words)
            assert ended.code in codes, (words, ended)
            shown.append((words, ended.out + ended.err))
    assert (tmp_path / "sudo" / "asked").exists(), "sudo asked for its password"
    assert "***" in workspace.run("run", "logs", "last").out, "scripts and gates have printed what they were given"

    found, files = files_with(tmp_path, secrets, workspace.allowed)
    new, count = new_files_with(before, secrets)
    assert found + new == []
    assert [f"{' '.join(words)}: {name}" for words, text in shown for name in hits(text.encode(), secrets)] == []
    assert not_the_users(seen.found) == []
    told = f"{files + count} files, {len(shown)} outputs, {seen.reads} reads of /proc at {seen.rate_hz:.0f} Hz"
    say(f"{len(secrets)} secrets, seed {SEED}: 0 hits in {told}")


def test_no_program_is_started_with_a_secret(
    workspace: SecretiveWorkspace, tmp_path: Path, secrets: Mapping[str, str], say: Say
) -> None:
    need_strace()
    log = tmp_path / "executions"
    with executions(log, workspace.servers.server("one").pid):
        assert workspace.run("taskserv", "create", "broken").code == 1
        assert workspace.run("taskserv", "create", "late").code == 5

    started = log.read_bytes()
    assert b"install-broken.sh" in started, "the search has something to search"
    assert hits(started, secrets) == []
    say(f"{started.count(b'execve(')} programs started on the server, arguments and environments in full: 0 hits")


def test_after_a_normal_run_the_server_keeps_no_output(workspace: SecretiveWorkspace, secrets: Mapping[str, str]) -> None:
    assert workspace.run("taskserv", "create", "reader").code == 0
    assert workspace.run("taskserv", "create", "broken").code == 1

    home = workspace.servers.server("one").home
    assert len(list(home.rglob("result"))) >= 2, "the small record stays"
    assert [path for path in home.rglob("out") if path.is_file()] == []
    assert files_with(home, secrets)[0] == []


def test_a_terminal_shows_no_secret(workspace: SecretiveWorkspace, secrets: Mapping[str, str]) -> None:
    code, screen = on_a_terminal(workspace, "taskserv", "create", "--all", "--keep-going")

    assert code in {1, 5}, "whichever fails first"
    assert b"***" in screen
    assert hits(screen, secrets) == []


def test_a_variable_that_a_secret_is_taken_from_does_not_reach_prepare(
    workspace: SecretiveWorkspace, secrets: Mapping[str, str]
) -> None:
    seen = workspace.folder.parent / "environment"
    workspace.taskserv("late", extra={"prepare": f"env >{seen}\necho failed >&2\nenv >&2\nexit 3\n"})

    ended = workspace.run("taskserv", "create", "late")

    assert ended.code != 0
    assert "PROVISIONING_TASKSERV=late" in seen.read_text("utf-8")
    assert hits(seen.read_bytes() + (ended.out + ended.err).encode(), secrets) == []


# ---------------------------------------------------------------- meanwhile


def test_while_a_step_runs_its_secrets_are_in_memory_only(
    workspace: SecretiveWorkspace, tmp_path: Path, secrets: Mapping[str, str]
) -> None:
    body = f'. ./env-late; test -n "$V"; touch {tmp_path}/begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done'
    workspace.taskserv("late", body, extra={"env-late.j2": "V={{ secret('secret_16') | sh }}\n"})
    child = workspace.start("taskserv", "create", "late")
    wait_until((tmp_path / "begun").exists)

    found, files = files_with(tmp_path, secrets, workspace.allowed)
    (tmp_path / "go").touch()
    child.communicate(timeout=120)

    assert files > 20
    assert found == []


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
def test_a_runner_that_crashes_leaves_no_secret(
    workspace: SecretiveWorkspace, tmp_path: Path, secrets: Mapping[str, str], number: signal.Signals
) -> None:
    body = f'. ./env-late; echo "$V"; touch {tmp_path}/begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done'
    workspace.taskserv("late", body, extra={"env-late.j2": "V={{ secret('secret_16') | sh }}\n"})
    place = tmp_path / "place"
    place.mkdir()
    with (tmp_path / "said").open("wb") as said:
        child = subprocess.Popen(
            ["bash", "-c", 'ulimit -c unlimited; exec "$@"', "-", *workspace.command("taskserv", "create", "late")],
            cwd=place,
            stdout=said,
            stderr=said,
            env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        )
    wait_until((tmp_path / "begun").exists)
    limits = Path(f"/proc/{child.pid}/limits").read_text("utf-8")
    child.send_signal(number)
    child.wait(timeout=120)
    (tmp_path / "go").touch()

    assert [line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size")] == ["0"]
    assert list(place.iterdir()) == []
    found = files_with(tmp_path, secrets, workspace.allowed)[0]
    assert [one for one in found if "/out: " not in one] == [], "only for the run that adopts it: what the script printed"

    assert workspace.run("taskserv", "create", "late").code == 5, "the next run goes on, to the gate that stays closed"
    assert files_with(tmp_path, secrets, workspace.allowed)[0] == []


# ---------------------------------------------------------------- the search itself


def test_the_search_finds_each_form() -> None:
    secret = canaries(Path("/"))["secret_3"]
    for form in (secret, quote(secret, safe=""), json.dumps(secret), base64.b64encode(f"x{secret}".encode()).decode()):
        assert hits(f"before {form} after".encode(), {"it": secret}) == ["it"]


def test_the_search_finds_arguments_and_environments() -> None:
    secret = canaries(Path("/"))["secret_4"]
    with sampled({"it": secret}) as seen:
        subprocess.run(["sleep", "1.5", "--", "0.01"], env={"PATH": os.environ["PATH"], "IT": secret}, check=True)
        subprocess.run(["bash", "-c", "sleep 1.5; :", secret], check=True)

    assert {one.split(" of ")[0] for one in seen.found} == {"environ", "cmdline"}
