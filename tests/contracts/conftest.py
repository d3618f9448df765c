"""One suite per port, run against every adapter that fulfils it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioning.adapters.memory import FakeClock, MemoryStore
from provisioning.adapters.sqlite.store import SqliteStore

Store = MemoryStore | SqliteStore


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(clock)
        return
    opened = SqliteStore(tmp_path / ".provisioning" / "history.db", clock)
    yield opened
    opened.close()
