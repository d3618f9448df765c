"""The lab's network: one namespace that routes between the hosts and the machine below, and that can be told to fail.

Every packet passes the switch, whether it goes from host to host or between a host and the runner. Two chains of rules
sit there: CUT drops packets silently, as a pulled cable does; SLOW hands them to `delay.py`, or drops some.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lab.place import Place
from lab.shell import LabError, ended, run, start, tail

RUNNER = "runner"
BOTH = "both"
PROXY_PORT = 3142
_HERE = Path(__file__).parent


class Network:
    """The wires of one lab. State is in the kernel, so any process can go on where another one stopped."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def up(self) -> None:
        """Make the switch and our own link to it, if they are not there."""
        place, net = self._place, self._place.net
        if Path("/run/netns", place.switch).exists():
            return
        run("ip", "netns", "add", place.switch)
        run("ip", "link", "add", _root(place), "type", "veth", "peer", "name", "runner", "netns", place.switch)
        run("ip", "addr", "add", f"{place.runner}/24", "dev", _root(place))
        run("ip", "link", "set", _root(place), "gso_max_segs", "1", "up")
        run("ip", "link", "set", "lo", "up", inside=place.switch)
        run("ip", "addr", "add", f"{net}.0.1/24", "dev", "runner", inside=place.switch)
        run("ip", "link", "set", "runner", "up", inside=place.switch)
        run("sysctl", "-qw", "net.ipv4.ip_forward=1", inside=place.switch)
        for chain in ("CUT", "SLOW"):
            self._rule("-N", chain)
            self._rule("-A", "FORWARD", "-j", chain)
        run("ip", "route", "add", f"{net}.0.0/16", "via", f"{net}.0.1")

    def down(self) -> None:
        """Remove the switch and our link; the hosts' links go with it."""
        run("ip", "netns", "del", self._place.switch, check=False)
        run("ip", "link", "del", _root(self._place), check=False)

    def attach(self, number: int) -> None:
        """Make a host's namespace and its link. One packet per segment: faults then hit real packets, not 64 KB bundles."""
        place, own, link = self._place, self._place.namespace(number), _link(number)
        run("ip", "netns", "add", own)
        run("ip", "link", "add", link, "netns", place.switch, "type", "veth", "peer", "name", "eth0", "netns", own)
        run("ip", "addr", "add", f"{place.net}.{number}.1/24", "dev", link, inside=place.switch)
        run("ip", "link", "set", link, "gso_max_segs", "1", "up", inside=place.switch)
        run("ip", "link", "set", "lo", "up", inside=own)
        run("ip", "addr", "add", f"{place.address(number)}/24", "dev", "eth0", inside=own)
        run("ip", "link", "set", "eth0", "gso_max_segs", "1", "up", inside=own)
        run("ip", "route", "add", "default", "via", f"{place.net}.{number}.1", inside=own)

    def detach(self, number: int) -> None:
        """Remove a host's namespace and its link."""
        self.steady(number)
        run("ip", "netns", "del", self._place.namespace(number), check=False)

    # ------------------------------------------------------------ faults

    def cut(self, number: int, peers: Sequence[int | str] = (), *, direction: str = BOTH, why: str = "cut") -> None:
        """Drop what goes from a host (`out`), to it (`in`) or `both`; with `peers`, only between it and them."""
        for peer in [_link(peer) for peer in peers] or [""]:
            for word, own, other in (("out", "-i", "-o"), ("in", "-o", "-i")):
                if direction in {BOTH, word}:
                    towards = (other, peer) if peer else ()
                    self._rule("-A", "CUT", own, _link(number), *towards, *_comment(why, number), "-j", "DROP")

    def mend(self, number: int, *, why: str = "cut") -> None:
        """Take back every cut of a host that was made for this reason."""
        self._forget("CUT", why, number)

    def slow(self, number: int, *, delay_ms: float, jitter_ms: float, loss_percent: float) -> None:
        """Delay each packet to and from a host, and lose some. Replaces what was set before."""
        self.steady(number)
        queue, record, log = 100 + number, self._record(number), self._record(number).with_suffix(".log")
        log.unlink(missing_ok=True)
        script = [sys.executable, _HERE / "delay.py", queue, delay_ms, jitter_ms, loss_percent]
        start(*script, record=record, log=log, inside=self._place.switch)
        wait_for_word("ready", log)
        for way in ("-i", "-o"):
            verdict = ("-j", "NFQUEUE", "--queue-num", str(queue), "--queue-bypass")
            self._rule("-A", "SLOW", way, _link(number), *_comment("slow", number), *verdict)

    def steady(self, number: int) -> None:
        """Take back what `slow` did."""
        self._forget("SLOW", "slow", number)
        ended(self._record(number))

    def reset(self, number: int) -> None:
        """Break our connections to a host: both ends get a reset."""
        run("ss", "--kill", "dst", self._place.address(number))

    def drop_connections(self, number: int) -> None:
        """Let a host's kernel forget its TCP connections, as it does in a crash: it would send what is left to be sent."""
        run("ss", "--kill", "--tcp", "--all", inside=self._place.namespace(number))

    def _record(self, number: int) -> Path:
        return self._place.hosts / str(number) / "delay.pid"

    def _forget(self, chain: str, why: str, number: int) -> None:
        for line in self._rule("-S", chain, check=False).splitlines():
            words = line.replace('"', "").split()
            if words[0] == "-A" and f"{why}:{number}" in words:
                self._rule("-D", *words[1:])

    def _rule(self, *words: str, check: bool = True) -> str:
        return run("iptables", "-w", *words, inside=self._place.switch, check=check).stdout


def wait_for_word(word: str, log: Path, *, patience_s: float = 60.0) -> None:
    """Wait until a helper process says so. Raises LabError with what it said instead."""
    until = time.monotonic() + patience_s
    while word not in tail(log):
        if time.monotonic() > until:
            raise LabError(f"{log.stem} did not start: {tail(log)}")
        time.sleep(0.02)


def _root(place: Place) -> str:
    return f"{place.tag}rt"


def _link(peer: int | str) -> str:
    return RUNNER if peer == RUNNER else f"h{peer}"


def _comment(why: str, number: int) -> tuple[str, ...]:
    return ("-m", "comment", "--comment", f"{why}:{number}")
