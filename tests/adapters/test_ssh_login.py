"""The way in: the right machine first, then a key, then root; each refusal says what to do and none of them hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.remote import Heard, bundle_of, timed, unit_of
from support.ssh import QUICK, Wire, agent_with, declared, fingerprint, log_of, make_key, ssh_hosts

from provisioning.adapters.ssh.hostkeys import add_known_host
from provisioning.core.declare import Become, Server
from provisioning.errors import BecomeRefused, HostKeyError, LoginRefused, Unreachable

pytestmark = pytest.mark.sshd


@pytest.fixture
def servers(throwaway_servers: Callable[..., ThrowawayServers]) -> ThrowawayServers:
    return throwaway_servers("web-0", "gate")


@pytest.fixture
def web(servers: ThrowawayServers) -> Server:
    return declared(servers, "web-0")


# ---------------------------------------------------------------- host keys


async def test_an_unknown_host_is_refused_before_any_login_begins(
    servers: ThrowawayServers, web: Server, tmp_path: Path
) -> None:
    async with ssh_hosts(servers, known_hosts=tmp_path / "none") as hosts:
        with pytest.raises(HostKeyError, match="SHA256:") as caught:
            await hosts.link(web)

    assert "provisioning server trust web-0" in caught.value.hint
    log = log_of(servers, "web-0")
    assert "user" not in log.lower().split("server listening", 1)[1], "sshd never learned who we are"


async def test_a_changed_host_key_is_refused(servers: ThrowawayServers, web: Server) -> None:
    servers.rekey("web-0")
    async with ssh_hosts(servers) as hosts:
        with pytest.raises(HostKeyError, match="has changed") as caught:
            await hosts.link(web)

    assert caught.value.message.count("SHA256:") == 2


async def test_a_host_that_was_scanned_and_trusted_is_let_in(servers: ThrowawayServers, web: Server, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    async with ssh_hosts(servers, known_hosts=known) as hosts:
        name, key = await hosts.scan_host_key(web)
        assert key.fingerprint == fingerprint(servers, "web-0")
        add_known_host(known, name, key)

        assert (await (await hosts.link(web)).probe("true", timeout_s=10, output=Heard())).ok


async def test_a_host_known_by_another_type_of_key_is_refused(servers: ThrowawayServers, web: Server, tmp_path: Path) -> None:
    kind, blob = make_key(tmp_path / "rsa", kind="rsa")
    (tmp_path / "known").write_text(f"[127.0.0.1]:{servers.server('web-0').port} {kind} {blob}\n")

    async with ssh_hosts(servers, known_hosts=tmp_path / "known") as hosts:
        with pytest.raises(HostKeyError, match="another type"):
            await hosts.link(web)


# ---------------------------------------------------------------- jump hosts


async def test_a_server_is_reached_through_another_one(servers: ThrowawayServers) -> None:
    async with ssh_hosts(servers) as hosts:
        link = await hosts.link(declared(servers, "web-0", proxy_jump="gate"))

        assert await link.start(unit_of(), bundle_of("exit 0"), Heard())

    assert log_of(servers, "gate").count("Accepted publickey") == 1
    assert log_of(servers, "web-0").count("Accepted publickey") == 1


@pytest.mark.parametrize("unknown", ["gate", "web-0"])
async def test_the_host_key_policy_holds_on_every_hop(servers: ThrowawayServers, tmp_path: Path, unknown: str) -> None:
    lines = (servers.folder / "known_hosts").read_text().splitlines()
    port = servers.server(unknown).port
    (tmp_path / "known").write_text("\n".join(line for line in lines if f":{port} " not in line) + "\n")

    async with ssh_hosts(servers, known_hosts=tmp_path / "known") as hosts:
        with pytest.raises(HostKeyError, match=unknown):
            await hosts.link(declared(servers, "web-0", proxy_jump="gate"))


async def test_a_host_key_can_be_scanned_through_a_jump_host(servers: ThrowawayServers) -> None:
    async with ssh_hosts(servers) as hosts:
        _, key = await hosts.scan_host_key(declared(servers, "web-0", proxy_jump="gate"))

    assert key.fingerprint == fingerprint(servers, "web-0")


async def test_a_lost_jump_host_is_made_again(servers: ThrowawayServers) -> None:
    async with ssh_hosts(servers) as hosts:
        link = await hosts.link(declared(servers, "web-0", proxy_jump="gate"))
        servers.kill_sessions("gate")

        assert (await link.start(unit_of(), bundle_of("exit 0"), Heard())).ok


async def test_a_server_that_the_jump_host_cannot_reach_is_unreachable(servers: ThrowawayServers) -> None:
    servers.stop_one("web-0")
    server = declared(servers, "web-0", proxy_jump="gate", port=1)
    async with ssh_hosts(servers) as hosts:
        with pytest.raises(Unreachable, match="through gate"):
            await hosts.link(server)


# ---------------------------------------------------------------- keys


async def test_a_key_that_the_server_does_not_know_is_refused_once(servers: ThrowawayServers, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    async with ssh_hosts(servers) as hosts:
        with pytest.raises(LoginRefused, match="stranger") as caught:
            await hosts.link(declared(servers, "web-0", key_path=str(tmp_path / "stranger")))

    assert "ssh.key_path" in caught.value.hint
    assert not caught.value.retryable
    assert log_of(servers, "web-0").count("Connection from") == 2, "ours, and the fixture's; it is not tried again"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(None, "does not exist", id="missing"),
        pytest.param("text", "is not a private key", id="no key at all"),
        pytest.param("passphrase", "passphrase", id="protected"),
    ],
)
async def test_a_key_that_cannot_be_used_is_named(
    servers: ThrowawayServers, tmp_path: Path, make: str | None, words: str
) -> None:
    path = tmp_path / "key"
    if make == "text":
        path.write_text("hello")
    if make == "passphrase":
        make_key(path, passphrase="words")
        path.with_suffix(".pub").unlink()
    async with ssh_hosts(servers) as hosts:
        with pytest.raises(LoginRefused, match=words):
            await hosts.link(declared(servers, "web-0", key_path=str(path)))


async def test_default_keys_are_tried_when_none_is_named(servers: ThrowawayServers, clean_environment: Path) -> None:
    folder = clean_environment / ".ssh"
    folder.mkdir()
    (folder / "id_ed25519").write_bytes(servers.client_key.read_bytes())
    async with ssh_hosts(servers) as hosts:
        await hosts.link(declared(servers, "web-0", key_path=None))


async def test_a_key_in_the_agent_is_used(servers: ThrowawayServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with agent_with(servers.client_key, tmp_path / "agent"):
        async with ssh_hosts(servers) as hosts:
            await hosts.link(declared(servers, "web-0", key_path=None))


# ---------------------------------------------------------------- one connection


async def test_steps_and_probes_share_one_connection(servers: ThrowawayServers, web: Server) -> None:
    async with ssh_hosts(servers) as hosts:
        links = await asyncio.gather(*(hosts.link(web) for _ in range(5)))
        probes = [links[0].probe("sleep 0.2", timeout_s=20, output=Heard()) for _ in range(30)]
        starts = [
            links[1].start(unit_of(taskserv=f"t{n}", step=f"web/{n}"), bundle_of("sleep 0.2"), Heard()) for n in range(12)
        ]
        exits = await asyncio.gather(*probes, *starts)

    assert [exit for exit in exits if not exit.ok] == []
    assert log_of(servers, "web-0").count("Accepted publickey") == 1


async def test_warming_opens_all_and_reports_each(servers: ThrowawayServers, web: Server) -> None:
    servers.stop_one("gate")
    async with ssh_hosts(servers, options=replace(QUICK, tries=1)) as hosts:
        found = await hosts.warm([web, declared(servers, "gate")])

    assert found["web-0"] is None
    assert isinstance(found["gate"], Unreachable)


async def test_an_address_without_an_answer_is_given_up_in_time(servers: ThrowawayServers) -> None:
    one = servers.server("web-0")
    async with Wire(one.address, one.port).open() as wire, ssh_hosts(servers, options=replace(QUICK, tries=1)) as hosts:
        wire.cut()

        with pytest.raises(Unreachable):
            assert await timed(hosts.link(declared(servers, "web-0", port=wire.port))) < 5


# ---------------------------------------------------------------- becoming root


class OneSecret:
    def __init__(self, value: str) -> None:
        self._value = value

    def resolve(self, reference: str) -> str:
        assert reference == "env:SUDO"
        return self._value


SUDO = r"""#!/bin/bash
# Stands in for sudo: asks on standard error, reads one line, waits after a wrong one, knows -n and a login without a password.
mode=$(cat "{folder}/mode")
echo "$*" >> "{folder}/arguments"
ask=() prompt=
while [[ $1 == -* ]]; do
    case $1 in
    -n) ask=never ;;
    -S) ask=stdin ;;
    -p) prompt=$2; shift ;;
    --) shift; break ;;
    esac
    shift
done
if [[ $mode != free ]]; then
    [[ $ask == never ]] && { echo "sudo: a password is required" >&2; exit 1; }
    for try in 1 2 3; do
        printf '%s' "$prompt" >&2
        IFS= read -r line || exit 1
        [[ $line == "open sesame" ]] && ok=1 && break
        sleep 2
        echo "Sorry, try again." >&2
    done
    [[ $ok ]] || exit 1
fi
exec env -i PATH="$PATH" HOME="$HOME" BECAME=root "$@"
"""


@pytest.fixture
def sudo(servers: ThrowawayServers, tmp_path: Path) -> Path:
    """Put our own sudo in front of the server's; return the folder with its `mode`."""
    folder = tmp_path / "sudo"
    folder.mkdir()
    (folder / "mode").write_text("password")
    (folder / "sudo").write_text(SUDO.replace("{folder}", str(folder)))
    (folder / "sudo").chmod(0o755)
    public = servers.client_key.with_suffix(".pub")
    forced = f'command="PATH={folder}:$PATH; export PATH; eval \\"$SSH_ORIGINAL_COMMAND\\"" '
    public.write_text(forced + public.read_text())
    return folder


@pytest.mark.parametrize("mode", ["password", "free"])
async def test_root_is_reached_with_a_password_on_standard_input(servers: ThrowawayServers, sudo: Path, mode: str) -> None:
    (sudo / "mode").write_text(mode)
    server = declared(servers, "web-0", become=Become(password="env:SUDO"))
    heard = Heard()
    async with ssh_hosts(servers, secrets=OneSecret("open sesame")) as hosts:
        link = await hosts.link(server)

        assert (await link.start(unit_of(), bundle_of('echo "$BECAME $PWD"'), heard)).ok
        assert (await link.probe('test "$BECAME" = root', timeout_s=10, output=Heard())).ok

    assert heard.text.startswith(f"root {servers.server('web-0').home}"), "the folder survives sudo's clean environment"
    assert "sesame" not in (sudo / "arguments").read_text()


async def test_root_without_a_password_is_sudo_n(servers: ThrowawayServers, sudo: Path) -> None:
    (sudo / "mode").write_text("free")
    async with ssh_hosts(servers) as hosts:
        link = await hosts.link(declared(servers, "web-0", become=Become()))

        assert (await link.start(unit_of(), bundle_of('test "$BECAME" = root'), Heard())).ok


@pytest.mark.parametrize(
    ("password", "words"),
    [
        pytest.param(None, "a password is required", id="none where one is needed"),
        pytest.param("wrong", "refused the password", id="a wrong one"),
    ],
)
async def test_a_refused_sudo_is_an_error_at_once(
    servers: ThrowawayServers, sudo: Path, password: str | None, words: str
) -> None:
    become = Become(password="env:SUDO" if password else None)
    async with ssh_hosts(servers, secrets=OneSecret(password or "")) as hosts:
        link = await hosts.link(declared(servers, "web-0", become=become))

        async def start() -> None:
            with pytest.raises(BecomeRefused, match=words):
                await link.start(unit_of(), bundle_of("exit 0"), Heard())

        assert await timed(start()) < 2.2

        with pytest.raises(BecomeRefused):
            await link.probe("true", timeout_s=10, output=Heard())


async def test_a_missing_sudo_is_an_error_at_once(servers: ThrowawayServers, sudo: Path) -> None:
    public = servers.client_key.with_suffix(".pub")
    public.write_text(public.read_text().replace(f"PATH={sudo}:$PATH", f"PATH={sudo}/empty"))
    async with ssh_hosts(servers) as hosts:
        link = await hosts.link(declared(servers, "web-0", become=Become()))

        with pytest.raises(BecomeRefused, match="not found"):
            await link.start(unit_of(), bundle_of("exit 0"), Heard())
