"""Fixtures of the command line's tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.calls import Caller

from provisioning_cli.engine_main import NAME, dag_engine

DAG = {
    "formulas": [
        {"id": "base", "server": "s-0", "nodes": [{"taskserv": {"name": "redis"}}], "health_gate": {"check_cmd": "true"}},
        {"id": "app", "server": "s-1", "nodes": [{"taskserv": {"name": "redis"}}], "depends_on": ["base"]},
    ]
}
SERVERS = {"servers": [{"hostname": "s-0", "address": "192.0.2.1"}, {"hostname": "s-1", "address": "192.0.2.2"}]}


@pytest.fixture
def engine(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Return `dag-engine`, called from a folder of nothing."""
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    monkeypatch.chdir(nothing)
    monkeypatch.delenv("DAGU_HOME", raising=False)
    return Caller(capsys, dag_engine, NAME)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Return the command line, called from an empty folder."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    return Caller(capsys)


@pytest.fixture
def sample(tmp_workspace: Path) -> Path:
    """Return a workspace with two formulas on two servers and one taskserv."""
    infra = tmp_workspace / "infra" / "main"
    infra.mkdir(parents=True)
    (infra / "dag.json").write_text(json.dumps(DAG))
    (infra / "servers.json").write_text(json.dumps(SERVERS))
    profile = tmp_workspace / "taskservs" / "redis" / "default"
    profile.mkdir(parents=True)
    (profile / "install-redis.sh").write_text("#!/bin/bash\n")
    return tmp_workspace
