from __future__ import annotations

import pytest

from provisioning.core.resources import LOG_LIMIT, ResourceState
from provisioning.core.statedoc import import_document
from provisioning.errors import ConfigError

S1 = {
    "servers": {
        "cp-0": {
            "taskservs": {
                "etcd": {
                    "state": "completed",
                    "operation": "create",
                    "profile": "default",
                    "started_at": "2026-01-01T12:00:00Z",
                    "ended_at": "2026-01-01T12:00:09Z",
                    "blocker": "",
                    "actor": {"identity": "root", "source": "cli"},
                    "log": [{"ts": "2026-01-01T12:00:09Z", "event": "completed", "source": "orchestrator"}],
                },
                "my-kube.v2": {"state": "Pending", "started_at": None, "actor": None, "log": None, "extra": 1},
            }
        },
        "empty": {"taskservs": {}},
    }
}


def test_a_document_of_the_original_tool_becomes_a_book() -> None:
    book = import_document(S1, lineage="mine")
    assert (book.lineage, book.serial, list(book.servers)) == ("mine", 0, ["cp-0"])
    etcd, kube = book.get("cp-0", "etcd"), book.get("cp-0", "my-kube.v2")
    assert etcd is not None
    assert (etcd.state, etcd.operation, etcd.ended_at, etcd.blocker) == ("completed", "create", "2026-01-01T12:00:09Z", None)
    assert (etcd.actor.identity, etcd.log[0].source) == ("root", "orchestrator")
    assert kube is not None
    assert (kube.state, kube.started_at, kube.log) == (ResourceState.PENDING, None, ())


@pytest.mark.parametrize(
    ("word", "state"), [("Running", "running"), ("FAILED", "failed"), ("cancelled", "interrupted"), ("blocked", "blocked")]
)
def test_states_are_read_however_they_are_written(word: str, state: str) -> None:
    book = import_document({"servers": {"h": {"taskservs": {"t": {"state": word}}}}})
    assert book.servers["h"]["t"].state == state


def test_long_logs_are_capped() -> None:
    log = [{"ts": str(number), "event": "e"} for number in range(100)]
    book = import_document({"servers": {"h": {"taskservs": {"t": {"state": "completed", "log": log}}}}})
    assert [entry.ts for entry in book.servers["h"]["t"].log] == [str(number) for number in range(100 - LOG_LIMIT, 100)]


def test_every_fault_is_reported_with_its_path() -> None:
    document = {
        "servers": {
            "a": [],
            "b": {"taskservs": {"x": {"state": "done"}, "y": "completed", "z": {"state": "failed", "log": {}, "profile": 3}}},
        }
    }
    with pytest.raises(ConfigError) as refused:
        import_document(document)
    assert {fault.path: fault.message.partition(";")[0] for fault in refused.value.faults} == {
        "$.servers.a": "expected a map, found a list",
        "$.servers.b.taskservs.x.state": "'done' is no state",
        "$.servers.b.taskservs.y": "expected a map, found text",
        "$.servers.b.taskservs.z.log": "expected a list, found a map",
        "$.servers.b.taskservs.z.profile": "expected text, found a number",
    }


@pytest.mark.parametrize("document", [None, [], "servers", 3, {}, {"hosts": {}}])
def test_what_is_no_state_document_is_refused(document: object) -> None:
    with pytest.raises(ConfigError, match="not a state document"):
        import_document(document)
