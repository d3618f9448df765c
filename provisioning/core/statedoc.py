"""The state file as a document: its records, its version, and what foreign documents become.

The book of `core.resources` is what programs work with; the document has one more level, `taskservs`, as in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.resources import LOG_LIMIT, STATE_VERSION, Actor, LogEntry, Resource, ResourceBook, ResourceState
from provisioning.errors import ConfigError

Document = Mapping[str, object]
Migrations = Mapping[int, Callable[[Document], Document]]

MIGRATIONS: Migrations = MappingProxyType({})
"""By version: what turns a document of that version into one of the next."""

OLDER = (
    "`provisioning run list` tells what ran since; put the newer file back, or, to go on from what this one says, "
    "move it away and take it in with `provisioning state import`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDocument:
    """One server of the file."""

    taskservs: Mapping[str, Resource]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDocument:
    """The whole file."""

    version: int
    lineage: str
    serial: int
    servers: Mapping[str, HostDocument]
    run: str = ""
    seq: int = 0
    newest: str = ""


def to_document(book: ResourceBook) -> StateDocument:
    """Return the book as it stands in the file."""
    servers = {host: HostDocument(taskservs=dict(taskservs.items())) for host, taskservs in book.servers.items()}
    return StateDocument(
        version=book.version,
        lineage=book.lineage,
        serial=book.serial,
        servers=servers,
        run=book.run,
        seq=book.seq,
        newest=book.newest,
    )


def to_book(document: StateDocument) -> ResourceBook:
    """Return the book that a document of the current version holds."""
    servers = {host: each.taskservs for host, each in document.servers.items()}
    return ResourceBook(
        version=document.version,
        lineage=document.lineage,
        serial=document.serial,
        servers=servers,
        run=document.run,
        seq=document.seq,
        newest=document.newest,
    )


def migrate(document: Document, *, to: int = STATE_VERSION, migrations: Migrations = MIGRATIONS) -> Document:
    """Return the document in version `to`. Raises ValueError saying what is wrong with its version."""
    version = document.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise ValueError("$.version: expected a number" + ("" if "version" in document else ", found nothing"))  # noqa: TRY004
    if version > to:
        raise ValueError(f"version {version} is newer than {to}, the newest this program knows")
    while version < to:
        if version not in migrations:
            raise ValueError(f"version {version} cannot be brought to {to}")
        document, version = migrations[version](document), version + 1
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Why a book that was read cannot be the one we know; `hint` says what to do where more is known than usual."""

    reason: str
    hint: str = ""


def doubts(book: ResourceBook, *, lineage: str | None, serial: int) -> Doubt | None:
    """Return what speaks against a book that was read, or None.

    `lineage` None is not known yet; `serial` is the highest one that is known to have been written durably.
    """
    if not book.lineage:
        return Doubt(reason="it has no lineage")
    if book.serial < 0:
        return Doubt(reason=f"its serial {book.serial} is negative")
    if lineage is not None and book.lineage != lineage:
        return Doubt(reason=f"it is of lineage {book.lineage}, expected {lineage}: it belongs to another workspace")
    if book.serial < serial:
        reason = f"its serial {book.serial} is older than {serial}, which was written before: somebody put an old file back"
        return Doubt(reason=reason, hint=OLDER)
    return None


def superseded(kept: ResourceBook, other: ResourceBook) -> Doubt | None:
    """Return why `other`, from another keeper of the same states, may not take the place of `kept`, or None."""
    hint = "`--force` takes it all the same"
    if kept.lineage != other.lineage:
        return Doubt(reason=f"its lineage is {kept.lineage}, that of the other {other.lineage}: another workspace's", hint=hint)
    if kept.serial > other.serial:
        return Doubt(reason=f"its serial {kept.serial} is newer than {other.serial} of the other", hint=hint)
    if kept.serial == other.serial and kept != other:
        return Doubt(reason=f"both are at serial {kept.serial} and say different things", hint=hint)
    return None


# ---------------------------------------------------------------- import


_STATES: Mapping[str, ResourceState] = {
    **{state.value: state for state in ResourceState},
    "cancelled": ResourceState.INTERRUPTED,
}


def import_document(data: object, *, lineage: str = "") -> ResourceBook:
    """Return the book that a foreign document `{servers: {host: {taskservs: {name: {...}}}}}` describes, serial 0.

    Accepts what older tools write: no version, states with capitals, null or empty fields. Raises ConfigError with every
    fault.
    """
    faults: list[Fault] = []
    servers: dict[str, Mapping[str, Resource]] = {}
    root = _mapping(data, "$", faults)
    if "servers" not in root and not faults:
        faults.append(_fault("$", "expected the key 'servers'"))
    for host, entry in _mapping(root.get("servers"), "$.servers", faults).items():
        path = f"$.servers.{host}"
        taskservs = _mapping(_mapping(entry, path, faults).get("taskservs"), f"{path}.taskservs", faults)
        servers[host] = {name: _resource(each, f"{path}.taskservs.{name}", faults) for name, each in taskservs.items()}
    if faults:
        raise ConfigError(f"not a state document: {faults[0].path}: {faults[0].message}", faults=faults)
    return ResourceBook(lineage=lineage, servers={host: kept for host, kept in servers.items() if kept})


def _resource(value: object, path: str, faults: list[Fault]) -> Resource:
    fields = _mapping(value, path, faults)
    word = str(fields.get("state", ""))
    state = _STATES.get(word.lower())
    if state is None and isinstance(value, Mapping):
        faults.append(_fault(f"{path}.state", f"'{word}' is no state; expected one of {', '.join(_STATES)}"))
    actor = _mapping(fields.get("actor"), f"{path}.actor", faults)
    return Resource(
        state=state or ResourceState.PENDING,
        operation=_text(fields, "operation", path, faults),
        profile=_text(fields, "profile", path, faults),
        digest=_text(fields, "digest", path, faults),
        started_at=_text(fields, "started_at", path, faults) or None,
        ended_at=_text(fields, "ended_at", path, faults) or None,
        blocker=_text(fields, "blocker", path, faults) or None,
        actor=Actor(
            identity=_text(actor, "identity", f"{path}.actor", faults), source=_text(actor, "source", f"{path}.actor", faults)
        ),
        log=_log(fields.get("log"), f"{path}.log", faults),
    )


def _log(value: object, path: str, faults: list[Fault]) -> tuple[LogEntry, ...]:
    if value is not None and not isinstance(value, list | tuple):
        faults.append(_fault(path, f"expected a list, found {_kind(value)}"))
        return ()
    entries = [_mapping(entry, f"{path}[{index}]", faults) for index, entry in enumerate(value or ())]
    log = [LogEntry(**{key: _text(entry, key, path, faults) for key in ("ts", "event", "source")}) for entry in entries]
    return tuple(log[-LOG_LIMIT:])


def _mapping(value: object, path: str, faults: list[Fault]) -> Mapping[str, object]:
    if isinstance(value, Mapping):
        return value
    if value is not None or path == "$":
        faults.append(_fault(path, f"expected a map, found {_kind(value)}"))
    return {}


def _text(fields: Mapping[str, object], key: str, path: str, faults: list[Fault]) -> str:
    value = fields.get(key)
    if value is None or isinstance(value, str):
        return value or ""
    faults.append(_fault(f"{path}.{key}", f"expected text, found {_kind(value)}"))
    return ""


def _kind(value: object) -> str:
    words = {type(None): "nothing", bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return words.get(type(value), "a map")


def _fault(path: str, message: str) -> Fault:
    return Fault(code="invalid_state", message=message, path=path)
