"""Disks that refuse: full ones, read-only ones, ones that limit a file's size; and one whose power can be cut."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab.disk import Disk, share, unmount
from lab.shell import LabError, environment, run

NOBODY = 65534


@contextmanager
def nobody_may_write(folder: Path) -> Iterator[None]:
    """Make a folder read-only; root, whom modes do not stop, becomes somebody else meanwhile."""
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    root = os.geteuid() == 0
    opened = _opened_up(folder) if root else []
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(mode)
        for parent, before in opened:
            parent.chmod(before)


def _opened_up(folder: Path) -> list[tuple[Path, int]]:
    """Let everybody pass through the folders above and read the files inside; return the modes to put back.

    Those above stay open: other workers' tests are below them too, at the same time.
    """
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o555)
    changed = []
    for path in folder.rglob("*"):
        mode = path.stat().st_mode
        wanted = mode | (0o555 if path.is_dir() else 0o444)
        if mode != wanted:
            changed.append((path, mode))
            path.chmod(wanted)
    return changed


@contextmanager
def no_file_grows_past(size_bytes: int) -> Iterator[None]:
    """Let writes beyond this size fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(folder: Path, *, size_kb: int) -> Iterator[Path]:
    """Mount a disk of this size. Skips the test where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk can only be mounted by root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def powered_disk(folder: Path, *, size_mb: int) -> Iterator[Disk]:
    """Mount an ext4 file system of this size, whose power can be cut. Skips the test where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("the power of a disk can only be cut by root")
    if shutil.which("mkfs.ext4", path=environment()["PATH"]) is None:
        pytest.skip("mkfs.ext4 is not installed (apt-get install e2fsprogs)")
    folder.mkdir()
    disk = Disk(folder / "image", folder / "shared" / "disk")
    try:
        share(disk.mount.parent)
        disk.make(size_mb)
    except LabError as error:
        unmount(disk.mount.parent)
        pytest.skip(f"no file can be mounted as a disk here: {error}")
    try:
        yield disk
    finally:
        disk.detach()
        unmount(disk.mount.parent)


def power_returns(disk: Disk) -> None:
    """Mount again what had been synced when the power was cut.

    From a copy: processes that left for a mount namespace of their own meanwhile keep the dead file system of the old image.
    """
    disk.detach()
    copy = disk.image.with_name("copy")
    run("cp", "--sparse=always", disk.image, copy)
    copy.replace(disk.image)
    disk.attach()


def fill(folder: Path) -> Path:
    """Write until the disk is full; removing the file makes room again."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return path
