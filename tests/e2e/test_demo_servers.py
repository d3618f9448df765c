from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import servers as servers_module
from processes import Process, alive, command_line, identify
from servers import ThrowawayServers, take_down
from sshd import free_port, greets

pytestmark = pytest.mark.sshd

Maker = Callable[..., ThrowawayServers]
SERVERS_PY = Path(servers_module.__file__)


def ssh(servers: ThrowawayServers, name: str, command: str) -> list[str]:
    server = servers.server(name)
    options = [f"UserKnownHostsFile={servers.folder / 'known_hosts'}", "BatchMode=yes", "IdentitiesOnly=yes"]
    flags = [part for option in options for part in ("-o", option)]
    where = ["-p", str(server.port), f"{server.user}@{server.address}"]
    return ["ssh", "-F", "none", "-i", str(server.key_path), *flags, *where, command]


def said(servers: ThrowawayServers, name: str, command: str) -> str:
    return subprocess.run(ssh(servers, name, command), capture_output=True, text=True, check=True).stdout


def test_each_server_answers_with_folders_of_its_own(throwaway: ThrowawayServers) -> None:
    for name in throwaway.names:
        answer = said(throwaway, name, 'echo "$PROVISIONING_HOME"; echo "$DEMO_ROOT"').splitlines()

        server = throwaway.server(name)
        assert answer == [str(server.home), str(server.root)]
        assert server.root.is_dir()


def test_servers_on_one_port_are_told_apart_by_their_address(throwaway_servers: Maker) -> None:
    servers = throwaway_servers(*(f"node-{number}" for number in range(40)), shared=True)

    ports = {servers.server(name).port for name in servers.names}
    addresses = [servers.server(name).address for name in servers.names]
    assert len(ports) == 1
    assert len(set(addresses)) == 40
    assert all(address.startswith("127.") for address in addresses)
    assert said(servers, "node-39", 'echo "$DEMO_ROOT"').strip() == str(servers.server("node-39").root)


def test_nothing_listens_outside_loopback(throwaway: ThrowawayServers) -> None:
    ports = {throwaway.server(name).port for name in throwaway.names}
    table = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    listening = {local for line in table for _, local, _, state, *_ in [line.split()] if state == "0A"}

    ours = {local for local in listening if int(local.split(":")[1], 16) in ports}
    assert len(ours) == len(ports)
    assert {local.split(":")[0] for local in ours} == {"0100007F"}


def test_the_end_leaves_neither_processes_nor_folders(throwaway_servers: Maker) -> None:
    servers = ThrowawayServers(("one",))
    with servers:
        subprocess.run(ssh(servers, "one", "setsid sleep 1000 >/dev/null 2>&1 &"), check=True)
        daemon = identify(servers.server("one").pid)
        assert len(servers.leftovers()) == 1

    assert servers.leftovers() == []
    assert daemon is not None
    assert not alive(daemon)
    assert not servers.folder.exists()


def test_a_cut_connection_leaves_the_command_running(throwaway_servers: Maker) -> None:
    servers = throwaway_servers("one")
    marker = servers.server("one").root / "ready"
    with subprocess.Popen(ssh(servers, "one", f": >{marker}; exec sleep 1000"), stderr=subprocess.DEVNULL) as connection:
        while not marker.exists():
            time.sleep(0.01)
        servers.kill_sessions("one")

        assert connection.wait(timeout=60) == 255
    assert [command_line(one) for one in servers.leftovers() if alive(one)] == ["sleep 1000"]
    assert said(servers, "one", "echo still here") == "still here\n"


def test_a_stopped_server_comes_back_on_the_same_port_with_the_same_key(throwaway: ThrowawayServers) -> None:
    before = throwaway.server("data")

    throwaway.stop_one("data")
    assert throwaway.server("data").pid == 0
    assert not greets(before.address, before.port)
    assert said(throwaway, "edge", "echo up") == "up\n"

    throwaway.start_one("data")
    assert said(throwaway, "data", "echo back") == "back\n"
    assert throwaway.server("data").port == before.port


def test_a_new_host_key_is_noticed_by_a_client(throwaway_servers: Maker) -> None:
    servers = throwaway_servers("one")
    servers.rekey("one")

    refused = subprocess.run(ssh(servers, "one", "true"), capture_output=True, text=True, check=False)
    assert refused.returncode == 255
    assert "has changed" in refused.stderr


def test_a_frozen_server_accepts_and_says_nothing_until_it_thaws(throwaway_servers: Maker) -> None:
    servers = throwaway_servers("one")
    server = servers.server("one")

    with servers.frozen("one"):
        assert not greets(server.address, server.port, patience_s=0.2)
    assert greets(server.address, server.port)


def test_a_port_that_was_taken_meanwhile_is_replaced(throwaway_servers: Maker, tmp_path: Path) -> None:
    taken = throwaway_servers("first").server("first").port
    offered = iter([taken, free_port()])

    with ThrowawayServers(("second",), folder=tmp_path / "second", ports=lambda: next(offered)) as second:
        assert second.server("second").port != taken
        assert said(second, "second", "echo mine") == "mine\n"


def test_up_keeps_the_servers_and_down_ends_what_was_started_on_them(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    up = subprocess.run([sys.executable, SERVERS_PY, "up", folder], capture_output=True, text=True, check=True)
    try:
        declared = json.loads(up.stdout)["servers"]
        recorded = json.loads((folder / "daemons.json").read_text("utf-8"))
        assert [server["hostname"] for server in declared] == ["edge", "app-1", "app-2", "data"]
        assert all(greets(server["address"], server["ssh"]["port"]) for server in declared)
    finally:
        down = subprocess.run([sys.executable, SERVERS_PY, "down", folder], capture_output=True, text=True, check=True)

    assert down.stdout == "ended 4 processes\n"
    assert not any(alive(Process(**one)) for one in recorded)
    assert not folder.exists()


def test_taking_down_what_is_not_up_is_no_error(tmp_path: Path) -> None:
    assert take_down(tmp_path / "nothing") == 0


def test_a_process_whose_id_was_used_again_is_not_ours() -> None:
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        process = identify(sleeper.pid)
        assert process is not None
        stranger = Process(pid=process.pid, started=process.started - 1)

        assert alive(process)
        assert not alive(stranger)
        sleeper.kill()
