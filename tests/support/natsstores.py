"""Stores on NATS for tests: each as if in a process of its own, with a connection and a replica of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.store import NatsStore

ALL = ("runs", "events", "steps", "attempts", "dead_letters", "workflows")


@asynccontextmanager
async def opened(access: Access, folder: Path, *, patient: bool = True) -> AsyncIterator[NatsStore]:
    """Open a store whose replica is in this folder."""
    store = NatsStore(Cluster(access), folder, patient=patient)
    try:
        yield store
    finally:
        await store.aclose()


async def stored(store: NatsStore, subject: str) -> int:
    """Return how many messages the server has of a subject."""
    work = store.cluster.names.work
    found = await store.cluster.ask(f"STREAM.INFO.{work}", {"subjects_filter": subject})
    return sum((found["state"].get("subjects") or {}).values())


async def newest(store: NatsStore) -> int:
    """Return the sequence of the newest message of all: how many were ever persisted."""
    found = await store.cluster.ask(f"STREAM.INFO.{store.cluster.names.work}")
    return int(found["state"]["last_seq"])


def dump(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return everything that a replica holds, numbers of rows included."""
    with sqlite3.connect(folder / "history.db") as connection:
        found = {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in ALL}
    connection.close()
    return found
