"""What a run costs the client, on servers that only pretend: work in proportion to its steps, writes far fewer than those."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.cost import counted
from support.faked import FakedWorkspace

from provisioning.adapters.memory.hosts import Answer

TASKSERVS = ("t0", "t1", "t2", "t3")
GATE = {"check_cmd": "true"}


@pytest.fixture
def lab(tmp_path: Path) -> Callable[[int], FakedWorkspace]:
    def make(servers: int) -> FakedWorkspace:
        made = FakedWorkspace(tmp_path / f"lab{servers}")
        made.servers(*({"hostname": f"s{n}", "address": "192.0.2.1"} for n in range(servers)))
        nodes = [{"taskserv": {"name": name}} for name in TASKSERVS]
        made.dag(*({"id": f"f{n}", "server": f"s{n}", "nodes": nodes, "health_gate": GATE} for n in range(servers)))
        for name in TASKSERVS:
            (made.folder / "taskservs" / name / "default" / f"env-{name}.j2").write_text("HOST={{ server.hostname | sh }}\n")
        return made

    return make


def test_twice_the_servers_cost_twice_as_much(lab: Callable[[int], FakedWorkspace]) -> None:
    def lines(servers: int) -> int:
        made = lab(servers)
        with counted() as cost:
            assert made.create("--all").code == 0
        return cost.lines

    lines(3)  # what is loaded with the first run
    assert lines(40) < 2.3 * lines(20)


def test_hundreds_of_steps_are_written_in_tens_of_writes(lab: Callable[[int], FakedWorkspace]) -> None:
    made = lab(60)
    for server in range(60):
        for name in TASKSERVS:
            made.hosts.on_start(name, Answer(seconds=0.001 * (server % 7)), server=f"s{server}")

    ended = made.create("--all")

    assert ended.code == 0
    steps = ended.json["steps"]
    assert len(steps) == 300
    assert made.document()["serial"] < 300 / 10  # each write is two fsyncs
    decided = {at for step in steps for at in (step["started_at"], step["ended_at"])}
    assert len(decided) < 300 / 2  # moments at which the journal was written; each step starts once and ends once
