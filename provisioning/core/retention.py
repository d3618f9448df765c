"""When a cluster's streams may forget a run that has ended. Pure: the time is passed in.

A run may go once it is old enough and whoever keeps what the streams hold, has all of it: every reader that is registered
and was heard of lately. A reader that was away for longer than `forget_s` asks another one when it comes back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from provisioning.core.frozen import dataclass

GRACE_S = 3600.0
"""How long what no run refers to stays, since it was stored: its run may be about to begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Whoever keeps what a stream holds. It has everything up to and with `seq`, a sequence of that stream."""

    name: str
    seq: int
    at: datetime  # when it said so


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that has ended. `seq` is the sequence of its newest message in the stream."""

    run: str
    seq: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """For how many seconds a stream keeps an ended run, and how long a silent reader is waited for."""

    ended_s: float
    forget_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is stored under its digest for any number of runs. `seq` is the newest place where it was stored as a whole."""

    digest: str
    seq: int
    at: datetime  # when that was


def unused(contents: Iterable[Content], used: Collection[str], now: datetime, grace_s: float = GRACE_S) -> list[Content]:
    """Return what may go up to its `seq`: no run refers to it, and it was stored too long ago for one that begins now.

    Whoever begins a run has stored what it refers to since less than half of `grace_s`.
    """
    before = now - timedelta(seconds=grace_s)
    return [one for one in contents if one.digest not in used and one.at < before]


def counted(readers: Iterable[Reader], now: datetime, keep: Keep) -> list[Reader]:
    """Return the readers that are waited for."""
    return [reader for reader in readers if now - reader.at <= timedelta(seconds=keep.forget_s)]


def read_by_all(readers: Iterable[Reader], now: datetime, keep: Keep) -> int:
    """Return up to which sequence every reader that is waited for has read; 0 when there is none: then nothing may go."""
    return min((reader.seq for reader in counted(readers, now, keep)), default=0)


def removable(ended: Iterable[Ended], readers: Iterable[Reader], now: datetime, keep: Keep) -> list[Ended]:
    """Return the runs that may go, oldest end first."""
    upto, before = read_by_all(readers, now, keep), now - timedelta(seconds=keep.ended_s)
    return sorted((run for run in ended if run.seq <= upto and run.at <= before), key=lambda run: (run.at, run.run))
