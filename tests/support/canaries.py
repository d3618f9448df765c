"""Secrets that nothing else contains, and a search for them in all the places and spellings in which one may turn up."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

SEED = 20260106
SAMPLE_EVERY_S = 0.005
SHARED = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/run"), Path("/var/log"))
MOST_BYTES = 256 * 1024 * 1024  # of one file; larger ones are no files of ours


def canaries(folder: Path, count: int = 20) -> dict[str, str]:
    """Return secrets by name, with what shells, URLs and JSON would change in them; other folders have other ones."""
    dice = random.Random(f"{SEED} {folder}")
    return {f"secret_{number}": f"cnry{dice.getrandbits(64):016x} '\"$&/+%é{number}" for number in range(count)}


def forms(secret: str) -> Iterator[bytes]:
    """Yield how a secret may be written: plain, its telling part, URL-encoded, as JSON, base64 at each of three offsets."""
    raw = secret.encode()
    yield raw
    yield telling(secret)
    yield quote(secret, safe="").encode()
    yield json.dumps(secret).strip('"').encode()
    for shift in range(3):
        skipped = (3 - shift) % 3  # whole groups of three bytes look the same whatever is around them
        inner = raw[skipped : skipped + (len(raw) - skipped) // 3 * 3]
        yield base64.b64encode(inner)


def telling(secret: str) -> bytes:
    """Return the part of a canary that is the same in every spelling but base64, and that nothing else contains."""
    return secret.encode()[:20]


def hits(data: bytes, secrets: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets that are in some bytes."""
    return [name for name, secret in secrets.items() if any(form in data for form in forms(secret))]


def files_with(folder: Path, secrets: Mapping[str, str], allowed: Iterable[Path] = ()) -> tuple[list[str], int]:
    """Return the files below a folder that hold a secret, and how many were read."""
    return _search(folder, secrets, lambda path: path not in allowed)


def shared_entries() -> frozenset[Path]:
    """Return what is in the folders that all programs share."""
    return frozenset(path for folder in SHARED for path in folder.iterdir())


def new_files_with(before: frozenset[Path], secrets: Mapping[str, str]) -> tuple[list[str], int]:
    """Return the files that hold a secret in what has been added to those folders since then, and how many were read."""
    found: list[str] = []
    count = 0
    for path in shared_entries() - before:
        fresh = _search(path, secrets, lambda _path: True)
        found, count = found + [f"{path}/{one}" for one in fresh[0]], count + fresh[1]
    return found, count


def _search(folder: Path, secrets: Mapping[str, str], wanted: Callable[[Path], bool]) -> tuple[list[str], int]:
    found, count = [], 0
    paths = [Path(at, name) for at, _folders, names in os.walk(folder) for name in names]
    for path in paths or [folder]:
        with suppress(OSError):  # other people's files come and go
            if path.is_file() and not path.is_symlink() and wanted(path) and path.stat().st_size < MOST_BYTES:
                count += 1
                found += [f"{path.relative_to(folder)}: {name}" for name in hits(path.read_bytes(), secrets)]
    return found, count


# ---------------------------------------------------------------- processes


@dataclass(slots=True, kw_only=True)
class Sampled:
    """What was seen of the processes that were started meanwhile."""

    found: list[str] = field(default_factory=list)
    reads: int = 0  # of a cmdline or an environ
    rounds: int = 0
    seconds: float = 0.0

    @property
    def rate_hz(self) -> float:
        """How often each process was looked at."""
        return self.rounds / self.seconds if self.seconds else 0.0


@contextmanager
def sampled(secrets: Mapping[str, str]) -> Iterator[Sampled]:
    """Read arguments and environment of every process that we or our servers start from now on, again and again."""
    seen, over = Sampled(), threading.Event()
    before = _processes()  # now: a process that starts before the thread has looked around is a new one too
    thread = threading.Thread(target=_look, args=(seen, over, secrets, _family(), before))
    began_s = time.monotonic()
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
        seen.seconds = time.monotonic() - began_s


def _look(seen: Sampled, over: threading.Event, secrets: Mapping[str, str], family: set[str], known: set[str]) -> None:
    watched: set[str] = set()
    while not over.wait(SAMPLE_EVERY_S):
        seen.rounds += 1
        there = _processes()
        for pid in sorted(there - known, key=int):
            if _parent(pid) in family | watched:
                watched.add(pid)
        known, watched = there, watched & there
        for pid in watched:
            _read(seen, pid, secrets)


def _read(seen: Sampled, pid: str, secrets: Mapping[str, str]) -> None:
    texts: dict[str, bytes] = {}
    for part in ("cmdline", "environ"):
        with suppress(OSError):
            texts[part] = Path(f"/proc/{pid}/{part}").read_bytes()
            seen.reads += 1
    called = texts.get("cmdline", b"").replace(b"\0", b" ")[:80].decode("utf-8", "replace")
    for part, data in texts.items():
        seen.found += [f"{part} of {called}: {name}" for name, secret in secrets.items() if telling(secret) in data]


def _family() -> set[str]:
    """Return ourselves, all that we have started, and who takes in orphans."""
    family = {str(os.getpid()), "1"}
    for pid in sorted(_processes(), key=int):
        if _parent(pid) in family - {"1"}:
            family.add(pid)
    return family


def _processes() -> set[str]:
    return {path.name for path in Path("/proc").iterdir() if path.name.isdigit()}


def _parent(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1]
    except OSError:
        return ""


@contextmanager
def executions(log: Path, pid: int) -> Iterator[None]:
    """Write every program that a process and its children start into `log`, arguments and environment in full."""
    words = ["strace", "-f", "-qq", "-v", "-s", "1000000", "-e", "trace=execve", "-o", str(log), f"-p{pid}"]
    tracer = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 60
        while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text("utf-8"):
            assert tracer.poll() is None, "strace did not attach"
            assert time.monotonic() < until, "strace did not attach"
            time.sleep(0.01)
        yield
    finally:
        tracer.terminate()
        tracer.communicate()
