"""What can go wrong with a server: its link, its processes, its power, its keys."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from lab.machine import Machine
from lab.network import BOTH
from lab.shell import LabError, killed

_CRASH = "crash"  # cuts of this kind end with the next boot, not with `heal`


class Host(Machine):
    """A machine of the lab with everything that can happen to it."""

    # ------------------------------------------------------------ its link

    def partition(self, *peers: int | str, direction: str = BOTH) -> None:
        """Drop its packets silently, as a cut cable does: those of all, or to and from hosts by number, or "runner".

        `direction` is "in", "out" or "both", as the host sees it.
        """
        self.network.cut(self.number, peers, direction=direction)

    def heal(self) -> None:
        """End all partitions, delays and losses of this host."""
        self.network.mend(self.number)
        self.network.steady(self.number)

    @contextlib.contextmanager
    def partitioned(self, *peers: int | str, direction: str = BOTH) -> Iterator[None]:
        """Do something while it is cut off."""
        self.partition(*peers, direction=direction)
        try:
            yield
        finally:
            self.network.mend(self.number)

    def slow(self, *, delay_ms: float = 0, jitter_ms: float = 0, loss_percent: float = 0) -> None:
        """Delay each packet to and from it, and lose some of them; a round trip from the runner takes twice the delay."""
        self.network.slow(self.number, delay_ms=delay_ms, jitter_ms=jitter_ms, loss_percent=loss_percent)

    def reset_connections(self) -> None:
        """Reset the runner's TCP connections to it."""
        self.network.reset(self.number)

    # ------------------------------------------------------------ its processes

    def freeze(self) -> None:
        """Stop every process of it; its kernel still answers TCP."""
        self._still(True)

    def thaw(self) -> None:
        """Let them go on."""
        self._still(False)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Do something while it is frozen."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def crash(self) -> None:
        """End all processes at once, and let it fall silent: a dead machine resets no connection. Its files stay."""
        self._stop_dead()
        self._end_stopped()

    def boot(self) -> None:
        """Boot it on the files it has, and wait until it can be logged in to."""
        self.network.mend(self.number, why=_CRASH)
        self.start()
        self.wait()

    def stop_sshd(self) -> None:
        """Stop sshd as an administrator does; sessions stay."""
        self.execute("systemctl", "stop", "ssh")

    def start_sshd(self) -> None:
        """Start it again."""
        self.execute("systemctl", "start", "ssh")
        self.wait()

    def kill_sshd(self) -> None:
        """Kill sshd and all its sessions; systemd starts a new one."""
        self._kill_named("sshd: ", spared="")

    def kill_sessions(self) -> None:
        """Kill the sessions, not what they had started; new logins work."""
        self._kill_named("sshd: ", spared="[listener]")

    # ------------------------------------------------------------ its disk and keys

    def lose_power(self) -> None:
        """Crash it and lose every byte that was not synced. Raises LabError unless it has a disk of its own."""
        if not self.disk.image.exists():
            raise LabError(f"{self} has no disk of its own: make the lab with disk_mb")
        self._stop_dead()
        self.disk.cut_power()
        self._end_stopped()
        self.unplug()

    def wipe(self) -> None:
        """Replace it by a new machine at the same address: no files, another host key, which the lab's known_hosts learns."""
        self.crash()
        self.empty()
        self.plug_in()
        self.seed()
        self.boot()

    def rekey(self) -> None:
        """Give it another host key, and tell nobody."""
        self.make_host_key(known=False)
        self.execute("systemctl", "restart", "ssh")
        self.wait()

    def _stop_dead(self) -> None:
        """Let nothing happen on it any more, not even what its kernel would still send for processes that are gone."""
        self.network.cut(self.number, why=_CRASH)
        self.freeze()
        self.network.drop_connections(self.number)

    def _end_stopped(self) -> None:
        killed(self.first)
        until = time.monotonic() + 5.0
        while self.processes() and time.monotonic() < until:  # they would go on for a moment when thawed before
            time.sleep(0.02)
        self.thaw()
        self.kill()

    def _kill_named(self, start: str, *, spared: str) -> None:
        for pid, line in self.processes().items():
            if line.startswith(start) and not (spared and spared in line):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _still(self, on: bool) -> None:  # noqa: FBT001
        for group in self._groups():
            switch = group / "cgroup.freeze"
            if switch.exists():
                switch.write_text("1" if on else "0", "utf-8")
                return
        self._signal_all(signal.SIGSTOP if on else signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
