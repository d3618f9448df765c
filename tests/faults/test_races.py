"""Runners that start together: one proceeds, the others are refused at once and told who it is."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.racing import race_report

from provisioning.adapters.lock import WorkspaceLock
from provisioning.errors import LockedError

SEED = 20260105
REFUSED_WITHIN_S = 1.0


def judge(found: dict[str, Any]) -> float:
    """Judge one round; return the seconds of the slowest refusal, those not counted in which others had the cores."""
    winners = [one for one in found["ended"] if one["code"] == 0]
    losers = [one for one in found["ended"] if one["code"] != 0]
    assert len(winners) == 1, found
    winner = winners[0]["pid"]
    for one in losers:
        assert one["code"] == 6, one
        assert f"@{socket.gethostname()}, pid {winner}, since 20" in one["err"], one["err"]
    assert set(found["steps"]) == {str(winner)}, "no other runner has begun a step"
    assert len(found["steps"]) == 3, "no step twice"
    assert set(found["states"].values()) == {"completed"}
    return max((one["seconds"] for one in losers), default=0.0)


def races(folder: Path, say: Callable[[str], None], *, rounds: int, timeout_s: float) -> None:
    found = race_report(folder, rounds=rounds, seed=SEED, timeout_s=timeout_s)
    slowest = max(judge(one) for one in found)
    runners = sum(one["size"] for one in found)
    told = f"{rounds} proceeded, {runners - rounds} refused, the slowest in {slowest:.2f} s"
    say(f"{rounds} races of {runners} runners, seed {SEED}: {told}")
    assert slowest < REFUSED_WITHIN_S


@pytest.mark.timeout(600)
def test_of_two_to_eight_runners_exactly_one_proceeds(tmp_path: Path, say: Callable[[str], None]) -> None:
    races(tmp_path, say, rounds=10, timeout_s=230)


class SlowDisk(WorkspaceLock):
    """Takes a while between the lock and the signature."""

    def __init__(self, folder: Path, taken: threading.Event) -> None:
        super().__init__(folder)
        self._taken = taken

    def _next_token(self) -> int:
        self._taken.set()
        time.sleep(0.15)  # a disk that syncs slowly
        return super()._next_token()


def test_a_holder_that_signs_slowly_is_not_taken_for_the_one_before(tmp_path: Path) -> None:
    before, taken = WorkspaceLock(tmp_path), threading.Event()
    before.acquire_sync()
    before.release_sync()
    before.path.write_text('{"user": "x", "host": "y", "pid": 1, "since": "then"}')
    holder = SlowDisk(tmp_path, taken)
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(holder.acquire_sync)
        taken.wait(10)
        with pytest.raises(LockedError) as refused:
            WorkspaceLock(tmp_path).acquire_sync()
        holding.result()
    assert f"pid {os.getpid()}, since 20" in refused.value.message
    holder.release_sync()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_hundred_races(tmp_path: Path, say: Callable[[str], None]) -> None:
    races(tmp_path, say, rounds=200, timeout_s=3500)
