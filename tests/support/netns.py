"""Network namespaces of a test's own: what is started inside one reaches only what is inside, or linked to it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000


def need_namespaces() -> None:
    """Skip the test where it cannot have namespaces."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need ip (apt-get install iproute2)")
    if subprocess.run(["ip", "netns", "add", (name := f"probe-{os.getpid()}")], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us make network namespaces")
    subprocess.run(["ip", "netns", "del", name], check=False)


@contextmanager
def namespaces(*names: str) -> Iterator[list[str]]:
    """Make namespaces, each with its own loopback; they are removed at the end."""
    own = [f"pt{os.getpid()}-{name}" for name in names]
    try:
        for name in own:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        yield own
    finally:
        for name in own:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def link(one: str, other: str, addresses: tuple[str, str]) -> None:
    """Lay a cable between two namespaces; each end has an address of one network of four."""
    name = f"v{os.getpid() % 100_000}{one[-3:]}"
    _ip("-n", one, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", other)
    for namespace, device, address in ((one, name, addresses[0]), (other, "eth0", addresses[1])):
        _ip("-n", namespace, "addr", "add", f"{address}/30", "dev", device)
        _ip("-n", namespace, "link", "set", device, "up")


def plug_in(switch: str, namespaces: dict[str, str]) -> None:
    """Lay a cable from each namespace to a switch in another one, which has the address ending with 254 of their network.

    `namespaces` are addresses of a network of 256, by namespace. `pull` takes a cable out, and puts it in again.
    """
    _ip("-n", switch, "link", "add", "switch", "type", "bridge")
    _ip("-n", switch, "link", "set", "switch", "up")
    own = next(iter(namespaces.values())).rpartition(".")[0]
    _ip("-n", switch, "addr", "add", f"{own}.254/24", "dev", "switch")
    for namespace, address in namespaces.items():
        port = _port(namespace)
        _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("-n", switch, "link", "set", port, "master", "switch", "up")
        _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")


def pull(switch: str, namespace: str, *, out: bool) -> None:
    """Take a cable out of a switch: nothing comes through, and nobody is told. Or put it in again."""
    _ip("-n", switch, "link", "set", _port(namespace), "down" if out else "up")


def _port(namespace: str) -> str:
    return f"p{namespace}"[-15:]


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Have this thread, and all that it starts, in a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as home, Path(f"/run/netns/{namespace}").open("rb") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"no namespace {namespace}")
        try:
            yield
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
