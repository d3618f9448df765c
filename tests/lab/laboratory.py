"""A lab: some servers on one machine, for as long as a `with` block lasts.

with Lab(3, disk_mb=2048) as lab:
    lab.host(1).partition()
    lab.servers_json("etcd-0", "etcd-1", "etcd-2")
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.base import base_folder, built
from lab.disk import share, unmount
from lab.hosts import Host
from lab.network import PROXY_PORT, Network, wait_for_word
from lab.place import Place, claim
from lab.shell import ended, recorded, run, start
from lab.sources import codename, sources


class Lab:
    """Servers 1 to `count`. Without a place it takes a free one, and leaves nothing behind when it is closed.

    With `disk_mb`, each server writes to a disk of its own, and its power can be cut.
    """

    def __init__(self, count: int, *, disk_mb: int | None = None, place: Place | None = None) -> None:
        self._count, self._disk_mb = count, disk_mb
        self._place = place

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def place(self) -> Place:
        """Its folders and names; taken when it is opened."""
        if self._place is None:
            self._place = claim(remove_all)
        return self._place

    def open(self) -> None:
        """Bring up what is missing, and wait for it. Raises LabError, and leaves nothing then."""
        base = built()
        try:
            self._prepare()
            hosts = [Host(self.place, number, base) for number in range(1, self._count + 1)]
            for host in hosts:
                if not host.folder.exists():
                    host.create(disk_mb=self._disk_mb)
                host.start()
            _each(hosts, Host.wait)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove everything."""
        remove_all(self.place)

    @property
    def hosts(self) -> list[Host]:
        """All servers, by number."""
        return [self.host(number) for number in self.place.numbers()]

    def host(self, number: int) -> Host:
        """Return one server, counted from 1. Raises KeyError."""
        if number not in self.place.numbers():
            raise KeyError(number)
        return Host(self.place, number, base_folder())

    def servers_json(self, *names: str, user: str = "root") -> dict[str, object]:
        """Return the servers as a workspace's servers.json has them, called by `names` or h1, h2, ..."""
        login = {"user": user, "key_path": str(self.place.key)}
        called = names or tuple(f"h{number}" for number in self.place.numbers())
        return {
            "servers": [
                {"hostname": name, "address": self.place.address(number), "ssh": login}
                for number, name in enumerate(called, start=1)
            ]
        }

    def slow(self, *, delay_ms: float = 0, jitter_ms: float = 0, loss_percent: float = 0) -> None:
        """Slow down every link."""
        for host in self.hosts:
            host.slow(delay_ms=delay_ms, jitter_ms=jitter_ms, loss_percent=loss_percent)

    def heal(self) -> None:
        """End every partition and delay."""
        for host in self.hosts:
            host.heal()

    def _prepare(self) -> None:
        place = self.place
        place.folder.mkdir(parents=True, exist_ok=True)
        if not place.key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", place.tag, "-f", place.key)
        share(place.hosts)
        Network(place).up()
        if recorded(_proxy(place)) is None:
            script, log = Path(__file__).with_name("proxy.py"), place.folder / "proxy.log"
            archives = sorted({one.uri for one in sources(codename())})
            words = [sys.executable, script, place.runner, PROXY_PORT, place.cache / "packages", *archives]
            start(*words, record=_proxy(place), log=log)
            wait_for_word("ready", log)


def remove_all(place: Place) -> None:
    """Remove a lab, whoever made it: servers, mounts, namespaces, helpers, folder. Works on what is half there, too."""
    _each([Host(place, number, place.cache) for number in place.numbers()], Host.remove)
    ended(_proxy(place))
    Network(place).down()
    unmount(place.hosts)
    shutil.rmtree(place.folder, ignore_errors=True)


def _each(hosts: Sequence[Host], action: object) -> None:
    assert callable(action)
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(action, hosts))


def _proxy(place: Place) -> Path:
    return place.folder / "proxy.pid"
