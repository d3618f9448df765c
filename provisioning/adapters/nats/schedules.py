"""Marks and pauses of schedules in a cluster: one key that holds them all, written with compare-and-set.

All in one, since a scheduler moves all its marks at each look: that is one message, not one for each DAG.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.replica import Replica
from provisioning.adapters.nats.streams import bucket, ensure
from provisioning.adapters.nats.wire import Message, Refused, expected
from provisioning.adapters.sqlite.schedules import SqliteSchedules
from provisioning.codec import CodecError, decode, encode
from provisioning.core.schedules import Going, Kept, Mark
from provisioning.errors import StoreError

BUCKET, KEY = "schedules", "all"
All = dict[str, Kept]


class NatsSchedules:
    """Fulfils `core.schedules.Schedules`. What it says of runs is asked of a replica of the history."""

    def __init__(self, cluster: Cluster, blobs: Blobs, replica: Replica) -> None:
        self._cluster, self._blobs, self._replica = cluster, blobs, replica
        self._runs = SqliteSchedules(replica.writer)
        self._stream, self._subject = cluster.names.bucket(BUCKET), cluster.names.key(BUCKET, KEY)
        self._made = False

    async def kept(self, names: Sequence[str] | None = None) -> Mapping[str, Kept]:
        """See `Schedules`."""
        known, _seq = await self._read()
        return known if names is None else {name: known[name] for name in names if name in known}

    async def put(self, marks: Mapping[str, Mark]) -> None:
        """See `Schedules`."""

        def change(known: All) -> All:
            newer = {name: mark for name, mark in marks.items() if not _further(known.get(name), mark.cursor)}
            return {name: replace(_of(known, name), mark=mark) for name, mark in newer.items()}

        await self._change(change)

    async def advance(self, names: Sequence[str], cursor: datetime) -> None:
        """See `Schedules`."""

        def change(known: All) -> All:
            marks = ((name, _of(known, name).mark) for name in names)
            stay = {name for name, mark in marks if mark is not None and (mark.cursor >= cursor or mark.behind is not None)}
            return {name: replace(_of(known, name), mark=Mark(cursor=cursor)) for name in names if name not in stay}

        await self._change(change)

    async def restarting(self, name: str, at: datetime | None) -> None:
        """See `Schedules`."""
        await self._change(lambda known: {name: replace(_of(known, name), restarting=at)})

    async def pause(self, name: str, by: str, at: datetime) -> None:
        """See `Schedules`."""
        await self._change(lambda known: {name: replace(_of(known, name), paused_by=by, paused_at=at)})

    async def resume(self, name: str, at: datetime) -> None:
        """See `Schedules`."""

        def change(known: All) -> All:
            one = _of(known, name)
            cursor = max(one.mark.cursor, at) if one.mark is not None else at
            return {name: Kept(name=name, mark=Mark(cursor=cursor), restarting=one.restarting)}

        await self._change(change)

    async def going(self, names: Sequence[str]) -> list[Going]:
        """See `Schedules`."""
        await self._replica.caught_up()
        return await self._runs.going(names)

    async def succeeded_at(self, name: str) -> datetime | None:
        """See `Schedules`."""
        await self._replica.caught_up()
        return await self._runs.succeeded_at(name)

    # ------------------------------------------------------------ parts

    async def _read(self) -> tuple[All, int]:
        """Return all that is kept, and the sequence of that."""
        if not self._made:
            await ensure(self._cluster, bucket(self._cluster, BUCKET))
            self._made = True
        found = await self._cluster.last(self._stream, self._subject)
        if found is None:
            return {}, 0
        try:
            known = decode(await self._blobs.unpacked(found.body, found.headers), list[Kept], strict=False)
        except CodecError as error:
            raise StoreError(f"nats: the marks of schedules are damaged: {error}") from error
        return {one.name: one for one in known}, found.seq

    async def _change(self, change: Callable[[All], All]) -> None:
        """Write what `change` makes anew of what is there; again where somebody else was faster."""
        while True:
            known, seq = await self._read()
            changed = {**known, **change(known)}
            if changed == known:
                return
            body, more = await self._blobs.packed(BUCKET, encode(list(changed.values())))
            try:
                await self._cluster.publish(Message(subject=self._subject, body=body, headers={**more, **expected(seq)}))
            except Refused as error:
                if not error.conflict:
                    raise
            else:
                return


def _of(known: All, name: str) -> Kept:
    return known.get(name, Kept(name=name))


def _further(one: Kept | None, cursor: datetime) -> bool:
    return one is not None and one.mark is not None and one.mark.cursor > cursor
