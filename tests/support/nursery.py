"""Programs of ours without the start of an interpreter: forked from a process that has loaded the modules already.

Whatever is called here is a process of its own, in a session of its own, with the folder, environment and streams that it
is given, and ends as the program ends. Only the imports are not made anew: of a short call they are nine tenths. What a
start costs, and that it works, is for other tests (`tests/cli/test_start.py`, and `RealWorkspace.start`).
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn, TextIO

LOADED = ("provisioning_cli", "provisioning")  # with all that is in them
AT_USE = ("paramiko", "rich.console", "rich.table", "rich.live", "rich.tree", "jsonschema", "networkx", "sqlite3")
READ_BYTES = 65_536
FOREVER_S = 3600.0
NETWORK = "/proc/thread-self/ns/net"


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a program is given. `module` has a `main` that takes the arguments and does not return."""

    module: str
    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str]


class Forked:
    """A program that was called: what tests use of `subprocess.Popen[str]`, and the same in all of it.

    `err` is where its messages go if not to a pipe.
    """

    def __init__(self, call: Call, *, err: int | None = None) -> None:
        self.args = list(call.arguments)
        self.returncode: int | None = None
        (out, its_out), (told, its_attendant) = os.pipe(), os.pipe()
        errors, its_err = os.pipe() if err is None else (None, os.dup(err))
        given = (its_out, its_err, its_attendant, os.open(NETWORK, os.O_RDONLY))
        with os.fdopen(os.memfd_create("call"), "w") as asked:
            json.dump(asdict(call), asked)
            asked.flush()
            socket.send_fds(_nursery(), [b"!"], [asked.fileno(), *given])
        for one in given:
            os.close(one)
        self.stdout, self._told = os.fdopen(out), os.fdopen(told)
        self.stderr = None if errors is None else os.fdopen(errors)
        self.pid = int(self._told.readline())

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        self._close(self.stdout, self.stderr)
        self.wait()
        self._close(self._told)

    def poll(self) -> int | None:
        """Return the exit code, or a signal's number, negative; None as long as it goes on."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._told.readline())
        return self.returncode

    def communicate(self, timeout: float = FOREVER_S) -> tuple[str, str]:
        """Wait until nobody holds its streams any more and it has ended; return what it printed. Raises as `wait` does."""
        until_s = time.monotonic() + timeout
        pipes = [pipe for pipe in (self.stdout, self.stderr) if pipe is not None]
        found = [part.decode() for part in _read([pipe.fileno() for pipe in pipes], until_s, self.args)]
        self.wait(max(0.0, until_s - time.monotonic()))
        self._close(*pipes, self._told)
        return found[0], found[1] if len(found) > 1 else ""

    def send_signal(self, number: int) -> None:
        """Send a signal, if there still is somebody to hear it."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and nothing that it has started."""
        self.send_signal(signal.SIGKILL)

    def _close(self, *pipes: TextIO | None) -> None:
        for pipe in pipes:
            if pipe is not None:
                pipe.close()


def run(call: Call, *, limit_s: float) -> tuple[int, str, str]:
    """Run a program to its end; return exit code, output and messages.

    Raises:
        subprocess.TimeoutExpired: it did not end; its session was killed.
    """
    with Forked(call) as running:
        try:
            out, err = running.communicate(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            raise
        return running.wait(), out, err


def _read(pipes: Sequence[int], until_s: float, args: Sequence[str]) -> list[bytes]:
    """Return what is in the pipes up to their ends."""
    found = {pipe: bytearray() for pipe in pipes}
    with selectors.DefaultSelector() as ready:
        for pipe in pipes:
            ready.register(pipe, selectors.EVENT_READ)
        while ready.get_map():
            left_s = until_s - time.monotonic()
            if left_s < 0:
                raise subprocess.TimeoutExpired(args, left_s)
            for key, _ in ready.select(left_s):
                part = os.read(key.fd, READ_BYTES)
                found[key.fd] += part
                if not part:
                    ready.unregister(key.fd)
    return [bytes(part) for part in found.values()]


@cache
def _nursery() -> socket.socket:
    """Return the way to the process that is forked; each process of tests has its own. It ends when the way is closed."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    given = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    words = [sys.executable, __file__, str(its.fileno())]
    process = subprocess.Popen(words, pass_fds=[its.fileno()], env=given, stdin=subprocess.DEVNULL, start_new_session=True)
    its.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# ---------------------------------------------------------------- in the process that is forked


def attend(asked: socket.socket) -> None:
    """Fork a program whenever somebody asks for one, until nobody can any more."""
    for name in [*_modules(), *AT_USE]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    while True:
        _, given, _, _ = socket.recv_fds(asked, 1, 5)
        if not given:
            return
        if os.fork() == 0:
            asked.close()
            _attend_one(*given)
        for one in given:
            os.close(one)
        _let_rest()


def _let_rest() -> None:
    """Take leave of the attendants that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _modules() -> Iterator[str]:
    for name in LOADED:
        package = importlib.import_module(name)
        yield from (module.name for module in pkgutil.walk_packages(package.__path__, f"{name}."))


def _attend_one(asked: int, out: int, err: int, told: int, network: int) -> NoReturn:
    os.lseek(asked, 0, os.SEEK_SET)
    with os.fdopen(asked) as file:
        call = Call(**json.load(file))
    program = os.fork()
    if program == 0:
        _become(call, out, err, network)
    os.write(told, f"{program}\n".encode())
    os.close(out)
    os.close(err)
    os.write(told, f"{os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])}\n".encode())
    os._exit(0)


def _become(call: Call, out: int, err: int, network: int) -> NoReturn:
    os.setsid()
    there = os.path.samestat(os.fstat(network), Path(NETWORK).stat())  # else a test has networks of its own
    if not there and ctypes.CDLL(None).setns(network, 0):
        os._exit(1)
    os.environ.clear()
    os.environ.update(call.environment)
    time.tzset()
    os.chdir(call.folder)
    sys.path[0], sys.argv = call.folder, [call.module, *call.arguments]
    for number, given in enumerate((os.open(os.devnull, os.O_RDONLY), out, err)):
        os.dup2(given, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    importlib.import_module(call.module).main(call.arguments)
    os._exit(0)


if __name__ == "__main__":
    attend(socket.socket(fileno=int(sys.argv[1])))
