"""An ext4 file system in a file, whose power can be cut: what was not synced is then lost, as on a real machine."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path

from lab.shell import run

EXT4_IOC_SHUTDOWN = 0x8004587D
NOLOGFLUSH = 2  # not even the journal gets to the disk any more


class Disk:
    """A file system of its own, mounted at `mount`."""

    def __init__(self, image: Path, mount: Path) -> None:
        self.image, self.mount = image, mount

    def make(self, size_mb: int) -> None:
        """Make the image, empty, and mount it."""
        with self.image.open("wb") as file:
            file.truncate(size_mb << 20)
        run("mkfs.ext4", "-q", "-m", "0", self.image)
        self.attach()

    def attach(self) -> None:
        """Mount it, unless it is."""
        self.mount.mkdir(parents=True, exist_ok=True)
        if not is_mounted(self.mount):
            run("mount", "-o", "loop", self.image, self.mount)

    def detach(self) -> None:
        """Unmount it, unless it is not."""
        unmount(self.mount)

    def cut_power(self) -> None:
        """Stop it dead: nothing more reaches the image. It has to be detached and attached again to be of use."""
        handle = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(handle)

    def lose_power(self) -> None:
        """Cut the power and come back with what had been synced."""
        self.cut_power()
        self.detach()
        self.attach()

    def read_only(self, on: bool) -> None:  # noqa: FBT001
        """Refuse writes, or take them again."""
        run("mount", "-o", "remount,ro" if on else "remount,rw", self.mount)


def is_mounted(path: Path) -> bool:
    """Whether something is mounted just there."""
    with Path("/proc/self/mounts").open(encoding="utf-8", errors="replace") as lines:
        return any(line.split()[1] == str(path) for line in lines)


def unmount(path: Path, *, patience_s: float = 5.0) -> None:
    """Unmount, waiting for those who still use it; after that, let the kernel finish when they are gone."""
    until = time.monotonic() + patience_s
    while is_mounted(path):
        if run("umount", path, check=False).returncode == 0:
            continue
        if time.monotonic() > until:
            run("umount", "--lazy", path, check=False)
            return
        time.sleep(0.05)


def share(path: Path) -> None:
    """Let unmounts below `path` reach the hosts, which hold copies of our mounts.

    Without it, one that runs keeps another one's disk mounted after its power was cut, and the disk never comes back clean.
    """
    path.mkdir(parents=True, exist_ok=True)
    if not is_mounted(path):
        run("mount", "--bind", path, path)
        run("mount", "--make-shared", path)
