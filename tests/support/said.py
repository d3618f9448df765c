"""Ears that remember what they heard of a program or command."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from provisioning.core.outside import Ears

KEPT_BYTES = 10_000


@dataclass
class Said:
    """What was heard last on each stream, how much there was, and what we had to say ourselves."""

    stdout: bytes = b""
    stderr: bytes = b""
    counts: list[int] = field(default_factory=lambda: [0, 0])
    notes: list[str] = field(default_factory=list)
    first: asyncio.Event = field(default_factory=asyncio.Event)  # set by the first word on standard output

    def __post_init__(self) -> None:
        self.ears = Ears(stdout=self._out, stderr=self._err, note=self.notes.append)

    def _out(self, data: bytes) -> None:
        self.counts[0] += len(data)
        self.stdout = (self.stdout + data)[-KEPT_BYTES:]
        self.first.set()

    def _err(self, data: bytes) -> None:
        self.counts[1] += len(data)
        self.stderr = (self.stderr + data)[-KEPT_BYTES:]
