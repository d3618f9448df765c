"""Actions without a worker: a task, a context that remembers, and what an action made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provisioning.adapters.memory.clock import FakeClock
from provisioning.core.model import Action
from provisioning.core.ports import Clock, Task


class Heard:
    """Fulfils `engine.actions.Context`, both streams together. Of a flood only the beginning is kept, and its size."""

    path = err_path = ""

    def __init__(self, clock: Clock | None = None, keep_bytes: int = 1_000_000) -> None:
        self.clock: Clock = clock or FakeClock()
        self.data = bytearray()
        self.total_bytes = 0
        self.notes: list[str] = []
        self.secrets: dict[str, str] = {}
        self._keep_bytes = keep_bytes

    def write(self, data: bytes) -> None:
        self.total_bytes += len(data)
        self.data += data[: max(0, self._keep_bytes - len(self.data))]

    out = err = write

    def open(self) -> None:
        """There is nothing to open."""

    def apart(self) -> None:
        """They stay together."""

    def tail(self, kind: str) -> str:
        return self.data.decode("utf-8", "replace") if kind == "out" else ""

    def mask(self, secrets: Mapping[str, str]) -> None:
        self.secrets.update(secrets)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def last_lines(self, count: int = 10) -> list[str]:
        return self.data.decode().splitlines()[-count:]

    @property
    def said(self) -> str:
        """Everything that went to the log."""
        return "\n".join([self.data.decode("utf-8", "replace"), *self.notes])


def task_of(type_: str, *, args: object = None, run: str = "run-1", attempt: int = 1, **settings: Any) -> Task:
    """Return an attempt of a step with these settings."""
    action = Action(type=type_, settings=settings)
    return Task(run=run, step="build/app", attempt=attempt, epoch=1, action=action, args=args)


def alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def holders(path: Path) -> list[int]:
    """Return the processes whose current folder is `path`: whatever a test starts there, wherever it went."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and alive(int(entry.name)):
            try:
                if (entry / "cwd").readlink() == path:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
