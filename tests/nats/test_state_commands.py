"""`state pull` and `state push`: neither loses what the other side has, unless it is told to."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from support.calls import Answer, Caller

from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.resources import NatsResources
from provisioning.adapters.statefile import StateFile
from provisioning.core.resources import Resource, ResourceBook, ResourceState

DONE = Resource(state=ResourceState.COMPLETED)
BOOK = ResourceBook(lineage="ours", serial=5, servers={"s-0": {"redis": DONE}})


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


def call(cli: Caller, access: Access, folder: Path, *words: str) -> Answer:
    cluster = ("--nats", access.urls[0], "--namespace", access.namespace)
    return cli("-w", str(folder), "state", *words, *cluster, "-o", "json")


def on_disk(folder: Path) -> ResourceBook:
    return StateFile(folder / ".provisioning" / "state.json").load_sync()


def write(folder: Path, book: ResourceBook) -> None:
    StateFile(folder / ".provisioning" / "state.json").adopt_sync(book, force=True)


def on_nats(access: Access, book: ResourceBook | None = None) -> ResourceBook | None:
    """Return what is there, after writing `book`."""

    async def work() -> ResourceBook | None:
        cluster = Cluster(access)
        resources = NatsResources(cluster, "test")
        if book is not None:
            await resources.put(book, force=True)
        found = await resources.found()
        await cluster.close()
        return found

    return asyncio.run(work())


def test_what_was_pushed_is_pulled_elsewhere(cli: Caller, nats_access: Access, tmp_workspace: Path, tmp_path: Path) -> None:
    write(tmp_workspace, BOOK)
    pushed = call(cli, nats_access, tmp_workspace, "push")
    other = tmp_path / "other"
    other.mkdir()
    (other / "workspace.toml").write_text('name = "test"\n', "utf-8")
    pulled = call(cli, nats_access, other, "pull")
    changed = [{"server": "s-0", "taskserv": "redis"}]
    for answer in (pushed, pulled):
        assert (answer.code, answer.json["serial"], answer.json["written"], answer.json["resources"]) == (0, 5, True, changed)
    assert on_disk(other) == on_nats(nats_access) == BOOK
    history = cli("-w", str(other), "state", "history", "-o", "json").json["events"]
    assert [(event["event"], event["server"], event["source"]) for event in history] == [("pull", "s-0", "cli")]


def test_the_same_again_does_nothing(cli: Caller, nats_access: Access, tmp_workspace: Path) -> None:
    write(tmp_workspace, BOOK)
    call(cli, nats_access, tmp_workspace, "push")
    assert [call(cli, nats_access, tmp_workspace, word).json["written"] for word in ("push", "pull")] == [False, False]


OTHERS = [
    pytest.param(replace(BOOK, serial=9), "serial 9 is newer than 5", id="newer"),
    pytest.param(replace(BOOK, lineage="theirs"), "lineage", id="other lineage"),
    pytest.param(BOOK.put({("s-1", "etcd"): DONE}), "both are at serial 5", id="same serial, other states"),
]


@pytest.mark.parametrize(("other", "reason"), OTHERS)
def test_a_push_that_would_lose_something_needs_force(
    cli: Caller, nats_access: Access, tmp_workspace: Path, other: ResourceBook, reason: str
) -> None:
    write(tmp_workspace, BOOK)
    on_nats(nats_access, other)
    refused = call(cli, nats_access, tmp_workspace, "push")
    assert (refused.code, reason in refused.out, "--force" in refused.out) == (3, True, True)
    assert on_nats(nats_access) == other
    assert call(cli, nats_access, tmp_workspace, "push", "--force").code == 0
    assert on_nats(nats_access) == BOOK


@pytest.mark.parametrize(("other", "reason"), OTHERS)
def test_a_pull_that_would_lose_something_needs_force(
    cli: Caller, nats_access: Access, tmp_workspace: Path, other: ResourceBook, reason: str
) -> None:
    write(tmp_workspace, other)
    on_nats(nats_access, BOOK)
    refused = call(cli, nats_access, tmp_workspace, "pull")
    assert (refused.code, reason in refused.out, "--force" in refused.out) == (3, True, True)
    assert on_disk(tmp_workspace) == other
    assert call(cli, nats_access, tmp_workspace, "pull", "--force").code == 0
    assert on_disk(tmp_workspace) == BOOK


def test_an_older_side_is_simply_replaced(cli: Caller, nats_access: Access, tmp_workspace: Path) -> None:
    newer = replace(BOOK, serial=6).put({("s-1", "etcd"): DONE})
    write(tmp_workspace, BOOK)
    on_nats(nats_access, newer)
    assert call(cli, nats_access, tmp_workspace, "pull").json["resources"] == [{"server": "s-1", "taskserv": "etcd"}]
    assert on_disk(tmp_workspace) == newer


@pytest.mark.parametrize("word", ["pull", "push"])
def test_where_there_is_nothing_that_is_said(cli: Caller, nats_access: Access, tmp_workspace: Path, word: str) -> None:
    answer = call(cli, nats_access, tmp_workspace, word)
    assert (answer.code, bool(answer.json["error"]["hint"])) == (4, True)
    assert not (tmp_workspace / ".provisioning" / "state.json").exists()


@pytest.mark.parametrize("word", ["pull", "push"])
def test_without_a_cluster_the_call_is_wrong(cli: Caller, tmp_workspace: Path, word: str) -> None:
    assert cli("-w", str(tmp_workspace), "state", word).code == 2
