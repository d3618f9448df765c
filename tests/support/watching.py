"""The program run on a workspace, looked at from outside while it runs: its memory, its threads, its open files."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from support.real import Ended, RealWorkspace

LOOK_EVERY_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How a call ended and the most that it used at any time."""

    ended: Ended
    peak_mib: float  # resident
    threads: int
    files: int  # open at once: sockets and pipes too


def watched(workspace: RealWorkspace, *arguments: str, timeout_s: float = 150) -> Watched:
    """Run the program to its end. Its output goes to files, so that nobody has to read along."""
    folder = workspace.folder.parent
    with (folder / "printed").open("w") as out, (folder / "said").open("w") as err:
        child = subprocess.Popen(workspace.command(*arguments), stdout=out, stderr=err)
        most = _look_until_it_ends(child, timeout_s)
    ended = Ended(code=child.returncode, out=(folder / "printed").read_text("utf-8"), err=(folder / "said").read_text("utf-8"))
    return Watched(ended=ended, peak_mib=most[0] / 1024, threads=most[1], files=most[2])


def _look_until_it_ends(child: subprocess.Popen[bytes], timeout_s: float) -> tuple[int, int, int]:
    peak_kib = threads = files = 0
    until = time.monotonic() + timeout_s
    while child.poll() is None:
        if time.monotonic() > until:
            child.kill()
            raise AssertionError(f"it took more than {timeout_s} s")
        with suppress(OSError, IndexError, ValueError):  # it has just ended
            status = Path(f"/proc/{child.pid}/status").read_text("utf-8")
            peak_kib = max(peak_kib, int(status.split("VmHWM:")[1].split()[0]))
            threads = max(threads, int(status.split("Threads:")[1].split()[0]))
            files = max(files, len(list(Path(f"/proc/{child.pid}/fd").iterdir())))
        time.sleep(LOOK_EVERY_S)
    return peak_kib, threads, files


def on_a_terminal(workspace: RealWorkspace, *arguments: str) -> tuple[int, bytes]:
    """Run the program on a terminal of its own; return its exit code and every byte that the terminal was sent."""
    ours, its = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        child = subprocess.Popen(
            workspace.command(*arguments), stdin=its, stdout=its, stderr=its, start_new_session=True, env=_terminal()
        )
        os.close(its)
        shown = _all_of(screen)
    return child.wait(timeout=120), shown


def _terminal() -> dict[str, str]:
    return {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}


def _all_of(screen: IO[bytes]) -> bytes:
    shown = b""
    with suppress(OSError):  # what a terminal says when nobody is left on its other side
        while piece := screen.read(65536):
            shown += piece
    return shown
