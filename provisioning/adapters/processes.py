"""Programs on this machine (Linux): started cheaply, heard while they run, and ended with all they have started.

Starting one in a thread, with pipes and a pidfd that the event loop watches, takes half the time of asyncio's own
subprocesses, which have a thread each that waits: see docs/reference/actions.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from provisioning.adapters.files import write_all
from provisioning.adapters.members import Member, members, send
from provisioning.core.outside import Content, Ears, Ended, Program
from provisioning.core.ports import Output

_PIECE_BYTES = 64 * 1024
_LOOK_S = (0.01, 0.2)  # between looks at what is still there: the first, the longest
_HOPELESS_S = 5.0  # of being killed; what is still there then waits for the kernel, or is somebody else's
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - private files are made there with mkstemp
_STARTERS = 4  # threads
_MARK = "PROVISIONING_PROCESS"  # in the environment of a program and of all it starts: how they are found again


class LocalProcesses:
    """Fulfils `outside.Processes`."""

    def __init__(self) -> None:
        self._starters = ThreadPoolExecutor(_STARTERS, "start")

    async def run(self, program: Program, ears: Ears) -> Ended:
        """See Processes."""
        starting = asyncio.get_running_loop().run_in_executor(self._starters, _start, program)
        try:
            started = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _stop_when_started(starting, program, ears)
            raise
        if isinstance(started, Ended):
            return started
        return await _follow(started, program, ears)


class _Child:
    """A program that was started: its process, the pipes from it, and the private files that it was given."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str, pipes: Sequence[int], files: Sequence[str]) -> None:
        self.process, self._mark, self._pipes, self._files = process, mark, pipes, files
        self._streams: list[_Stream] = []

    def listen(self, ears: Ears) -> None:
        """Pass on what it says, from now on."""
        self._streams = [_Stream(fd, output) for fd, output in zip(self._pipes, (ears.stdout, ears.stderr), strict=True)]

    def members(self) -> list[Member]:
        """Return all its processes that have not ended."""
        return members(self.process.pid, f"{_MARK}={self._mark}".encode())

    def settle(self) -> int:
        """Pass on what it has said, let go of everything, return its exit code (negative: the signal)."""
        code = self.process.poll()
        for stream in self._streams:
            stream.finish()
        _remove(self._files)
        if code is None:  # it could not be stopped: its status is taken whenever it ends
            threading.Thread(target=self.process.wait, daemon=True).start()
        return code or 0


class _Stream:
    """The reading end of a pipe."""

    def __init__(self, fd: int, output: Output) -> None:
        self._fd, self._output = fd, output
        self._loop = asyncio.get_running_loop()
        self._open = True
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._ready)

    def finish(self) -> None:
        """Pass on what is there, and close: whoever else holds the other end may hold it for ever."""
        if not self._open:
            return
        left = int(struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, b"\0\0\0\0"))[0])
        while left > 0 and (count := self._pass_on(min(left, _PIECE_BYTES))):
            left -= count
        self._close()

    def _ready(self) -> None:
        self._pass_on(_PIECE_BYTES)

    def _pass_on(self, size: int) -> int:
        try:
            data = os.read(self._fd, size)
        except BlockingIOError:
            return 0
        if data:
            self._output(data)
        else:
            self._close()
        return len(data)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            os.close(self._fd)


# ---------------------------------------------------------------- to its end


async def _follow(child: _Child, program: Program, ears: Ears) -> Ended:
    child.listen(ears)
    try:
        await _ended(child.process.pid)
    except asyncio.CancelledError:
        await _stop(child, program, ears)
        raise
    finally:
        code = child.settle()
    return Ended(kind="signal", code=-code) if code < 0 else Ended(kind="exit", code=code)


async def _ended(pid: int) -> None:
    """Return when the process has ended. Its status is not taken."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def done() -> None:
        if not over.done():
            over.set_result(None)

    try:
        handle = os.pidfd_open(pid)
    except OSError:  # older container engines forbid the call
        threading.Thread(target=_wait_in_thread, args=(pid, loop, done), daemon=True).start()
        await over
        return
    loop.add_reader(handle, done)
    try:
        await over
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def _wait_in_thread(pid: int, loop: asyncio.AbstractEventLoop, done: Callable[[], None]) -> None:
    with contextlib.suppress(ChildProcessError):  # it was stopped meanwhile, and its status taken
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(done)


async def _stop_when_started(starting: asyncio.Future[_Child | Ended], program: Program, ears: Ears) -> None:
    while not starting.done():
        await _unshaken(0.001)
    started = starting.result()
    if isinstance(started, _Child):
        started.listen(ears)
        await _stop(started, program, ears)
        started.settle()


async def _stop(child: _Child, program: Program, ears: Ears) -> None:
    """End all processes of the program. Its first one stays unreaped meanwhile, so that nobody else gets its number."""
    group = child.process.pid
    left = child.members()
    _signal(group, left, signal.Signals[program.stop_signal])  # once: what they start to clean up is left alone for a while
    _signal(group, left, signal.SIGCONT)  # a stopped one would not hear it
    began_s, (pause_s, longest_s) = time.monotonic(), _LOOK_S
    while left:
        late_s = time.monotonic() - began_s - program.grace_s
        if late_s >= _HOPELESS_S:
            ears.note(f"could not be stopped: {', '.join(f'{member.name} ({member.pid})' for member in left)}")
            return
        if late_s >= 0:
            _signal(group, left, signal.SIGKILL)
        await _unshaken(pause_s if late_s >= 0 else min(pause_s, -late_s))
        pause_s = min(pause_s * 1.5, longest_s)
        if late_s >= 0 or _is_over(group):  # looking at all processes costs more than looking at one
            left = child.members()


def _is_over(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _signal(group: int, left: Sequence[Member], number: signal.Signals) -> None:
    if any(member.inside for member in left):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
    for member in left:
        if not member.inside:
            send(member, number)


async def _unshaken(seconds: float) -> None:
    """Wait. Being cancelled once more makes it shorter, not void: what was begun is brought to its end."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(seconds)


# ---------------------------------------------------------------- to start


def _start(program: Program) -> _Child | Ended:
    """Start it; or say why not."""
    files: list[str] = []
    ends: list[int] = []
    mark = os.urandom(8).hex()
    environment = {**({} if program.clean_env else os.environ), **program.env, _MARK: mark}
    try:
        words = [_private_file(word.data, files) if isinstance(word, Content) else word for word in program.words]
        (ours, stdout), (our_other, stderr) = _pipe(ends), _pipe(ends)
        stdin = _input(program.stdin, ends)
        process = subprocess.Popen(
            words,
            env=environment,
            cwd=program.cwd or None,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in a word, a text that is none
        _close(ends)
        _remove(files)
        return _not_started(program, environment, error)
    ends.remove(ours)
    ends.remove(our_other)
    _close(ends)
    return _Child(process, mark, (ours, our_other), files)


def _pipe(ends: list[int]) -> tuple[int, int]:
    pair = os.pipe()
    ends.extend(pair)
    return pair


def _input(data: bytes, ends: list[int]) -> int:
    """Return a file to read `data` from, in memory: nobody has to feed it, however slowly it is read."""
    if not data:
        return subprocess.DEVNULL
    fd = os.memfd_create("stdin")
    ends.append(fd)
    write_all(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _private_file(data: bytes, files: list[str]) -> str:
    """Write a file that only we can read, in memory where there is a place for that."""
    import tempfile

    place = str(_SHARED_MEMORY) if os.access(_SHARED_MEMORY, os.W_OK | os.X_OK) else None
    fd, path = tempfile.mkstemp(prefix="provisioning-", dir=place)
    files.append(path)
    try:
        write_all(fd, data)
    finally:
        os.close(fd)
    return path


def _close(ends: Sequence[int]) -> None:
    for fd in ends:
        os.close(fd)


def _remove(files: Sequence[str]) -> None:
    for path in files:
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108 - a text, as mkstemp gives it


def _not_started(program: Program, environment: dict[str, str], error: OSError | ValueError) -> Ended:
    name = program.words[0] if isinstance(program.words[0], str) else "the script"
    if not isinstance(error, OSError):
        return Ended(kind="start", message=f"{name} could not be started: {error}")
    if program.cwd and error.filename == program.cwd:
        return Ended(kind="start", message=f"{name} could not be started in {program.cwd}: {_why(error)}")
    if error.errno == errno.E2BIG:
        return Ended(kind="start", message=f"{name} could not be started: its arguments or environment are too large")
    if error.errno not in (errno.ENOENT, errno.ENOTDIR):
        return Ended(kind="start", message=f"{name} could not be started: {_why(error)}")
    if "/" in name:
        return Ended(kind="missing", message=f"there is no program {name}")
    return Ended(kind="missing", message=f"there is no program {name} in PATH ({':'.join(os.get_exec_path(environment))})")


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
