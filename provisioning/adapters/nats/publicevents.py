"""Publishes what happens for other programs: `prov.<workspace>.workflow.<name>.<event>`, each event of the journal once.

How far it has come is in the last message itself, and every message is refused unless it follows the one before. So a
publisher that was killed goes on where it was, and of two at the same time one has to look again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from provisioning.adapters.nats.batch import LARGEST, Batches
from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.messages import Unreadable, events_of, head
from provisioning.adapters.nats.names import token
from provisioning.adapters.nats.reading import Reading
from provisioning.adapters.nats.replicarows import mark_of
from provisioning.adapters.nats.streams import SECOND_NS, ensure, file_stream
from provisioning.adapters.nats.wire import MESSAGE_ID, Message, Refused, Stored
from provisioning.codec import encode
from provisioning.core.events import Event
from provisioning.core.frozen import dataclass
from provisioning.core.publicevents import NO_WORKSPACE, Origin, envelope, event_id
from provisioning.errors import ClusterUnreachable, NotFoundError

LOG = logging.getLogger("provisioning")
KEPT_S = 7 * 24 * 3600
DUPLICATE_IN_BATCH = 10201
UPTO = "Prov-Upto"
_EXPECTED_LAST = "Nats-Expected-Last-Sequence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The newest event that was published: the `index`th of message `seq` of the journal's stream, whose mark is `stream`."""

    seq: int = 0
    index: int = -1
    stream: int = 0

    def header(self) -> dict[str, str]:
        """Return the header that says so."""
        return {UPTO: f"{self.seq} {self.index} {self.stream}"}


def events_stream(cluster: Cluster) -> dict[str, object]:
    """Return the stream of public events. Nothing of ours depends on it: what is old is dropped."""
    return {
        **file_stream(cluster, stream_name(cluster), (all_events(cluster),)),
        "discard": "old",
        "max_age": KEPT_S * SECOND_NS,
        "allow_atomic": True,
    }


def stream_name(cluster: Cluster) -> str:
    """Return its name."""
    return cluster.names.stream("EVENTS")


def all_events(cluster: Cluster) -> str:
    """Return a filter of every public event."""
    return f"{cluster.names.namespace}.*.workflow.*.*"


def subject_of(cluster: Cluster, origin: Origin, event: Event) -> str:
    """Return where an event is published."""
    workspace, workflow = token(origin.workspace or NO_WORKSPACE), token(origin.workflow)
    return f"{cluster.names.namespace}.{workspace}.workflow.{workflow}.{event.kind.value}"


class PublicEvents:
    """Follows the journal and publishes. `origin` says where a run comes from; it is asked once for each run.

    `noted` is told up to which sequence of the journal's stream everything is published; `since` is what it was told last.
    """

    def __init__(
        self,
        cluster: Cluster,
        blobs: Blobs,
        origin: Callable[[str, int], Awaitable[Origin]],
        *,
        since: int = 0,
        noted: Callable[[int], None] = lambda _seq: None,
    ) -> None:
        self._cluster, self._blobs, self._ask_origin, self._noted = cluster, blobs, origin, noted
        self._batches = Batches(cluster)
        self._origins: dict[str, Origin] = {}
        self._upto = Position(seq=since)
        self._last = 0  # sequence of the newest message of the public stream

    async def serve(self) -> None:
        """Publish until cancelled."""
        await ensure(self._cluster, events_stream(self._cluster))
        while True:
            try:
                await self._follow()
            except Refused as error:
                if not error.conflict and error.number != DUPLICATE_IN_BATCH:
                    raise
                LOG.debug("another one publishes events as well: %s", error)
            except ClusterUnreachable:
                await self._cluster.connected(self._cluster.access.patience_s)

    # ------------------------------------------------------------ parts

    async def _follow(self) -> None:
        await self._look()
        names = self._cluster.names
        reading = Reading(self._cluster, names.work, [names.decisions], self._upto.seq)
        try:
            while True:
                messages = await reading.next()
                await self._publish([message for stored in messages for message in await self._messages(stored)])
                self._noted(messages[-1].seq)
        finally:
            await reading.close()

    async def _look(self) -> None:
        """See how far all publishers together have come. A stream of the journal that was made anew is published as a whole."""
        info = await self._cluster.ask(f"STREAM.INFO.{stream_name(self._cluster)}")
        self._last = int(info["state"]["last_seq"])
        mark = mark_of(await self._cluster.ask(f"STREAM.INFO.{self._cluster.names.work}"))
        if self._upto.stream not in {0, mark}:
            self._upto = Position()
        newest = await self._cluster.last(stream_name(self._cluster), all_events(self._cluster))
        seq, index, stream = map(int, newest.headers.get(UPTO, "0 -1 0").split()) if newest is not None else (0, -1, mark)
        if stream == mark and seq >= self._upto.seq:
            self._upto = Position(seq=seq, index=index, stream=mark)
        self._upto = replace(self._upto, stream=mark)

    async def _messages(self, stored: Stored) -> list[Message]:
        """Return what a message of the journal leads to."""
        try:
            said = head(stored)
            events = events_of(await self._blobs.unpacked(stored.body, stored.headers), stored)
        except (Unreadable, NotFoundError) as error:
            LOG.warning("the public events go on without a decision: %s", error)
            return []
        done = self._upto.index + 1 if stored.seq == self._upto.seq else 0
        if not events[done:]:
            return []
        origin = await self._origin(said.run, stored.seq)
        return [
            self._message(event, origin, replace(self._upto, seq=stored.seq, index=index))
            for index, event in enumerate(events[done:], start=done)
        ]

    def _message(self, event: Event, origin: Origin, position: Position) -> Message:
        headers = {MESSAGE_ID: event_id(event), **position.header()}
        return Message(
            subject=subject_of(self._cluster, origin, event), body=encode(dict(envelope(event, origin))), headers=headers
        )

    async def _origin(self, run: str, seq: int) -> Origin:
        if run not in self._origins:
            try:
                self._origins[run] = await self._ask_origin(run, seq)
            except NotFoundError:  # deleted meanwhile
                return Origin(workspace="", workflow="")
            if len(self._origins) > 1000:
                del self._origins[next(iter(self._origins))]
        return self._origins[run]

    async def _publish(self, messages: list[Message]) -> None:
        for chunk in _chunks(messages):
            first = Message(
                subject=chunk[0].subject,
                body=chunk[0].body,
                headers={**chunk[0].headers, _EXPECTED_LAST: str(self._last)},
            )
            self._last = await self._batches.publish([first, *chunk[1:]])


def _chunks(messages: list[Message]) -> Iterable[list[Message]]:
    return (messages[start : start + LARGEST] for start in range(0, len(messages), LARGEST))
