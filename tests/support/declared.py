"""Taskservs, servers and documents for tests of declarations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from provisioning.core.declare import ParamSpec, Profile, Server, Taskserv


def a_taskserv(
    name: str,
    *,
    profiles: Iterable[str] = ("default",),
    requires: tuple[str, ...] = (),
    provides: tuple[str, ...] = (),
    conflicts_with: tuple[str, ...] = (),
    params: Mapping[str, ParamSpec] | None = None,
) -> Taskserv:
    """Return a taskserv that is nowhere on disk."""
    return Taskserv(
        name=name,
        path=f"/taskservs/{name}",
        profiles={one: Profile(name=one, path=f"/taskservs/{name}/{one}", files_digest="0") for one in profiles},
        requires=requires,
        provides=provides,
        conflicts_with=conflicts_with,
        params=params or {},
    )


def a_catalogue(*taskservs: Taskserv) -> dict[str, Taskserv]:
    """Return taskservs by name."""
    return {one.name: one for one in taskservs}


def the_servers(*names: str) -> dict[str, Server]:
    """Return servers by hostname; each has a public address only."""
    return {name: Server(hostname=name, public_ip="192.0.2.1") for name in names}


CATALOGUE = a_catalogue(
    a_taskserv("os"),
    a_taskserv("etcd", provides=("key-value",)),
    a_taskserv("containerd", provides=("runtime",), conflicts_with=("docker",)),
    a_taskserv("docker"),
    a_taskserv(
        "kubernetes",
        profiles=("controlplane", "worker"),
        requires=("runtime", "key-value"),
        params={"version": ParamSpec(required=True), "replicas": ParamSpec(type="integer", default=1)},
    ),
)
"""What the bad-input cases may install."""


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below `folder` and return it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
