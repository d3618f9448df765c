"""Where a worker has the files that travel with DAGs: laid out once for a run, of packages that are kept or fetched."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Protocol

from provisioning.core.dagu.definitions import Packages
from provisioning.core.dagu.package import Package, WrongPackage, unpack
from provisioning.errors import DefinitionError, NotFoundError
from provisioning.operations.dagu.fetching import Kept


class Laid(Kept, Protocol):
    """Packages of this worker, kept and laid out."""

    def unpacked(self, digest: str, run: str) -> Path | None:
        """Return the folder that a run has of a package, None where it has none."""
        ...

    def lay_out(self, package: Package, digest: str, run: str) -> Path:
        """Write the files of a package for a run; return the folder of the DAG's file. Raises StoreError."""
        ...


class LaidOut:
    """Fulfils `engine.actions.dagu.tools.Sources`."""

    def __init__(self, laid: Laid, packages: Packages) -> None:
        self._laid, self._packages = laid, packages
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def folder(self, package: str, root: str) -> str:
        """See Sources."""
        async with self._turns[package]:  # many steps of one package may begin at once
            found = await asyncio.to_thread(self._laid.unpacked, package, root)
            if found is None:
                read = _read(await self._bytes(package, root), package)
                found = await asyncio.to_thread(self._laid.lay_out, read, package, root)
        return str(found)

    async def _bytes(self, package: str, root: str) -> bytes:
        kept = await asyncio.to_thread(self._laid.get, package)
        if kept is not None:
            return kept
        try:
            data = await self._packages.get(root, package)
        except NotFoundError as error:
            raise DefinitionError(
                f"the files of the run are not to be had: {error.message}", hint="it may have been removed: start the DAG anew"
            ) from error
        await asyncio.to_thread(self._laid.put, data)
        return data


def _read(data: bytes, digest: str) -> Package:
    try:
        return unpack(data, digest)
    except WrongPackage as error:
        raise DefinitionError(f"the files of the run are wrong: {error}") from error
