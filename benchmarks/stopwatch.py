"""Time one command as a whole process, and everything that it starts: `python -I stopwatch.py REPORT COMMAND ...`.

A small process of its own, so that what the kernel counts for its children is the command's alone. Processes that the
command leaves behind (connections that stay open, say) become this one's children; they are ended, and counted too.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_PATIENCE_S = 3.0


def main(report: str, *command: str) -> int:
    """Run the command; write exit code, wall and processor seconds and the peak bytes of its largest process to `report`."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    began_s = time.perf_counter()
    code = subprocess.call(command, stdin=subprocess.DEVNULL)
    wall_s = time.perf_counter() - began_s
    _end_children()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = {"code": code, "wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime, "peak_bytes": used.ru_maxrss * 1024}
    Path(report).write_text(json.dumps(facts), "utf-8")
    return code


def _end_children() -> None:
    """End what is left, and what that leaves. A child's id stays its own until we have waited for it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            for child in _children():
                os.kill(child, number)
            if _reaped_all():
                return
            time.sleep(0.01)


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()]


def _reaped_all() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
