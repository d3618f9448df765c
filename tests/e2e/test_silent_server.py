"""The whole program against something on a server's port that is no SSH server: it says nothing, or nonsense."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NONSENSE = b"HTTP/1.0 400 Bad Request\r\n\r\n" * 200


class Imposter:
    """Listens, and sends `words` to whoever comes."""

    def __init__(self, words: bytes) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._words = words
        self.kept: list[socket.socket] = []
        self.port = self._socket.getsockname()[1]
        self.called = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                caller = self._socket.accept()[0]
            except OSError:
                return
            self.kept.append(caller)
            self.called.set()
            caller.sendall(self._words)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        for one in (self._socket, *self.kept):
            one.close()


@pytest.fixture(params=[b"", NONSENSE], ids=["silent", "nonsense"])
def imposter(request: pytest.FixtureRequest) -> Iterator[Imposter]:
    made = Imposter(request.param)
    yield made
    made.close()


def _start(folder: Path, port: int, settings: str) -> subprocess.Popen[str]:
    (folder / "workspace.toml").write_text(f'name = "test"\n[settings.ssh]\n{settings}\n', "utf-8")
    server = {"hostname": "x", "address": "127.0.0.1", "ssh": {"user": "nobody", "port": port}}
    (folder / "servers.json").write_text(json.dumps({"servers": [server]}), "utf-8")
    profile = folder / "taskservs" / "a" / "default"
    profile.mkdir(parents=True)
    (profile / "install-a.sh").write_text("#!/usr/bin/env bash\n", "utf-8")
    command = [sys.executable, "-m", "provisioning_cli.main", "-w", str(folder), "taskserv", "create", "a"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_what_is_no_ssh_server_is_told_in_one_line(tmp_workspace: Path, imposter: Imposter) -> None:
    child = _start(tmp_workspace, imposter.port, "connect_attempts = 1\nconnect_timeout_s = 1")
    _out, err = child.communicate(timeout=120)

    assert child.returncode == 7
    assert "Traceback" not in err
    assert [line for line in err.splitlines() if line.startswith("error: ") and "server x" in line]


@pytest.mark.parametrize("imposter", [b""], indirect=True, ids=["silent"])
def test_a_server_that_says_nothing_costs_its_limit_once(tmp_workspace: Path, imposter: Imposter) -> None:
    child = _start(tmp_workspace, imposter.port, "connect_attempts = 2\nconnect_timeout_s = 1")
    child.communicate(timeout=120)

    assert len(imposter.kept) == 2


@pytest.mark.parametrize("imposter", [b""], indirect=True, ids=["silent"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_does_not_wait_for_a_server_that_says_nothing(
    tmp_workspace: Path, imposter: Imposter, number: signal.Signals
) -> None:
    child = _start(tmp_workspace, imposter.port, "connect_timeout_s = 20")
    assert imposter.called.wait(60)
    time.sleep(0.3)  # it has to get from dialling to waiting for an answer
    began_s = time.monotonic()
    child.send_signal(number)
    _out, err = child.communicate(timeout=120)

    assert child.returncode == 130
    assert time.monotonic() - began_s < 15, "it has not waited for the server"
    assert "was stopped" in err
