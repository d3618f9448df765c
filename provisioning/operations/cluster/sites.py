"""The worker's side of taskservs: each task names a package of its workspace, which is fetched once and kept.

Secrets do not travel: references are resolved where the worker runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from provisioning import clusters, wiring
from provisioning.core.frozen import dataclass
from provisioning.core.hosts import Hosts
from provisioning.core.ports import Task
from provisioning.engine.actions import Action, Context, Result, Traits
from provisioning.errors import ConfigError, NotFoundError
from provisioning.settings import Settings

if TYPE_CHECKING:
    from provisioning.adapters.sites import PackedSite
    from provisioning.core.declare import Server

    Connect = Callable[[Sequence[Path], Sequence[Server], Settings], Hosts]

PACKAGE = "package"
"""The setting of a step that names the package."""
KEPT = 4  # packages whose connections stay open while nothing uses them


class Blobs(Protocol):
    """Where packages are."""

    async def get(self, owner: str, where: str) -> bytes:
        """Return one. Raises NotFoundError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A package with its connections."""

    actions: Mapping[str, Action]
    hosts: Hosts
    secrets: Mapping[str, str]  # values by reference, as far as they could be read


class Sites:
    """Packages in use. `close` it."""

    def __init__(self, blobs: Blobs, folder: Path, home: Path, settings: Settings, connect: Connect | None = None) -> None:
        """`folder` is where packages are kept, `home` where relative paths of secrets begin."""
        self._blobs, self._home, self._settings = blobs, home, settings
        self._kept = clusters.site_folder(folder)
        self._connect = connect or clusters.hosts_of_sites(home)
        self._ready: dict[str, _Ready] = {}
        self._in_use: dict[str, int] = {}
        self._one = asyncio.Lock()

    def actions(self) -> Mapping[str, Action]:
        """Return the actions that need a package."""
        return {
            "taskserv": _Packaged(self, "taskserv", Traits(own_time=True, mutates=True)),
            "probe": _Packaged(self, "probe", Traits(own_time=True)),
        }

    async def run(self, kind: str, task: Task, context: Context) -> Result:
        """Do a task with its package. Raises NotFoundError, ConfigError, StoreError, HostError."""
        digest = str(task.action.settings.get(PACKAGE, ""))
        if not digest:
            raise ConfigError("the step has no package of its workspace", hint="start it with `taskserv create --nats`")
        ready = await self._begin(digest, task.run)
        try:
            context.mask(ready.secrets)
            return await ready.actions[kind].run(task, context)
        except ConfigError as error:
            error.hint = "; ".join(filter(None, (error.hint, "secrets and files are looked for where the worker runs")))
            raise
        finally:
            await self._end(digest)

    async def close(self) -> None:
        """Close all connections. What runs on servers goes on."""
        for digest in list(self._ready):
            await self._drop(digest)

    # ------------------------------------------------------------ parts

    async def _begin(self, digest: str, run: str) -> _Ready:
        async with self._one:
            self._in_use[digest] = self._in_use.get(digest, 0) + 1
            try:
                if digest not in self._ready:
                    self._ready[digest] = self._make(await self._found(digest, run))
                self._ready[digest] = self._ready.pop(digest)  # the newest is last
            except BaseException:
                self._in_use[digest] -= 1
                raise
            return self._ready[digest]

    async def _end(self, digest: str) -> None:
        self._in_use[digest] -= 1
        if not self._in_use[digest]:
            await self._ready[digest].hosts.recorded()
        idle = [one for one in self._ready if not self._in_use[one]]
        for one in idle[: max(0, len(self._ready) - KEPT)]:
            await self._drop(one)

    async def _drop(self, digest: str) -> None:
        ready = self._ready.pop(digest)
        await ready.hosts.close()

    async def _found(self, digest: str, run: str) -> PackedSite:
        found = await asyncio.to_thread(self._kept.find, digest)
        if found is not None:
            return found
        try:
            data = await self._blobs.get(run, digest)
        except NotFoundError as error:
            hint = "its run was removed, or is older than what is kept: start it anew"
            raise NotFoundError(f"the package {digest} of the workspace is not there any more", hint=hint) from error
        return await asyncio.to_thread(self._kept.put, digest, data)

    def _make(self, site: PackedSite) -> _Ready:
        hosts = self._connect((site.known_hosts, wiring.known_hosts(self._home)), site.servers, self._settings)
        return _Ready(
            actions=clusters.site_actions(site, hosts, self._home),
            hosts=hosts,
            secrets=clusters.readable_secrets(site, self._home),
        )


class _Packaged:
    """An action on the servers of whatever workspace a task is of."""

    def __init__(self, sites: Sites, kind: str, traits: Traits) -> None:
        self._sites, self._kind, self.traits = sites, kind, traits

    async def run(self, task: Task, context: Context) -> Result:
        """See `Action`."""
        return await self._sites.run(self._kind, task, context)
