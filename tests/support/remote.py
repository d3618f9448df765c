"""Units and bundles to send to a real bash, and eyes on what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import tarfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from support.closing import closed_at_end

from provisioning.adapters.local import LocalShell
from provisioning.adapters.remote.link import RemoteLink
from provisioning.adapters.remote.request import unit_name
from provisioning.adapters.remote.wire import Shell, Wire
from provisioning.core.hosts import Bundle, Unit
from provisioning.errors import Unreachable


class Heard:
    """An output that remembers."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def __call__(self, data: bytes) -> None:
        self.pieces.append(data)

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


def packed(files: Mapping[str, str | bytes]) -> bytes:
    """Return a tar.gz of files by name."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in files.items():
            content = text.encode() if isinstance(text, str) else text
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()


def bundle_of(script: str, **changes: object) -> Bundle:
    """Return a bundle whose entry is `script`."""
    fields: dict[str, object] = {"data": packed({"install-web.sh": script}), "digest": "d1", "entry": "install-web.sh"}
    return Bundle(**{**fields, **changes})  # type: ignore[arg-type]


def unit_of(**changes: object) -> Unit:
    """Return a unit of taskserv web on server web-0."""
    fields: dict[str, object] = {
        "lineage": "8c5f5a0e-0000-4000-8000-000000000000",
        "run": "run-1",
        "step": "web/web",
        "attempt": 1,
        "server": "web-0",
        "taskserv": "web",
        "formula": "web",
        "digest": "d1",
        "timeout_s": 30.0,
    }
    return Unit(**{**fields, **changes})  # type: ignore[arg-type]


def local_shell(home: Path, **environment: str) -> LocalShell:
    """Return this machine as a server whose units live in `home`."""
    return LocalShell(
        environment={"PATH": os.environ["PATH"], "HOME": str(home), "PROVISIONING_HOME": str(home), **environment}
    )


def local_link(home: Path, *, patience_s: float = 10.0, **environment: str) -> RemoteLink:
    """Return a link to this machine, which is closed when the test ends."""
    return closed_at_end(RemoteLink(local_shell(home, **environment), patience_s=patience_s))


class MortalShell:
    """A shell that can die: from then on nothing can be opened."""

    def __init__(self, shell: Shell) -> None:
        self._shell, self._dead = shell, False
        self.server, self.refusal = shell.server, shell.refusal

    async def open(self, program: bytes) -> Wire:
        if self._dead:
            raise Unreachable("nobody asks")
        return await self._shell.open(program)

    def die(self) -> None:
        self._dead = True


def unit_folder(home: Path, unit: Unit) -> Path:
    """Return where a unit keeps its claim and result."""
    return home / unit.lineage / "units" / unit_name(unit.run, unit.attempt, unit.step)


def counting(counter: Path, *rest: str) -> str:
    """Return a script that leaves one line in `counter` each time it is run."""
    return "\n".join((f"echo ran >> '{counter}'", *rest, ""))


def runs(counter: Path) -> int:
    """Return how often such a script was run."""
    return len(counter.read_text().splitlines()) if counter.exists() else 0


def alive_with(mark: str) -> list[int]:
    """Return the processes that have `mark` in their environment or arguments."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            texts = [(folder / name).read_bytes() for name in ("environ", "cmdline")]
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z" and any(mark.encode() in text for text in texts):
            found.append(int(folder.name))
    return found


def members_of(home: Path, unit: Unit) -> list[int]:
    """Return the processes that the script of a unit has started and that are alive."""
    return alive_with(f"PROVISIONING_UNIT={unit_folder(home, unit)}\0")


def name_of(pid: int) -> str:
    """Return the program's name, empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def commands_with(mark: str) -> list[int]:
    """Return those of them that are not the wrapper."""
    return [pid for pid in alive_with(mark) if name_of(pid) not in {"perl", ""}]


def end_all(mark: str) -> None:
    """Kill what a test has left."""
    for pid in alive_with(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def open_folders(home: Path) -> list[Path]:
    """Return the folders that others could look into."""
    return [path for path in (home, *home.rglob("*")) if path.is_dir() and path.stat().st_mode & 0o077]


def files_with(home: Path, text: bytes) -> set[str]:
    """Return the names of files that hold `text`."""
    return {path.name for path in home.rglob("*") if path.is_file() and text in path.read_bytes()}


async def until(condition: Callable[[], object], *, patience_s: float = 60.0) -> None:
    """Wait until something outside of our control has happened."""
    limit = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < limit, "it did not happen in time"
        await asyncio.sleep(0.01)


async def timed(work: Awaitable[object]) -> float:
    """Return how many seconds it took."""
    began = time.monotonic()
    await work
    return time.monotonic() - began
