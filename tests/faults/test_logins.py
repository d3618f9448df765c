"""Wrong machines, wrong passwords, accounts that may not: refused at once, with a way out, and nothing is given away."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.canaries import sampled
from support.real import Ended, RealWorkspace, formula, wait_until
from support.ssh import fingerprint, log_of, make_key
from support.sudoing import PASSWORD, Sudo, force, missing
from support.taps import Tap, tapped

pytestmark = pytest.mark.sshd

Say = Callable[[str], None]
WAITING_S = 2.0  # for a verdict of sudo or of the login, from the begin of the step
TOOK = re.compile(r"a/web  failed after ([0-9.]+) s")


@pytest.fixture
def workspace(tmp_path: Path, throwaway_servers: Callable[..., ThrowawayServers]) -> RealWorkspace:
    made = RealWorkspace(tmp_path / "workspace", throwaway_servers("one", "gate"))
    made.taskserv("web", "touch $DEMO_ROOT/installed", toml="idempotent = true\n")
    made.dag(formula("a", "one", "web", health_gate={"check_cmd": "touch $DEMO_ROOT/probed", "retries": 1}))
    return made


def known_hosts(workspace: RealWorkspace) -> Path:
    return workspace.folder / ".provisioning" / "known_hosts"


def host_key(workspace: RealWorkspace, name: str) -> str:
    """Return type and blob of a server's key."""
    public = workspace.servers.folder / name / "host_key.pub"
    return " ".join(public.read_text("utf-8").split()[:2])


def other_key(folder: Path, kind: str = "ed25519") -> str:
    return " ".join(make_key(folder / f"other-{kind}", kind=kind))


# ---------------------------------------------------------------- host keys

# What known_hosts holds of a server whose name in it is {name}, whose key is {key}, and which is not to be believed.
UNKNOWN = {
    "no file": None,
    "an empty file": "",
    "only others": "other.example {key}\n[127.0.0.1]:1 {key}\n",
    "commented out": "# {name} {key}\n",
    "excluded by a pattern": "!{name},!127.0.0.1,* {key}\n",
    "cut off": "{name} ssh-ed25519\n",
    "only an authority that we do not follow": "@cert-authority * {other}\n",
}
REFUSED = {
    "another key": "{name} {other}\n",
    "a key of another type": "{name} {rsa}\n",
    "a revoked key": "@revoked {name} {key}\n{name} {key}\n",
}


@pytest.mark.parametrize("held", [*UNKNOWN, *REFUSED])
def test_a_machine_that_is_not_the_known_one_is_refused_before_a_byte_of_a_login(
    workspace: RealWorkspace, tmp_path: Path, held: str
) -> None:
    keys = {"key": host_key(workspace, "one"), "other": other_key(tmp_path)}
    if held == "a key of another type":  # one that takes seconds to make
        keys["rsa"] = other_key(tmp_path, "rsa")
    one = workspace.servers.server("one")
    with tapped(one.address, one.port) as tap:
        workspace.change_server("one", port=tap.port)
        text = {**UNKNOWN, **REFUSED}[held]
        if text is None:
            known_hosts(workspace).unlink()
        else:
            known_hosts(workspace).write_text(text.format(name=f"[127.0.0.1]:{tap.port}", **keys), "utf-8")

        ended = workspace.run("taskserv", "create", "--all")

        assert ended.code == 7, ended.err
        assert tap.connections >= 1
        assert tap.secret == 0, "not one encrypted byte was sent: no name, no key, no signature"
    assert fingerprint(workspace.servers, "one") in ended.err
    if held in UNKNOWN:
        assert "provisioning server trust one" in ended.err
    assert_untouched(workspace, "one")


def test_a_known_machine_is_logged_in_to(workspace: RealWorkspace) -> None:
    """What the test above counts does happen where it may."""
    one = workspace.servers.server("one")
    with tapped(one.address, one.port) as tap:
        workspace.change_server("one", port=tap.port)
        known_hosts(workspace).write_text(f"[127.0.0.1]:{tap.port} {host_key(workspace, 'one')}\n", "utf-8")

        assert workspace.run("taskserv", "create", "--all").code == 0
        assert tap.secret > 1000


@pytest.mark.parametrize("wrong", ["gate", "one"])
def test_the_same_holds_on_both_ends_of_a_jump(workspace: RealWorkspace, tmp_path: Path, wrong: str) -> None:
    gate, one = workspace.servers.server("gate"), workspace.servers.server("one")
    with tapped(gate.address, gate.port) as at_gate, tapped(one.address, one.port) as at_one:
        taps = {"gate": at_gate, "one": at_one}
        workspace.change_server("gate", port=at_gate.port)
        workspace.change_server("one", port=at_one.port, proxy_jump="gate")
        right = {name: f"[127.0.0.1]:{tap.port} {host_key(workspace, name)}\n" for name, tap in taps.items()}
        right[wrong] = f"[127.0.0.1]:{taps[wrong].port} {other_key(tmp_path)}\n"
        known_hosts(workspace).write_text("".join(right.values()), "utf-8")

        ended = workspace.run("taskserv", "create", "--all")

        assert ended.code == 7, ended.err
        assert fingerprint(workspace.servers, wrong) in ended.err
        assert taps[wrong].secret == 0
        assert at_gate.secret == 0 or wrong == "one"
        assert at_one.connections == (1 if wrong == "one" else 0), "nothing goes on behind a gate that is not the known one"
    assert_untouched(workspace, "one")


def test_a_machine_that_is_exchanged_in_mid_run_is_not_logged_in_to(workspace: RealWorkspace, tmp_path: Path) -> None:
    workspace.taskserv("web", f"until [ -e {tmp_path}/go ]; do sleep 0.05; done", toml="idempotent = true\n")
    child = workspace.start("taskserv", "create", "--all")
    wait_until(workspace.begun)
    workspace.servers.rekey("one")

    _out, err = child.communicate(timeout=120)
    (tmp_path / "go").touch()

    assert child.returncode == 7, err
    assert "changed" in err
    assert fingerprint(workspace.servers, "one") in err
    assert "accepted" not in log_of(workspace.servers, "one").lower(), "the log began anew with the new key"


def assert_untouched(workspace: RealWorkspace, name: str) -> None:
    server = workspace.servers.server(name)
    assert workspace.begun() == []
    assert list(server.root.iterdir()) == []
    assert not server.home.exists()
    assert "accepted" not in log_of(workspace.servers, name).lower()


# ---------------------------------------------------------------- becoming root


@pytest.fixture
def sudo(workspace: RealWorkspace, monkeypatch: pytest.MonkeyPatch) -> Sudo:
    made = Sudo(workspace, "one")
    monkeypatch.setenv("SUDO_PASSWORD", PASSWORD)
    become(workspace, "env:SUDO_PASSWORD")
    return made


def become(workspace: RealWorkspace, password: str | None) -> None:
    fields = {"password": password} if password else {}
    workspace.change_server("one", become={"method": "sudo", **fields})


def refused(workspace: RealWorkspace, *, tries: int = 3) -> tuple[Ended, float]:
    """Fail some times; return the shortest time that the step took: a busy machine makes some longer, waiting makes all."""
    took_s = []
    for _ in range(tries):
        ended = workspace.run("taskserv", "create", "--all")
        took_s += [float(seconds) for seconds in TOOK.findall(ended.err)]
        if took_s and took_s[-1] < WAITING_S:
            break
    assert took_s, ended.err
    return ended, min(took_s)


@pytest.mark.parametrize("mode", ["password", "free", "lecture"])
def test_a_password_reaches_sudo_and_nobody_else(workspace: RealWorkspace, sudo: Sudo, mode: str) -> None:
    sudo.behave(mode)
    with sampled({"password": PASSWORD}) as seen:
        ended = workspace.run("taskserv", "create", "--all")

    assert ended.code == 0, ended.err
    assert [one for one in seen.found if not one.startswith("environ")] == []
    assert PASSWORD not in ended.out + ended.err


REFUSALS = [
    pytest.param("password", "not that one", "refused the password", id="a wrong password"),
    pytest.param("password", None, "a password is required", id="no password where one is needed"),
    pytest.param("tty", PASSWORD, "you must have a tty", id="a terminal is required"),
    pytest.param("tty", None, "you must have a tty", id="a terminal is required, without a password"),
    pytest.param("expired", PASSWORD, "Account or password is expired", id="an expired password"),
    pytest.param("expired", None, "Account or password is expired", id="an expired password, none given"),
    pytest.param("nobody", PASSWORD, "not in the sudoers file", id="not in sudoers"),
    pytest.param("hung", PASSWORD, "refused the password, or took more", id="sudo never says a word"),
]


@pytest.mark.parametrize(("mode", "password", "said"), REFUSALS)
def test_a_sudo_that_refuses_is_an_error_at_once(
    workspace: RealWorkspace, sudo: Sudo, monkeypatch: pytest.MonkeyPatch, mode: str, password: str | None, said: str, say: Say
) -> None:
    sudo.behave(mode)
    become(workspace, "env:SUDO_PASSWORD" if password else None)
    monkeypatch.setenv("SUDO_PASSWORD", password or "")

    with sampled({"password": password or PASSWORD}) as seen:
        ended, took_s = refused(workspace)

    assert ended.code in {1, 7}, ended.err
    assert said in ended.err
    assert took_s < WAITING_S
    assert workspace.begun() == [], "nothing ran"
    assert not password or password not in ended.out + ended.err.replace(said, "")
    assert [one for one in seen.found if not one.startswith("environ")] == []
    say(f"sudo, {mode}: refused after {took_s:.1f} s")


def test_a_sudo_that_hangs_is_an_error_at_once_without_a_password_too(workspace: RealWorkspace, sudo: Sudo) -> None:
    sudo.behave("hung")
    become(workspace, None)

    ended = workspace.run("taskserv", "create", "--all", timeout_s=120)

    assert ended.code in {1, 7}
    assert "sudo" in ended.err
    assert workspace.begun() == []


def test_a_server_without_sudo_says_so_at_once(workspace: RealWorkspace, tmp_path: Path) -> None:
    force(workspace, missing(tmp_path / "programs"))
    become(workspace, None)

    ended, took_s = refused(workspace)

    assert ended.code in {1, 7}
    assert "sudo" in ended.err
    assert "not found" in ended.err
    assert took_s < WAITING_S


# ---------------------------------------------------------------- accounts that may not log in

SHELLS = {
    "Your account has expired; please contact your system administrator.": "; exit 1",
    "This account is currently not available.": "; exit 1",
    "WARNING: Your password has expired. Password change required but no TTY available.": "; exit 1",
    "Current password:": "; read -r password; read -r password; exit 1",
}


@pytest.mark.parametrize("words", SHELLS)
def test_an_account_that_gets_no_shell_says_why_at_once(workspace: RealWorkspace, words: str) -> None:
    force(workspace, f"echo '{words}' >&2{SHELLS[words]}")

    ended, took_s = refused(workspace)

    assert ended.code in {1, 7}, ended.err
    assert words.rstrip(":.") in ended.err
    assert took_s < WAITING_S
    assert workspace.begun() == []


def test_the_tap_counts_only_what_comes_after_the_last_clear_message() -> None:
    from support.taps import Plain

    packet = (6).to_bytes(4, "big") + bytes([4, 21, 0, 0, 0, 0])
    plain = Plain()
    assert plain.encrypted(b"SSH-2.0-x\r\n" + packet[:3]) == 0
    assert plain.encrypted(packet[3:] + b"hidden") == 6
    assert plain.encrypted(b"more") == 4
    assert Tap("", 0).secret == 0
