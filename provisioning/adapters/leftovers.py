"""What an engine that died has left running: the processes of its run, found by the run's id in their environment."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterable

from provisioning.adapters.members import Member, bearers, send

RUN_VARIABLE = "PROVISIONING_RUN_ID"  # in the environment of every program that is started for a run
_LOOK_S = (0.01, 0.2)  # between looks at what is still there: the first, the longest
_HOPELESS_S = 5.0  # of being killed


def leftovers(run_id: str) -> list[Member]:
    """Return our user's processes that work for a run, this one aside. One that is just being started may be missing."""
    return bearers(f"{RUN_VARIABLE}={run_id}".encode())


async def end_leftovers(run_id: str, grace_s: float) -> list[Member]:
    """End all processes of a run: SIGTERM, and after `grace_s` SIGKILL. Return those that could not be ended.

    Only for a run that nobody drives: whoever calls holds its lock. What they start to clean up is left alone for a while.
    """
    left = await _looked_for(run_id)
    _send(left, signal.SIGTERM)
    _send(left, signal.SIGCONT)  # a stopped one would not hear it
    began_s, (pause_s, longest_s) = time.monotonic(), _LOOK_S
    while left:
        late_s = time.monotonic() - began_s - grace_s
        if late_s >= _HOPELESS_S:
            break
        if late_s >= 0:
            _send(left, signal.SIGKILL)
        await asyncio.sleep(pause_s if late_s >= 0 else min(pause_s, -late_s))
        pause_s = min(pause_s * 1.5, longest_s)
        left = leftovers(run_id) or await _looked_for(run_id)
    return left


async def _looked_for(run_id: str) -> list[Member]:
    """Look twice: while the kernel replaces a process by a program, it shows no environment of it for a moment."""
    first = leftovers(run_id)
    await asyncio.sleep(_LOOK_S[0])
    return list(dict.fromkeys((*first, *leftovers(run_id))))


def _send(members: Iterable[Member], number: signal.Signals) -> None:
    for member in members:
        send(member, number)
