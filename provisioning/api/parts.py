"""What handlers are given: the server's parts, and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from provisioning.core.access import Role
from provisioning.operations.hosting.host import Host
from provisioning.operations.people import People

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: a user by session or token; with authentication off, whoever is on this machine."""

    name: str
    role: Role
    by: str = ""  # session | token
    key: str = ""  # id of the session or token
    address: str = ""

    @property
    def actor(self) -> str:
        """What the journal says of who did it."""
        return f"{self.name} (api)"


def _host(request: Request) -> Host:
    host: Host = request.app.state.host
    return host


def _people(request: Request) -> People:
    people: People = request.app.state.people
    return people


def _caller(request: Request) -> Caller:
    caller: Caller = request.scope["caller"]
    return caller


TheHost = Annotated[Host, Depends(_host)]
ThePeople = Annotated[People, Depends(_people)]
TheCaller = Annotated[Caller, Depends(_caller)]
