"""Bad input, whatever it is: exit 3 or 4, the place, nothing written, nobody contacted, nothing run, nothing lost."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.faked import tree
from support.hostile import CANARY, DAMAGE, FILES, FREE, HOSTILE, Documents, Key, documents, replaced, texts, write
from support.real import Ended, formula

from provisioning_cli.main import call

COMMANDS = (("dag", "validate"), ("dag", "plan"), ("taskserv", "create", "--all"))
NO_TRACE = ("Traceback", "unexpected", "this is a bug")


class Spied:
    """A workspace whose servers are a listener on loopback, called in this process, and asked what it noticed."""

    def __init__(self, folder: Path, spy: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._spy, self._capsys = folder, spy, capsys
        self.documents: Documents = documents(spy.getsockname()[1])
        write(folder, self.documents)

    def change(self, **changed: Mapping[str, Any]) -> None:
        write(self.folder, {**self.documents, **changed})

    def run(self, *arguments: str) -> Ended:
        self._capsys.readouterr()
        code = call(["-w", str(self.folder), *arguments])
        captured = self._capsys.readouterr()
        return Ended(code=code, out=captured.out, err=captured.err)

    def untouched(self, before: Mapping[str, object], canary: Path) -> None:
        """Expect that nothing was written, run or contacted."""
        assert tree(self.folder) == before
        assert not list(canary.rglob(CANARY))
        with pytest.raises(BlockingIOError):
            self._spy.accept()

    def refused(self, canary: Path, *facts: str, code: int = 3, commands: tuple[tuple[str, ...], ...] = COMMANDS) -> None:
        before = tree(self.folder)
        for command in commands:
            ended = self.run(*command)
            shown = ended.out + ended.err
            assert ended.code == code, (command, ended)
            assert readable(shown), (command, shown)
            for fact in facts:
                assert fact in shown, (command, shown)
            assert len(shown) < 20_000
        self.untouched(before, canary)


def readable(shown: str) -> bool:
    """Whether a text is printable lines without a word of our insides."""
    return all(char.isprintable() or char == "\n" for char in shown) and not any(word in shown for word in NO_TRACE)


@pytest.fixture
def spied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Spied]:
    """Return a valid workspace in `tmp_path`, which is also the current folder: where canaries would be."""
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as spy:
        spy.setblocking(False)
        yield Spied(tmp_path / "workspace", spy, capsys)


def test_the_workspace_is_valid_before_anything_is_done_to_it(spied: Spied) -> None:
    assert [spied.run(*command).code for command in (("dag", "validate"), ("dag", "plan"))] == [0, 0]


# ---------------------------------------------------------------- hostile texts

FIELDS = [
    pytest.param(name, path, key, number, id=f"{name}: {'.'.join(map(str, path))}{' as a key' if key else ''}")
    for number, (name, path, key) in enumerate(
        (name, path, key) for name, document in documents(1).items() for path, key in texts(document)
    )
]


def free(name: str, path: Key, *, key: bool) -> bool:
    return ".".join(map(str, path)) + "!" * key in FREE[name]


@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.soak)], ids=["some", "all"])
@pytest.mark.parametrize(("name", "path", "key", "number"), FIELDS)
def test_no_field_takes_hostile_text_for_anything_but_text(
    spied: Spied, tmp_path: Path, name: str, path: Key, number: int, share: int, *, key: bool
) -> None:
    """Neighbours get different sixths of the texts: together they get all of them."""
    for what, text in list(HOSTILE.items())[number % share :: share]:
        changed = replaced(spied.documents[name], path, text, key=key)
        spied.change(**{name: changed})
        before = tree(spied.folder)
        for command in (("dag", "validate"), ("dag", "plan"), ("dag", "validate", "-o", "json")):
            ended = spied.run(*command)
            assert readable(ended.out + ended.err), (what, ended)
            assert ended.code == 3 or (ended.code == 0 and acceptable(name, path, text, key=key)), (what, ended)
            assert len(ended.out + ended.err) < 20_000, what
        assert ended.code == 0 or all(fault["file"] and (fault["path"] or fault["line"]) for fault in ended.json["faults"]), (
            what
        )
        if ended.code == 3:
            assert spied.run("taskserv", "create", "--all").code == 3
        spied.untouched(before, tmp_path)


def acceptable(name: str, path: Key, text: str, *, key: bool) -> bool:
    """Whether a text may stand there: where any may, and logins that hold nothing a shell would act on."""
    login = name == "servers" and path[-1] in {"user", "proxy_jump"} and not key
    return free(name, path, key=key) or (
        login and not re.search(r"[\s\x00-\x1f'\"`;&<>|(){}]|^-|^$", text) and len(text) < 1000
    )


# ---------------------------------------------------------------- damaged files


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_by_its_name(spied: Spied, tmp_path: Path, name: str, damage: str) -> None:
    path = spied.folder / FILES[name]
    DAMAGE[damage](path)
    before = [(found, found.lstat()) for found in sorted(spied.folder.rglob("*"))]

    for command in COMMANDS:
        ended = spied.run(*command)
        gone = name == "workspace" and not path.is_file()  # then it is no workspace
        assert ended.code == (4 if gone else 3), ended
        assert path.name in ended.out + ended.err
        assert readable(ended.out + ended.err), ended
    after = [(found, found.lstat()) for found in sorted(spied.folder.rglob("*"))]
    assert [(found, status.st_mtime_ns) for found, status in after] == [(found, status.st_mtime_ns) for found, status in before]


@pytest.mark.parametrize("name", ["servers", "dag"])
def test_wherever_json_is_cut_off_it_is_refused_with_line_and_column(spied: Spied, tmp_path: Path, name: str) -> None:
    path = spied.folder / FILES[name]
    whole = path.read_bytes().rstrip()
    for at in range(0, len(whole), 29):
        path.write_bytes(whole[:at])
        ended = spied.run("dag", "plan")
        assert ended.code == 3, (at, ended)
        assert re.search(rf"{path.name}:\d+:\d+: ", ended.err), (at, ended)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_may_not_be_read_says_so(spied: Spied, tmp_path: Path, name: str) -> None:
    (spied.folder / FILES[name]).chmod(0)
    try:
        assert "permission denied" in spied.run("dag", "plan").err.lower()
    finally:
        (spied.folder / FILES[name]).chmod(0o600)


def test_a_missing_servers_file_is_refused(spied: Spied, tmp_path: Path) -> None:
    (spied.folder / FILES["servers"]).unlink()
    spied.refused(tmp_path, "found no servers file", "servers.json")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["a pipe", "an endless device"])
def test_a_state_file_that_is_no_file_is_refused_and_left_alone(
    spied: Spied, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    state = spied.folder / ".provisioning" / "state.json"
    state.parent.mkdir()
    make(state)
    for command in (("dag", "plan"), ("taskserv", "create", "--all"), ("state", "show")):
        ended = spied.run(*command)
        assert (ended.code, ended.out) == (3, "")
        assert "state.json was refused and left as it is" in ended.err
    assert not state.is_file()
    assert os.path.lexists(state)


# ---------------------------------------------------------------- what does not fit together

OS = {"taskserv": {"name": "os"}}


@pytest.mark.parametrize(
    ("formulas", "facts"),
    [
        pytest.param([formula("a", "cp-2", "os", after=["a"])], ('"a" depends on itself', "[0].depends_on[0]"), id="itself"),
        pytest.param(
            [formula(f"f{n}", "cp-2", "os", after=[f"f{(n + 1) % 50}"]) for n in range(50)],
            ('"f0" -> "f1"', "more", "wait for one another"),
            id="a long cycle",
        ),
        pytest.param(
            [formula("a", "cp-2", "os"), formula("a", "cp-2", "os")], ('second formula "a"', "$.formulas[1].id"), id="twice"
        ),
        pytest.param([formula("a", "cp-9", "os")], ('"cp-9"', "$.formulas[0].server", "dag.json:"), id="unknown server"),
        pytest.param([formula("a", "cp-2", "so")], ('"so"', "$.formulas[0].nodes[0].taskserv"), id="unknown taskserv"),
        pytest.param([formula("a", "cp-2", "os", after=["b"])], ('"b"', "$.formulas[0].depends_on[0]"), id="unknown formula"),
        pytest.param([{"id": "a", "server": "cp-2", "nodes": [OS, OS]}], ('second node "os"', "nodes[1]"), id="one node twice"),
        pytest.param(["a"], ('found "a", expected an object', "$.formulas[0]"), id="no object"),
        pytest.param(
            [formula("a", "cp-2", "os", max_parallel="4")], ('found "4"', "$.formulas[0].max_parallel"), id="mistyped"
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_with_its_place(
    spied: Spied, tmp_path: Path, formulas: list[object], facts: tuple[str, ...]
) -> None:
    spied.change(dag={"formulas": formulas})
    spied.refused(tmp_path, *facts)


def test_every_fault_is_told_in_one_go(spied: Spied, tmp_path: Path) -> None:
    spied.change(dag={"formulas": [formula("a", "cp-9", "so", after=["b"]), formula("a b", "cp-2", "os", max_paralel=1)]})
    spied.refused(tmp_path, '"cp-9"', '"so"', '"b"', '"a b"', 'did you mean "max_parallel"?')


# ---------------------------------------------------------------- names on the command line

NAMED = [
    ("taskserv", "create", "{}"),
    ("taskserv", "create", "os", "--server", "{}"),
    ("taskserv", "create", "os", "--cmd", "{}"),
    ("taskserv", "show", "{}"),
    ("server", "show", "{}"),
    ("run", "show", "{}"),
    ("run", "logs", "{}"),
    ("run", "retry", "{}"),
    ("state", "reset", "{}"),
    ("state", "forget", "{}"),
    ("dag", "plan", "--infra", "{}"),
]


@pytest.mark.parametrize("command", NAMED, ids=" ".join)
def test_a_hostile_name_on_the_command_line_is_not_found(spied: Spied, tmp_path: Path, command: tuple[str, ...]) -> None:
    before = tree(spied.folder)
    for what, text in HOSTILE.items():
        ended = spied.run(*(word.format(text) if word == "{}" else word for word in command))
        assert ended.code in {2, 4}, (what, ended)
        assert ended.out == ""
        assert readable(ended.err), (what, ended.err)
        assert len(ended.err) < 6_000, what
        spied.untouched(before, tmp_path)


@pytest.mark.parametrize(
    "text", [text for text in HOSTILE.values() if "\0" not in text], ids=[n for n in HOSTILE if n != "a nul"]
)
def test_a_hostile_name_for_something_new_is_refused_and_nothing_is_made(spied: Spied, tmp_path: Path, text: str) -> None:
    before = tree(spied.folder)
    ended = spied.run("taskserv", "generate", "--", text)
    assert ended.code == 2
    assert readable(ended.err)
    spied.untouched(before, tmp_path)


def test_the_program_itself_ends_the_same_way(spied: Spied, tmp_path: Path) -> None:
    spied.change(dag={"formulas": [formula(HOSTILE["a terminal's codes"], "cp-2", HOSTILE["a command"])]})
    before = tree(spied.folder)
    words = [sys.executable, "-m", "provisioning_cli.main", "-w", str(spied.folder), "taskserv", "create", "--all"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert readable(ended.stderr)
    spied.untouched(before, tmp_path)
