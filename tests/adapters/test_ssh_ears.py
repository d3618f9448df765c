"""The socket below a connection: what it reads ahead, how long it waits, and what paramiko is imported with."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from provisioning.adapters.ssh.ears import Ears

PACKET = bytes(range(200))


class Counting:
    """Behaves like a socket that has been given pieces, and counts how often it is read."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.calls = list(pieces), 0

    def recv(self, size: int) -> bytes:
        self.calls += 1
        assert len(self.pieces[0]) <= size
        return self.pieces.pop(0)

    def send(self, data: bytes) -> int:
        return len(data)


@pytest.fixture
def ends() -> Iterator[tuple[Ears, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Ears(ours), theirs


def test_packets_that_have_come_take_one_call_and_arrive_whole_and_in_order() -> None:
    inner = Counting(PACKET * 3, b"")
    ears = Ears(inner)

    heard = b"".join(ears.recv(size) for _ in range(3) for size in (16, 184))

    assert heard == PACKET * 3
    assert inner.calls == 1
    assert ears.recv(16) == b""  # and the end is the end


def test_who_asks_for_much_gets_what_there_is(ends: tuple[Ears, socket.socket]) -> None:
    ears, theirs = ends
    theirs.sendall(PACKET)

    assert ears.recv(100_000) == PACKET


@pytest.mark.parametrize("limit_s", [0.05, 1.05])
def test_silence_is_a_timeout_after_the_limit_and_nothing_was_heard(ends: tuple[Ears, socket.socket], limit_s: float) -> None:
    ears, _ = ends
    ears.settimeout(limit_s)
    heard_s, began_s = ears.heard_s, time.monotonic()

    with pytest.raises(TimeoutError):
        ears.recv(16)

    assert time.monotonic() - began_s >= limit_s * 0.9
    assert ears.heard_s == heard_s


def test_without_a_limit_it_waits_until_the_other_end_is_gone(ends: tuple[Ears, socket.socket]) -> None:
    ears, _ = ends
    ears.settimeout(0.05)
    ears.settimeout(None)
    ears.shutdown(socket.SHUT_RDWR)  # what `Connection.close` does from another thread

    assert ears.recv(16) == b""


def test_a_full_socket_a_closed_one_and_a_channel_take_nothing_at_once(ends: tuple[Ears, socket.socket]) -> None:
    ears, theirs = ends
    assert ears.takes_at_once()

    ears.settimeout(0.01)
    with pytest.raises(BlockingIOError):  # paramiko tries again then
        _fill(ears)
    assert not ears.takes_at_once()

    theirs.close()
    assert not ears.takes_at_once()
    ears.close()
    assert not ears.takes_at_once()
    assert not Ears(Counting()).takes_at_once()


def _fill(ears: Ears) -> None:
    while ears.send(bytes(65536)):
        pass


def test_paramiko_comes_without_what_only_match_exec_needs(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host *\n  User deploy\n")
    script = (
        "import sys, pathlib\n"
        "from provisioning.adapters.ssh.config import SshConfig\n"
        f"found = SshConfig([pathlib.Path({str(config)!r})]).lookup('web-0')\n"
        "print(found['user'], 'paramiko' in sys.modules, 'invoke' in sys.modules)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert said.split() == ["deploy", "True", "False"]


def test_match_exec_runs_its_command_nevertheless(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text('Match exec "test %n = web-0"\n  User deploy\n')
    script = (
        "import pathlib\n"
        "from provisioning.adapters.ssh.config import SshConfig\n"
        f"config = SshConfig([pathlib.Path({str(config)!r})])\n"
        "print([config.lookup(name).get('user') for name in ('web-0', 'db-0')])\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert said.strip() == "['deploy', None]"


def test_a_handshake_is_limited_by_the_clock_and_not_by_a_thread() -> None:
    from provisioning.adapters.ssh.packets import Packets

    threads = threading.active_count()
    slow, quick = (Packets(cast("socket.socket", Ears(Counting()))) for _ in range(2))
    assert not slow.handshake_timed_out()  # none has begun

    slow.start_handshake(-1.0)
    quick.start_handshake(-1.0)
    quick.complete_handshake()
    quick.start_handshake(-1.0)  # keys are renewed

    assert (slow.handshake_timed_out(), quick.handshake_timed_out()) == (True, False)
    assert threading.active_count() == threads
