"""Programs of ours without the start of an interpreter: forked from a process that has loaded the modules already.

Whatever is called here is a process of its own, in a session of its own, with the folder, environment and streams that it
is given, and ends as the program ends. Only the imports are not made anew: of a short call they are nine tenths. What a
start costs, and that it works, is for other tests (`tests/cli/test_start.py`), and so is whatever is started to be killed.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
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
from typing import NoReturn

LOADED = ("provisioning_cli", "provisioning")  # with all that is in them, except:
NOT_LOADED = ("provisioning.api", "provisioning.adapters.nats", "provisioning.operations.cluster", "provisioning_cli.server")
AT_USE = ("paramiko", "rich.console", "rich.table", "rich.live", "rich.tree", "jsonschema", "networkx", "sqlite3")
READ_BYTES = 65_536


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a program is given. `module` has a `main` that takes the arguments and does not return."""

    module: str
    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str]


def run(call: Call, *, limit_s: float) -> tuple[int, str, str]:
    """Run a program to its end; return exit code (or signal, negative), output and messages.

    As with a pipe of the shell, the end is when nobody holds the streams any more.

    Raises:
        subprocess.TimeoutExpired: it did not end; its session was killed.
    """
    pipes = [os.pipe() for _ in range(3)]  # output, messages, and what the attendant says: process id, exit code
    with os.fdopen(os.memfd_create("call"), "w") as asked:
        json.dump(asdict(call), asked)
        asked.flush()
        socket.send_fds(_nursery(), [b"!"], [asked.fileno(), *(theirs for _, theirs in pipes)])
    for _, theirs in pipes:
        os.close(theirs)
    ended, (out, err, told) = _read([ours for ours, _ in pipes], limit_s)
    if not ended:
        os.killpg(int(told.split()[0]), signal.SIGKILL)
        raise subprocess.TimeoutExpired(list(call.arguments), limit_s, out, err)
    return int(told.split()[1]), out.decode(), err.decode()


def _read(pipes: Sequence[int], limit_s: float) -> tuple[bool, list[bytes]]:
    """Return whether all pipes came to their ends, and what was in them."""
    until_s, found = time.monotonic() + limit_s, {pipe: bytearray() for pipe in pipes}
    with selectors.DefaultSelector() as ready:
        for pipe in pipes:
            ready.register(pipe, selectors.EVENT_READ)
        while ready.get_map() and time.monotonic() < until_s:
            for key, _ in ready.select(until_s - time.monotonic()):
                part = os.read(key.fd, READ_BYTES)
                found[key.fd] += part
                if not part:
                    ready.unregister(key.fd)
        ended = not ready.get_map()
    for pipe in pipes:
        os.close(pipe)
    return ended, [bytes(part) for part in found.values()]


@cache
def _nursery() -> socket.socket:
    """Return the way to the process that is forked, one for each process of tests. It ends when the way is closed."""
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
        _, given, _, _ = socket.recv_fds(asked, 1, 4)
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
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.startswith(NOT_LOADED):
                yield module.name


def _attend_one(asked: int, out: int, err: int, told: int) -> NoReturn:
    os.lseek(asked, 0, os.SEEK_SET)
    with os.fdopen(asked) as file:
        call = Call(**json.load(file))
    program = os.fork()
    if program == 0:
        _become(call, out, err)
    os.write(told, f"{program}\n".encode())
    os.close(out)
    os.close(err)
    os.write(told, f"{os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])}\n".encode())
    os._exit(0)


def _become(call: Call, out: int, err: int) -> NoReturn:
    os.setsid()
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
