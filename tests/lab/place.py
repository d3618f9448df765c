"""Where labs live: folders, names and addresses, so that several labs can run side by side.

Everything is below one cache folder: `LAB_DIR`, or a folder of root's own in the folder for temporary files. Lab 0 is the one
that people start by hand and keep; the others belong to a process, and whoever comes later removes those of dead ones.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.shell import LabError, recorded
from processes import identify

BY_HAND = 0
MOST_LABS = 10
FIRST_NET = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One lab's folder, names and addresses."""

    cache: Path
    number: int

    @property
    def folder(self) -> Path:
        """Everything of this lab."""
        return self.cache / "labs" / str(self.number)

    @property
    def hosts(self) -> Path:
        """One folder per host."""
        return self.folder / "hosts"

    @property
    def tag(self) -> str:
        """Start of every name that the machine below sees: namespaces, interfaces, control groups."""
        return f"plab{self.number}"

    @property
    def switch(self) -> str:
        """The network namespace that all traffic passes."""
        return f"{self.tag}-sw"

    @property
    def net(self) -> str:
        """The first two numbers of every address."""
        return f"10.{FIRST_NET + self.number}"

    @property
    def runner(self) -> str:
        """The address of the machine below."""
        return f"{self.net}.0.2"

    @property
    def key(self) -> Path:
        """The private key that every host accepts."""
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The host keys, as OpenSSH keeps them."""
        return self.folder / "known_hosts"

    def namespace(self, number: int) -> str:
        """The network namespace of a host."""
        return f"{self.tag}-{number}"

    def address(self, number: int) -> str:
        """The address of a host."""
        return f"{self.net}.{number}.2"

    def numbers(self) -> list[int]:
        """The hosts that there are, running or not."""
        return sorted(int(path.name) for path in self.hosts.glob("*")) if self.hosts.is_dir() else []


def cache_folder() -> Path:
    """Return the folder for everything, made if missing. Raises LabError if it belongs to somebody else."""
    named = os.environ.get("LAB_DIR")
    folder = Path(named) if named else Path(tempfile.gettempdir()) / "provisioning-lab"
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise LabError(f"{folder} belongs to another user: set LAB_DIR")
    return folder.resolve()


@contextmanager
def locked(cache: Path, name: str) -> Iterator[None]:
    """Do something alone among all processes."""
    with (cache / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def by_hand() -> Place:
    """Return the lab that outlives the process."""
    return Place(cache=cache_folder(), number=BY_HAND)


def claim(remove: Callable[[Place], None]) -> Place:
    """Return a free place, ours until we end; `remove` is called for what a dead owner left there. Raises LabError."""
    cache = cache_folder()
    with locked(cache, "labs"):
        for number in range(BY_HAND + 1, MOST_LABS):
            place = Place(cache=cache, number=number)
            if recorded(_owner(place)) is not None:
                continue
            if place.folder.exists():
                remove(place)
            _own(place)
            return place
    raise LabError(f"{MOST_LABS - 1} labs are running already")


def _own(place: Place) -> None:
    place.folder.mkdir(parents=True, mode=0o711)
    us = identify(os.getpid())
    assert us is not None
    _owner(place).write_text(json.dumps({"pid": us.pid, "started": us.started}), "utf-8")


def _owner(place: Place) -> Path:
    return place.folder / "owner.json"
