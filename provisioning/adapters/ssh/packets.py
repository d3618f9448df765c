"""How paramiko reads and writes packets. Imports paramiko: to be imported where a connection is made."""

from __future__ import annotations

import math
import time

from paramiko.packet import Packetizer


class Packets(Packetizer):
    """Limits the time of a handshake by looking at the clock. paramiko has a thread wait for it, one for every connection."""

    _until_s: float | None = None  # no handshake has begun

    def start_handshake(self, timeout: float) -> None:
        """See Packetizer: only the first one is limited."""
        if self._until_s is None:
            self._until_s = time.monotonic() + timeout

    def handshake_timed_out(self) -> bool:
        """See Packetizer."""
        return self._until_s is not None and time.monotonic() > self._until_s

    def complete_handshake(self) -> None:
        """See Packetizer."""
        self._until_s = math.inf
