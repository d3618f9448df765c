"""Worker processes of a cluster, started as a user would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from support.nursery import Call, Forked

from provisioning.adapters.nats.connect import Access

COMMAND = str(Path(sys.executable).with_name("provisioning"))
MODULES = {"provisioning": "provisioning_cli.main", "dag-engine": "provisioning_cli.engine_main"}
ENDS_WITHIN_S = 60.0


def reach(access: Access) -> tuple[str, ...]:
    """Return the options that lead to a test's namespace."""
    return ("--nats", access.urls[0], "--namespace", access.namespace)


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return what a process sees whose user has this home."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PROVISIONING_", "XDG_"))}
    return {**plain, "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path), **more}


class Shell:
    """Calls of the command line in a folder, which is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def __call__(self, *arguments: str, program: str = COMMAND) -> subprocess.CompletedProcess[str]:
        """Call a program, and return what it said."""
        with _forked(self.folder, program, *arguments) as running:
            out, err = running.communicate()
            return subprocess.CompletedProcess([program, *arguments], running.wait(), out, err)

    def facts(self, noun: str, verb: str, *arguments: str) -> Any:
        """Return what a command says as JSON."""
        done = self(noun, verb, "-o", "json", *arguments)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def begin(self, *arguments: str) -> Forked:
        """Call the command, and return at once."""
        return _forked(self.folder, COMMAND, *arguments)


def _forked(folder: Path, program: str, *arguments: str, err: int | None = None, **variables: str) -> Forked:
    seen = environment(folder, **variables)
    return Forked(Call(module=MODULES[Path(program).name], arguments=arguments, folder=str(folder), environment=seen), err=err)


class WorkerProcess:
    """`provisioning worker start`, which has said that it is ready."""

    def __init__(self, process: subprocess.Popen[str] | Forked, log: Path) -> None:
        self.process, self.log = process, log
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"no worker: {log.read_text('utf-8')}"
        self.said: Mapping[str, Any] = json.loads(line)

    @property
    def messages(self) -> str:
        """What it has said to its user."""
        return self.log.read_text("utf-8")

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and return its exit code."""
        self.process.send_signal(how)
        return self.process.wait(ENDS_WITHIN_S)


@contextmanager
def worker(folder: Path, *arguments: str, prefix: Sequence[str] = (), **variables: str) -> Iterator[WorkerProcess]:
    """Have a worker at work whose home is `folder`; it is killed at the end if it is still there."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "messages"
    words = ("worker", "start", "-o", "json", *arguments)
    with log.open("w", encoding="utf-8") as messages:
        process: subprocess.Popen[str] | Forked
        if prefix:
            process = _started([*prefix, COMMAND, *words], folder, messages, variables)
        else:
            process = _forked(folder, COMMAND, *words, err=messages.fileno(), **variables)
    try:
        yield WorkerProcess(process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _started(words: Sequence[str], folder: Path, messages: IO[str], variables: Mapping[str, str]) -> subprocess.Popen[str]:
    seen = environment(folder, **variables)
    return subprocess.Popen(words, cwd=folder, env=seen, stdout=subprocess.PIPE, stderr=messages, text=True)
