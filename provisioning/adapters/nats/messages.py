"""What is in each message, as JSON. Pure. What is too long for a message travels as a blob, which the message names instead."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from urllib.parse import quote, unquote

from provisioning.adapters.nats.wire import Stored
from provisioning.codec import CodecError, decode, encode
from provisioning.core.events import Event
from provisioning.core.frozen import dataclass
from provisioning.core.model import Action
from provisioning.core.ports import Report, Request, Task, Timer
from provisioning.errors import StoreError

INLINE_BYTES = 256 * 1024
"""Longer bodies travel as blobs; a server's default limit is four times that."""
RUN, LAST, CURSOR, FENCE, COMMIT = "Wf-Run", "Wf-Last", "Wf-Cursor", "Wf-Fence", "Wf-Commit"
WORKFLOW, GONE, LETTERS = "Wf-Workflow", "Wf-Gone", "Wf-Letters"
BLOB = "Wf-Blob"


class Unreadable(StoreError):
    """A message does not hold what it has to."""

    code = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the headers of a message of decisions say."""

    run: str
    last: int  # seq of the newest event, of this message or, where it has none, before it
    cursor: int = 0  # sequence in the stream of the newest input that the decision took into account
    fence: int | None = None  # fencing number of who wrote it
    commit: str = ""  # tells who asks again whether it was this one that was stored
    workflow: str = ""  # digest, of a message that creates a run
    gone: bool = False  # the run was deleted
    letters: str = ""  # dead letters were deleted: which, as JSON

    def headers(self) -> dict[str, str]:
        """Return them."""
        said = {RUN: quote(self.run, safe=""), LAST: str(self.last), CURSOR: str(self.cursor), COMMIT: self.commit}
        more = {WORKFLOW: self.workflow, GONE: "yes" if self.gone else "", LETTERS: self.letters}
        more[FENCE] = "" if self.fence is None else str(self.fence)
        return {**said, **{name: value for name, value in more.items() if value}}


def head(stored: Stored) -> Head:
    """Return what a message of decisions says of itself. Raises Unreadable."""
    said = stored.headers
    try:
        return Head(
            run=unquote(said[RUN]),
            last=int(said[LAST]),
            cursor=int(said.get(CURSOR, 0)),
            fence=int(said[FENCE]) if FENCE in said else None,
            commit=said.get(COMMIT, ""),
            workflow=said.get(WORKFLOW, ""),
            gone=GONE in said,
            letters=said.get(LETTERS, ""),
        )
    except (KeyError, ValueError) as error:
        raise _damaged(stored, f"header {error}") from error


def events_body(events: Sequence[Event]) -> bytes:
    """Return the events of one commit. Raises ValueError for what JSON cannot hold."""
    return encode(list(events))


def events_of(body: bytes, stored: Stored) -> list[Event]:
    """Return the events in the body of a message. Raises Unreadable."""
    try:
        return decode(body or b"[]", list[Event], strict=False)
    except CodecError as error:
        raise _damaged(stored, str(error)) from error


def task_body(task: Task) -> bytes:
    """Return a dispatch. Raises ValueError for what JSON cannot hold."""
    return encode(task)


def task_of(body: bytes, stored: Stored) -> Task:
    """Return the dispatch in a body. Raises Unreadable."""
    try:
        return decode(body, Task, strict=False)
    except CodecError as error:
        raise _damaged(stored, str(error)) from error


def reports_body(reports: Sequence[Report]) -> bytes:
    """Return what a worker says, several at once: a server syncs once for each message. Of the task its name is enough."""
    return encode([replace(report, task=_named(report.task)) for report in reports])


def reports_of(body: bytes, stored: Stored) -> list[Report]:
    """Return the reports in a body. Raises Unreadable."""
    try:
        return decode(body, list[Report], strict=False)
    except CodecError as error:
        raise _damaged(stored, str(error)) from error


def _named(task: Task) -> Task:
    return Task(
        run=task.run,
        step=task.step,
        attempt=task.attempt,
        epoch=task.epoch,
        action=Action(type=task.action.type),
        target=task.target,
    )


def request_body(request: Request) -> bytes:
    """Return what an operator asks."""
    return encode(request)


def request_of(body: bytes, stored: Stored) -> Request:
    """Return the request in a body; its id is its sequence in the stream. Raises Unreadable."""
    try:
        return replace(decode(body, Request, strict=False), id=stored.seq)
    except CodecError as error:
        raise _damaged(stored, str(error)) from error


def timer_body(timer: Timer) -> bytes:
    """Return a timer."""
    return encode(timer)


def timer_of(body: bytes, stored: Stored) -> Timer:
    """Return the timer in a body. Raises Unreadable."""
    try:
        return decode(body, Timer, strict=False)
    except CodecError as error:
        raise _damaged(stored, str(error)) from error


def address(data: bytes) -> str:
    """Return the address of a blob: `sha256:` and 64 hex digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def blob_of(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Return owner and address of the blob that stands for a body, if one does."""
    owner, mark, where = headers.get(BLOB, "").partition(" ")
    return (unquote(owner), where) if mark else None


def blob_header(owner: str, where: str) -> Mapping[str, str]:
    """Return the header that names the blob which stands for a body."""
    return MappingProxyType({BLOB: f"{quote(owner, safe='')} {where}"})


def _damaged(stored: Stored, what: str) -> Unreadable:
    return Unreadable(f"nats: message {stored.seq} ({stored.subject}) is damaged: {what}", hint="it was not written by us")
