"""Edits of the resource states by hand: what a reset, a forget or an import changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from provisioning.core.frozen import dataclass
from provisioning.core.resources import Actor, LogEntry, Resource, ResourceBook, ResourceState
from provisioning.core.suggest import nearest
from provisioning.errors import NotFoundError, UsageError

Key = tuple[str, str]  # server, taskserv
SHOWN = 5  # names in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """A book after an edit, and what the edit changed."""

    book: ResourceBook
    changed: tuple[Key, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Who makes an edit, when and which: it goes into the log of every resource that is changed."""

    event: str  # reset | forget | import
    ts: str  # UTC, ISO 8601
    actor: Actor

    def on(self, resource: Resource) -> Resource:
        """Return the resource with the edit in its log."""
        entry = LogEntry(ts=self.ts, event=self.event, source=self.actor.identity)
        return replace(resource, actor=self.actor).logged(entry)


def selected(book: ResourceBook, server: str | None = None, taskserv: str | None = None) -> list[Key]:
    """Return what is recorded of all servers, of one, or of one taskserv there. Raises NotFoundError."""
    if server is not None and server not in book.servers:
        raise NotFoundError(f"nothing is recorded of server {server!r}", hint=_hint(server, book.servers))
    hosts = book.servers if server is None else {server: book.servers[server]}
    found = [(host, name) for host, resources in hosts.items() for name in resources if taskserv in (None, name)]
    if taskserv is not None and not found:
        names = {name: None for resources in hosts.values() for name in resources}
        raise NotFoundError(f"nothing is recorded of taskserv {taskserv!r} on {server}", hint=_hint(taskserv, names))
    return found


def _hint(name: str, known: Mapping[str, object]) -> str:
    near = nearest(name, known)
    return f"did you mean {near}?" if near else "`provisioning state show` lists what is recorded"


def reset(book: ResourceBook, server: str, taskserv: str | None, mark: Mark) -> Edited:
    """Set states back to pending, so that the next run installs again. Raises NotFoundError."""
    changed = selected(book, server, taskserv)
    pending = {
        (host, name): mark.on(replace(book.servers[host][name], state=ResourceState.PENDING, blocker=None))
        for host, name in changed
    }
    return Edited(book=book.put(pending), changed=tuple(changed))


def forget(book: ResourceBook, server: str, taskserv: str | None, _mark: Mark) -> Edited:
    """Drop what is recorded, its log included. Raises NotFoundError."""
    changed = selected(book, server, taskserv)
    return Edited(book=book.put(dict.fromkeys(changed)), changed=tuple(changed))


def merge(book: ResourceBook, foreign: ResourceBook, mark: Mark, *, overwrite: bool = False) -> Edited:
    """Take what another book says. Raises UsageError, naming them, for resources that both have, unless `overwrite`."""
    found = {
        (host, name): resource
        for host, resources in foreign.servers.items()
        for name, resource in resources.items()
        if not _same(book.get(host, name), resource)
    }
    both = [f"{name} on {host}" for host, name in found if book.get(host, name) is not None]
    if both and not overwrite:
        more = f" and {len(both) - SHOWN} more" if len(both) > SHOWN else ""
        message = f"recorded already, and otherwise: {', '.join(both[:SHOWN])}{more}"
        raise UsageError(message, hint="--overwrite takes what the file says; the old state file stays as state.json.backup")
    taken = {key: mark.on(resource) for key, resource in found.items()}
    return Edited(book=book.put(taken), changed=tuple(taken))


def _same(mine: Resource | None, other: Resource) -> bool:
    facts = ("state", "operation", "profile", "digest")
    return mine is not None and all(getattr(mine, fact) == getattr(other, fact) for fact in facts)
