"""`state reset`, `forget`, `import`, `show` and `unlock` of a workspace whose states a cluster keeps."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.calls import Answer, Caller

from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.resources import NatsResources
from provisioning.adapters.nats.turns import Turns
from provisioning.adapters.statefile import StateFile
from provisioning.core.resources import Resource, ResourceBook, ResourceState

DONE = Resource(state=ResourceState.COMPLETED)
BOOK = ResourceBook(lineage="ours", serial=5, servers={"s-0": {"redis": DONE, "os": DONE}})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def kept(nats_access: Access) -> Access:
    """Return access to a cluster that keeps the states of the workspace."""

    async def put() -> None:
        cluster = Cluster(nats_access)
        await NatsResources(cluster, "test").put(BOOK)
        await cluster.close()

    asyncio.run(put())
    return nats_access


def call(cli: Caller, access: Access, folder: Path, *words: str) -> Answer:
    cluster = ("--nats", access.urls[0], "--namespace", access.namespace)
    return cli("-w", str(folder), "state", *words, *cluster, "-o", "json")


def there(access: Access) -> dict[str, str]:
    """Return taskserv -> state, as the cluster says of the one server."""

    async def found() -> ResourceBook:
        cluster = Cluster(access)
        try:
            return await NatsResources(cluster, "test").load()
        finally:
            await cluster.close()

    return {name: one.state.value for name, one in asyncio.run(found()).servers.get("s-0", {}).items()}


def on_disk(folder: Path) -> dict[str, str]:
    book = StateFile(folder / ".provisioning" / "state.json").load_sync()
    return {name: one.state.value for name, one in book.servers.get("s-0", {}).items()}


@pytest.mark.parametrize(
    ("words", "after"),
    [
        (("reset", "s-0", "redis"), {"redis": "pending", "os": "completed"}),
        (("forget", "s-0", "redis"), {"os": "completed"}),
        (("forget", "s-0"), {}),
    ],
)
def test_an_edit_is_made_where_the_next_run_reads_and_the_file_follows(
    cli: Caller, kept: Access, tmp_workspace: Path, words: tuple[str, ...], after: dict[str, str]
) -> None:
    answer = call(cli, kept, tmp_workspace, *words)
    assert (answer.code, answer.json["serial"]) == (0, 6)
    assert there(kept) == on_disk(tmp_workspace) == after
    again = call(cli, kept, tmp_workspace, "reset", "s-0", "redis")
    assert again.code == (0 if "redis" in after else 4)
    edits = cli("-w", str(tmp_workspace), "state", "history", "-o", "json").json["events"]
    assert ("s-0", "redis", words[0]) in [(edit["server"], edit["taskserv"], edit["event"]) for edit in edits]


def test_an_import_goes_to_the_cluster(cli: Caller, kept: Access, tmp_workspace: Path, tmp_path: Path) -> None:
    older = StateFile(tmp_path / "older.json")
    older.adopt_sync(ResourceBook(lineage="other", serial=1, servers={"s-0": {"nats": DONE}}))
    assert call(cli, kept, tmp_workspace, "import", str(tmp_path / "older.json")).code == 0
    assert there(kept) == on_disk(tmp_workspace) == {"nats": "completed", "redis": "completed", "os": "completed"}


def test_what_is_shown_is_what_the_cluster_says(cli: Caller, kept: Access, tmp_workspace: Path) -> None:
    shown = call(cli, kept, tmp_workspace, "show").json
    assert (shown["lineage"], shown["serial"], len(shown["resources"])) == ("ours", 5, 2)
    assert cli("-w", str(tmp_workspace), "state", "show", "-o", "json").json["resources"] == []


def test_who_works_on_a_workspace_is_named_and_nothing_is_edited_meanwhile(
    cli: Caller, kept: Access, tmp_workspace: Path
) -> None:
    async def taken() -> None:
        cluster = Cluster(kept)
        turns = Turns(cluster)
        await turns.take("test", await turns.now("test"), "r1", "ana@laptop", begun=False)
        await cluster.close()

    assert call(cli, kept, tmp_workspace, "unlock").json == {"locked": False}
    asyncio.run(taken())
    for words in (("unlock",), ("reset", "s-0")):
        answer = call(cli, kept, tmp_workspace, *words)
        assert answer.code == 6
        assert "ana@laptop" in answer.json["error"]["message"]
        assert "--wait" not in answer.json["error"]["hint"]
    assert there(kept) == {"redis": "completed", "os": "completed"}


def test_states_that_only_this_machine_has_are_not_passed_over(cli: Caller, nats_access: Access, tmp_workspace: Path) -> None:
    StateFile(tmp_workspace / ".provisioning" / "state.json").adopt_sync(BOOK, force=True)
    answer = call(cli, nats_access, tmp_workspace, "reset", "s-0")
    assert answer.code == 3
    assert "state push" in answer.json["error"]["hint"]
    assert on_disk(tmp_workspace) == {"redis": "completed", "os": "completed"}
