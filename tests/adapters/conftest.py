"""A folder for units, and a link to this machine that keeps them there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.remote import end_all, local_link

from provisioning.adapters.remote.link import RemoteLink


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "units"
    end_all(str(tmp_path / "units"))


@pytest.fixture
def link(home: Path) -> RemoteLink:
    return local_link(home)


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    return tmp_path / "counter"
