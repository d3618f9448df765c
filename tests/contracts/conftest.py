"""One suite per port, run against every adapter that fulfils it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.adapters.memory import FakeClock, MemoryStore
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.store import NatsStore
from provisioning.adapters.sqlite.store import SqliteStore

Store = MemoryStore | SqliteStore | NatsStore


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite", "nats"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(clock)
        return
    if request.param == "nats":
        access: Access = request.getfixturevalue("nats_access")
        shared = NatsStore(Cluster(access), tmp_path, clock, patient=True)
        yield shared
        shared.close()
        return
    opened = SqliteStore(tmp_path / ".provisioning" / "history.db", clock)
    yield opened
    opened.close()
