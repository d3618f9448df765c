"""A coordinator and packages in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from provisioning.core.dagu.definitions import Answer, Status, Wanted, is_question
from provisioning.core.dagu.package import address
from provisioning.errors import DefinitionError, NoCoordinator, NotFoundError


@dataclass
class FakeCoordinator:
    """Fulfils `Coordinator`: has `packages` by name, and answers for the other names what `says` has for them.

    `asked` are the questions so far. One that is `silent` answers nothing.
    """

    packages: dict[str, bytes] = field(default_factory=dict)
    says: Mapping[str, Answer] = field(default_factory=dict)
    silent: bool = False
    allows: Callable[[str, str], bool] = lambda _caller, _name: True
    asked: list[Wanted] = field(default_factory=list)

    async def ask(self, wanted: Wanted) -> tuple[Answer, bytes]:
        """Answer at once."""
        if not is_question(wanted):
            raise DefinitionError(f"'{wanted.name}' cannot be asked for")
        self.asked.append(wanted)
        if self.silent:
            raise NoCoordinator(f"nobody has answered who has definitions: {wanted.name}")
        if not self.allows(wanted.caller, wanted.name):
            return Answer(status=Status.REFUSED, name=wanted.name, error=f"{wanted.caller} may not have it", by="fake"), b""
        if wanted.name in self.says:
            return self.says[wanted.name], b""
        data = self.packages.get(wanted.name)
        if data is None:
            return Answer(status=Status.NOT_FOUND, name=wanted.name, by="fake"), b""
        digest = address(data)
        known = digest in wanted.have
        status = Status.UNCHANGED if known else Status.FOUND
        return Answer(status=status, name=wanted.name, digest=digest, by="fake"), b"" if known else data


@dataclass
class MemoryPackages:
    """Fulfils `Packages`."""

    kept: dict[tuple[str, str], bytes] = field(default_factory=dict)

    async def put(self, run: str, data: bytes) -> str:
        """Keep it."""
        self.kept[run, address(data)] = data
        return address(data)

    async def get(self, run: str, digest: str) -> bytes:
        """Return it. Raises NotFoundError."""
        if (run, digest) not in self.kept:
            raise NotFoundError(f"run {run} has no package {digest}")
        return self.kept[run, digest]
