"""State files that were damaged in thousands of ways: each is refused by name or read for what it says."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.faked import FakedWorkspace
from support.real import Ended, formula

SEED = 20260102
QUICK, SOAK = 400, 20_000
OTHER_VALUES: tuple[object, ...] = (None, True, -1, 0, 1.5, 10**30, "", "x", "\u0000", [], [[]], {}, {"x": 1})
OTHER_DOCUMENTS = (
    b"",
    b" \n",
    b"\0" * 4096,
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"1",
    b"[" * 50_000,
    b'{"a":' * 50_000,
    b"\xff\xfe{}",
)
STRANGERS: tuple[object, ...] = (
    {"servers": {}},
    {"formulas": []},
    {"version": 4, "terraform_version": "1.5", "serial": 1, "resources": []},
)


@pytest.fixture
def workspace(faked: FakedWorkspace) -> FakedWorkspace:
    """Two servers, three taskservs, all completed, a state file with a backup."""
    faked.dag(formula("a", "cp-0", "os", "etcd"), formula("b", "web-0", "web", after=["a"]))
    assert faked.create("--all").code == 0
    return faked


def state_file(workspace: FakedWorkspace) -> Path:
    return workspace.folder / ".provisioning" / "state.json"


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield where a document has values, the inner ones too."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def swapped(good: bytes, dice: random.Random) -> bytes:
    """Put something of another type in one place, or take the place away."""
    document: Any = json.loads(good)
    *way, last = dice.choice(list(places(document)))
    holder = document
    for key in way:
        holder = holder[key]
    if dice.random() < 0.2:
        del holder[last]
    else:
        holder[last] = copy.deepcopy(dice.choice(OTHER_VALUES))
    return json.dumps(document).encode()


def flipped(good: bytes, dice: random.Random) -> bytes:
    """Turn one to four bits over."""
    broken = bytearray(good)
    for _ in range(dice.randint(1, 4)):
        broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
    return bytes(broken)


def truncated(good: bytes, dice: random.Random) -> bytes:
    """Cut it anywhere."""
    return good[: dice.randrange(len(good.rstrip()))]


def overwritten(good: bytes, dice: random.Random) -> bytes:
    """Let a block of the disk come back as zeros, or as another block of the file."""
    size, at, source = dice.choice([16, 64, 512]), dice.randrange(len(good)), dice.randrange(len(good))
    block = b"\0" * size if dice.random() < 0.5 else good[source : source + size]
    return good[:at] + block + good[at + size :]


def foreign(good: bytes, dice: random.Random) -> bytes:
    """Replace it by something else that may lie under its name."""
    document = json.loads(good)
    others = [
        *OTHER_DOCUMENTS,
        *(json.dumps(one).encode() for one in STRANGERS),
        json.dumps({**document, "version": document["version"] + dice.randint(1, 99)}).encode(),
        json.dumps({**document, "lineage": f"other-{dice.random()}"}).encode(),
        good + b"{}",
        good * 2,
    ]
    return dice.choice(others)


KINDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (flipped, truncated, swapped, overwritten, foreign)


def entries(data: bytes) -> list[tuple[str, str, str]]:
    """Return (server, taskserv, state) as a file says them. Raises KeyError where it does not say them at all."""
    servers = json.loads(data)["servers"]
    return sorted((host, name, one["state"]) for host, of in servers.items() for name, one in of["taskservs"].items())


def judge(workspace: FakedWorkspace, data: bytes, ended: Ended) -> str:
    """Return what became of it: `refused`, or `read` for what it says. Raises AssertionError for anything else."""
    path = state_file(workspace)
    assert "Traceback" not in ended.err + ended.out
    assert "unexpected" not in ended.err, ended.err
    if ended.code == 0:
        return "read"
    said = ended.err + ended.out
    assert ended.code == 3, (data, ended)
    assert str(path) in said
    assert f"{path}.backup" in said
    assert path.read_bytes() == data
    return "refused"


def mutate(workspace: FakedWorkspace, count: int) -> Counter[str]:
    """Damage the file `count` times; look at it each time, and run on every fortieth."""
    path, dice, found = state_file(workspace), random.Random(SEED), Counter[str]()
    good, kept = path.read_bytes(), path.with_name("state.json.backup").read_bytes()
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        data = kind(good, dice)
        path.write_bytes(data)
        ended = workspace.run("state", "show", "-o", "json")
        verdict = judge(workspace, data, ended)
        found[f"{kind.__name__} {verdict}"] += 1
        if verdict == "read":
            shown = [(one["server"], one["taskserv"], one["state"]) for one in ended.json["resources"]]
            assert sorted(shown) == entries(data), "an answer is what the file says, no more and no less"
        if verdict == "refused" and number % 8 == 0:
            before = len(workspace.started)
            assert judge(workspace, data, workspace.run("taskserv", "create", "--all")) == "refused"
            assert len(workspace.started) == before, "nothing is installed over a state that is not known"
            found["runs refused"] += 1
        assert path.with_name("state.json.backup").read_bytes() == kept
    return found


def cut_after(workspace: FakedWorkspace, *, each: int) -> int:
    """Cut the file after each so many bytes; return how many cuts there were."""
    path = state_file(workspace)
    good = path.read_bytes()
    cuts = range(0, len(good.rstrip()), each)
    for size in cuts:
        path.write_bytes(good[:size])
        assert judge(workspace, good[:size], workspace.run("state", "show")) == "refused"
    return len(cuts)


def test_hundreds_of_damaged_files_are_refused_or_read_for_what_they_say(
    workspace: FakedWorkspace, say: Callable[[str], None]
) -> None:
    found = mutate(workspace, QUICK)
    say(f"{QUICK} mutated state files, seed {SEED}: {dict(sorted(found.items()))}")


def test_a_file_that_was_cut_is_refused(workspace: FakedWorkspace, say: Callable[[str], None]) -> None:
    say(f"{cut_after(workspace, each=7)} cuts of a state file, one after each 7 bytes: all refused")


@pytest.mark.parametrize(
    "command", [("state", "show"), ("taskserv", "create", "--all", "--check"), ("taskserv", "create", "--all")]
)
def test_a_file_of_another_workspace_is_refused_though_it_is_whole(workspace: FakedWorkspace, command: tuple[str, ...]) -> None:
    path = state_file(workspace)
    data = json.dumps({**json.loads(path.read_bytes()), "lineage": "another"}).encode()
    path.write_bytes(data)

    ended = workspace.run(*command)

    assert judge(workspace, data, ended) == "refused"
    assert "another workspace" in ended.err


LOOKING = (("state", "show"), ("taskserv", "create", "--all", "--check"), ("dag", "show"))
WRITING = (("taskserv", "create", "--all"), ("state", "reset", "cp-0"), ("run", "retry", "last"))


@pytest.mark.parametrize("command", [*LOOKING, *WRITING])
@pytest.mark.parametrize("age", [1, 2])
def test_an_older_file_that_was_put_back_is_refused(workspace: FakedWorkspace, command: tuple[str, ...], age: int) -> None:
    path = state_file(workspace)
    older = path.with_name("state.json.backup").read_bytes()
    newest = json.loads(older)["serial"] + 1
    for _ in range(age - 1):
        assert workspace.run("state", "reset", "web-0").code == 0
        newest += 1
    path.write_bytes(older)
    before = len(workspace.started)

    ended = workspace.run(*command)

    assert judge(workspace, older, ended) == "refused"
    assert f"its serial {newest - age} is older than {newest}, which was written before" in ended.err
    assert "provisioning run list" in ended.err
    assert "provisioning state import" in ended.err
    assert len(workspace.started) == before


def test_the_newer_file_put_in_place_of_an_older_one_is_taken(workspace: FakedWorkspace) -> None:
    path = state_file(workspace)
    newest = path.read_bytes()
    path.write_bytes(path.with_name("state.json.backup").read_bytes())
    assert workspace.create("--all").code == 3
    path.write_bytes(newest)
    before = len(workspace.started)

    assert workspace.create("--all").code == 0
    assert len(workspace.started) == before


def test_an_older_file_is_accepted_by_importing_it(workspace: FakedWorkspace) -> None:
    path = state_file(workspace)
    older, serial = path.read_bytes(), json.loads(path.read_bytes())["serial"]
    assert workspace.run("state", "forget", "web-0").code == 0
    path.write_bytes(older)
    aside = path.rename(path.with_name("older.json"))

    assert workspace.run("state", "import", str(aside)).code == 0

    assert workspace.states() == {"cp-0/os": "completed", "cp-0/etcd": "completed", "web-0/web": "completed"}
    assert json.loads(path.read_bytes())["serial"] == serial + 2, "it counts on from the newest that was"
    assert json.loads(path.read_bytes())["lineage"] == json.loads(older)["lineage"]
    before = len(workspace.started)
    assert workspace.create("--all").code == 0
    assert len(workspace.started) == before


def test_a_new_start_keeps_the_lineage_that_the_backup_has(workspace: FakedWorkspace) -> None:
    path = state_file(workspace)
    lineage = json.loads(path.read_bytes())["lineage"]
    path.unlink()
    for _ in range(2):
        assert workspace.create("--all").code == 0
    assert json.loads(path.read_bytes())["lineage"] == lineage


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_thousand_damaged_files(workspace: FakedWorkspace, say: Callable[[str], None]) -> None:
    found = mutate(workspace, SOAK)
    say(f"{SOAK} mutated state files, seed {SEED}: {dict(sorted(found.items()))}")


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_file_cut_after_any_byte(workspace: FakedWorkspace, say: Callable[[str], None]) -> None:
    say(f"{cut_after(workspace, each=1)} cuts of a state file, one after each byte: all refused")
