"""A slow and leaky link, for kernels without netem: holds back the packets of an iptables queue, and drops some.

    python delay.py QUEUE DELAY_MS JITTER_MS LOSS_PERCENT

Says "ready" and then works until it is ended. Only the packets' numbers come here, their content stays in the kernel.
"""

from __future__ import annotations

import heapq
import os
import random
import socket
import struct
import sys
import time
from collections.abc import Iterator

NETFILTER = 12  # the netlink family
QUEUE = 3 << 8  # messages of nfnetlink_queue: 0 packet, 1 verdict, 2 configuration
VERDICT, CONFIG = QUEUE | 1, QUEUE | 2
REQUEST, ACKNOWLEDGE = 1, 4
DROP, ACCEPT = 0, 1
SO_RCVBUFFORCE = 33
SOL_NETLINK, NO_ENOBUFS = 270, 5
FAIL_OPEN, TAKE_BUNDLES = 1, 4  # a full queue lets packets pass; segments that the card would cut are taken whole


class Queue:
    """One iptables queue, bound to us."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self._socket.setsockopt(SOL_NETLINK, NO_ENOBUFS, 1)
        self._send(CONFIG, _field(1, struct.pack(">BBH", 1, 0, 0)), REQUEST | ACKNOWLEDGE)  # bind
        (wrong,) = struct.unpack_from("i", self._socket.recv(65536), 16)
        if wrong:
            raise OSError(-wrong, os.strerror(-wrong))
        self._send(CONFIG, _field(2, struct.pack(">IB", 0, 1)))  # numbers only, no content
        self._send(CONFIG, _field(3, struct.pack(">I", 50_000)))  # packets that may wait
        flags = struct.pack(">I", FAIL_OPEN | TAKE_BUNDLES)
        self._send(CONFIG, _field(4, flags) + _field(5, flags))

    def packets(self, wait_s: float | None) -> list[int]:
        """Return the packets that came within so many seconds; None waits for one."""
        self._socket.settimeout(wait_s if wait_s is None else max(wait_s, 1e-6))
        try:
            return list(_numbers(self._socket.recv(1 << 20)))
        except (TimeoutError, BlockingIOError):
            return []

    def decide(self, packet: int, verdict: int) -> None:
        """Let a packet go on, or drop it."""
        self._send(VERDICT, _field(2, struct.pack(">II", verdict, packet)))

    def _send(self, kind: int, body: bytes, flags: int = REQUEST) -> None:
        header = struct.pack("IHHII", 20 + len(body), kind, flags, 0, 0)
        self._socket.send(header + struct.pack(">BBH", 0, 0, self._number) + body)


def _field(kind: int, data: bytes) -> bytes:
    return struct.pack("HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _numbers(data: bytes) -> Iterator[int]:
    """Find the packets' numbers in netlink messages."""
    at = 0
    while at + 20 <= len(data):
        length, kind = struct.unpack_from("IH", data, at)
        if kind == QUEUE:
            yield from _number(data[at + 20 : at + length])
        at += (max(length, 16) + 3) & ~3


def _number(fields: bytes) -> Iterator[int]:
    at = 0
    while at + 8 <= len(fields):
        length, kind = struct.unpack_from("HH", fields, at)
        if kind & 0x3FFF == 1:
            yield struct.unpack_from(">I", fields, at + 4)[0]
            return
        at += (max(length, 4) + 3) & ~3


def hold_back(queue: Queue, delay_ms: float, jitter_ms: float, loss_percent: float) -> None:
    """Give every packet its time and its luck. Does not return."""
    waiting: list[tuple[float, int, int]] = []
    count = 0
    while True:
        packets = queue.packets(waiting[0][0] - time.monotonic() if waiting else None)
        now = time.monotonic()
        for packet in packets:
            if random.random() * 100 < loss_percent:
                queue.decide(packet, DROP)
                continue
            count += 1
            wait_s = max(0.0, delay_ms + random.uniform(-jitter_ms, jitter_ms)) / 1000
            heapq.heappush(waiting, (now + wait_s, count, packet))
        while waiting and waiting[0][0] <= time.monotonic():
            queue.decide(heapq.heappop(waiting)[2], ACCEPT)


if __name__ == "__main__":
    bound = Queue(int(sys.argv[1]))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    hold_back(bound, *(float(word) for word in sys.argv[2:5]))
