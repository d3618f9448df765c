"""The file system that every host starts from: a small Debian with systemd and sshd, built once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lab.place import cache_folder, locked
from lab.shell import LabError, environment, run, tail
from lab.sources import Source, codename, sources

PACKAGES = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "openssh-server",
    "sudo",
    "iproute2",
    "procps",
    "ca-certificates",
    "python3-minimal",
    "iputils-ping",
    "netcat-openbsd",
    "curl",
    "less",
    "openssl",
]
QUIET = [
    "console-getty.service",
    "getty.target",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "systemd-networkd.service",
    "systemd-timesyncd.service",
    "dpkg-db-backup.timer",
]
USERS = ("deploy", "pwsudo", "nosudo")
SUDO_PASSWORD = "lab-only"  # nothing logs in with it: it is what sudo asks pwsudo for
SUDOERS = "deploy ALL=(ALL) NOPASSWD: ALL\npwsudo ALL=(ALL) ALL\n"
SSHD = """PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
MaxStartups 200:30:400
MaxSessions 100
"""
APT = """Acquire::Retries "3";
Acquire::Languages "none";
APT::Install-Recommends "false";
Dpkg::Use-Pty "0";
"""


def base_folder() -> Path:
    """Return where the base for this machine is, or would be."""
    suite = codename()
    wanted = "\n".join([suite, *(one.line() for one in sources(suite)), *PACKAGES, *QUIET, SUDOERS, SSHD, APT])
    return cache_folder() / f"base-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"


def is_built() -> bool:
    """Whether labs can start at once."""
    return base_folder().is_dir()


def built() -> Path:
    """Return the base, built now if it is not there: that takes a minute or two. Raises LabError."""
    folder = base_folder()
    with locked(folder.parent, "base"):
        if not folder.is_dir():
            _build(folder)
    return folder


def _build(folder: Path) -> None:
    part, log = folder.with_suffix(".part"), folder.with_suffix(".log")
    shutil.rmtree(part, ignore_errors=True)
    suite = codename()
    found = sources(suite)
    try:
        with log.open("w") as output:
            _do(output, "debootstrap", "--variant=minbase", "--include=ca-certificates", suite, part, found[0].uri)
            _install(part, found, output)
    except subprocess.CalledProcessError as failed:
        raise LabError(f"the base could not be built: {failed.cmd[0]} ended with {failed.returncode}: {tail(log)}") from None
    _configure(part)
    part.rename(folder)


def _install(root: Path, found: tuple[Source, ...], output: IO[str]) -> None:
    (root / "etc/apt/sources.list").write_text(
        "".join(f"deb {one.uri} {one.suite} {' '.join(one.components)}\n" for one in found), "utf-8"
    )
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n", "utf-8")  # nothing may start inside the folder
    policy.chmod(0o755)
    with _mounted(root):
        _do(output, "chroot", root, "apt-get", "update", "-q")
        _do(output, "chroot", root, "apt-get", "upgrade", "-qy")
        _do(output, "chroot", root, "apt-get", "install", "-qy", "--no-install-recommends", *PACKAGES)
        _do(output, "chroot", root, "apt-get", "clean")
        for user in USERS:
            _do(output, "chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", user)
        run("chroot", root, "chpasswd", given=f"pwsudo:{SUDO_PASSWORD}\n")
    policy.unlink()
    (root / "etc/apt/sources.list").write_text("".join(one.line() + "\n" for one in found), "utf-8")


def _configure(root: Path) -> None:
    files = {"etc/sudoers.d/lab": SUDOERS, "etc/ssh/sshd_config.d/lab.conf": SSHD, "etc/apt/apt.conf.d/90lab": APT}
    for name, text in {**files, "etc/machine-id": "", "etc/resolv.conf": ""}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, "utf-8")
    (root / "etc/sudoers.d/lab").chmod(0o440)
    for key in root.glob("etc/ssh/ssh_host_*"):
        key.unlink()
    for unit in QUIET:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")


@contextlib.contextmanager
def _mounted(root: Path) -> Iterator[None]:
    done: list[Path] = []
    try:
        for name in ("proc", "sys", "dev"):
            run("mount", "--bind", f"/{name}", root / name)
            done.append(root / name)
        yield
    finally:
        for path in reversed(done):
            run("umount", path)


def _do(output: IO[str], *command: object) -> None:
    subprocess.run(
        [str(word) for word in command],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**environment(), "DEBIAN_FRONTEND": "noninteractive", "TMPDIR": os.environ.get("TMPDIR", "/tmp")},
    )
