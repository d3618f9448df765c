"""What a machine needs for the lab, and what is missing on this one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab.shell import SBIN

PROGRAMS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "ss": "iproute2",
    "tc": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "mkfs.ext4": "e2fsprogs",
    "ssh-keygen": "openssh-client",
}


def missing() -> str:
    """Return why there can be no lab here, blank when there can."""
    if os.geteuid():
        return "the lab needs root"
    packages = sorted({package for program, package in PROGRAMS.items() if not _found(program)})
    if packages:
        return f"the lab needs programs: apt-get install {' '.join(packages)}"
    if not (Path("/proc/self/ns/net").exists() and Path("/sys/fs/cgroup").is_dir()):
        return "the lab needs network namespaces and control groups"
    if not _may_unshare():
        return "the lab needs the right to make namespaces, which this container does not have"
    return ""


def _found(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SBIN}") is not None


def _may_unshare() -> bool:
    """Whether the kernel lets us: capabilities CAP_SYS_ADMIN (21) and CAP_NET_ADMIN (12)."""
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return bool(held >> 21 & 1 and held >> 12 & 1)
    return False
