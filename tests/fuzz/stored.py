"""Targets: what we stored ourselves, after anything may have happened to it."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

from fuzz.documents import books, moments, resources
from fuzz.shapes import no_crash, safe_for_a_terminal, strict_json
from fuzz.target import Check, Target
from fuzz.words import as_json, changed, damaged, files, hostile, noise, values
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from support.faked import FakedWorkspace

from provisioning.adapters.editlog import EditLog
from provisioning.adapters.lock import WorkspaceLock
from provisioning.adapters.logs import read_log
from provisioning.adapters.statefile import StateFile
from provisioning.codec import CodecError, decode, encode, plain
from provisioning.core.events import Event, Kind
from provisioning.core.model import Action, Dep, Policy, Retry, Step, Workflow
from provisioning.core.ports import Report, Request, Task, Timer
from provisioning.errors import ProvisioningError
from provisioning.operations.states import read_foreign_state
from provisioning_cli.context import App
from provisioning_cli.main import call


def called(arguments: Sequence[str], app: App | None = None) -> str:
    """Call the command line, JSON asked for; the outcome is its exit code. It never crashes, and what it prints is JSON."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = call(arguments, app)
    said = out.getvalue() + err.getvalue()
    no_crash(said)
    assert code in {0, 1, 2, 3, 4, 5, 6, 7}, (code, said)
    safe_for_a_terminal(err.getvalue())
    if out.getvalue() and "--help" not in arguments and "-h" not in arguments:
        strict_json(out.getvalue())
    return "accepted" if code == 0 else f"refused: exit {code}"


# ---------------------------------------------------------------- files


def state_file(folder: Path) -> Check:
    """`state.json`: what is read is what it says, and comes back when it is written."""

    def check(data: bytes) -> str:
        for path in folder.iterdir():
            path.unlink()
        path = folder / "state.json"
        path.write_bytes(data)
        try:
            book = StateFile(path).load_sync()
        except ProvisioningError:
            assert path.read_bytes() == data
            raise
        document = strict_json(data.decode().replace("\x7f", ""))
        assert isinstance(document, dict)
        assert set(book.servers) == set(document["servers"]) or "\x7f" in data.decode()
        saved = StateFile(path).save_sync(book)
        again = StateFile(path).load_sync()
        assert again == saved == replace(book, serial=book.serial + 1)
        return "accepted"

    return check


def imported_state(folder: Path) -> Check:
    """A file for `state import`: every state that is taken stands in it."""

    def check(data: bytes) -> str:
        path = folder / "foreign.json"
        path.write_bytes(data)
        book = read_foreign_state(path)
        StateFile(folder / "state.json").save_sync(replace(book, lineage="a"))
        assert StateFile(folder / "state.json").load_sync().servers == book.servers
        for one in folder.glob("state.json*"):
            one.unlink()
        return "accepted"

    return check


def edit_log(folder: Path) -> Check:
    """`state.edits.jsonl`: `state history` shows the whole lines of it."""
    workspace = FakedWorkspace(folder / "workspace")
    (workspace.folder / ".provisioning").mkdir()

    def check(data: bytes) -> str:
        EditLog(workspace.folder).path.write_bytes(data)
        EditLog(workspace.folder).read()
        return called(["-w", str(workspace.folder), "state", "history", "-o", "json"])

    return check


def lock_files(folder: Path) -> Check:
    """The lock's signature and the fencing number: a token is given only above the one that is there."""
    (folder / ".provisioning").mkdir()

    def check(example: tuple[bytes, bytes]) -> str:
        lock = WorkspaceLock(folder)
        lock.path.write_bytes(example[0])
        lock.path.with_name("fence").write_bytes(example[1])
        descriptor = os.open(lock.path, os.O_RDWR)
        try:
            _held(lock, descriptor)
        finally:
            os.close(descriptor)
        token = lock.acquire_sync()
        lock.release_sync()
        assert token > int(example[1].decode())
        return "accepted"

    return check


def _held(lock: WorkspaceLock, descriptor: int) -> None:
    """While somebody holds it, whatever stands in the file: a holder is told, or that there is one."""
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert isinstance(lock.holder(), dict)
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def attempt_log(folder: Path) -> Check:
    """The log of an attempt, as it is shown."""

    def check(example: tuple[bytes, int | None]) -> str:
        path = folder / "attempt.log"
        path.write_bytes(example[0])
        for char in set(read_log(path, lines=example[1])):
            assert char in "\n\t" or not (ord(char) < 32 or 0x7F <= ord(char) < 0xA0), repr(char)
        return "accepted"

    return check


# ---------------------------------------------------------------- journal

steps = st.builds(
    Step,
    id=st.sampled_from(("f/a", "f/gate", "x")),
    action=st.builds(Action, type=hostile, settings=st.dictionaries(hostile, values, max_size=2)),
    args=values,
    deps=st.lists(st.builds(Dep, step=st.sampled_from(("f/a", "x"))), max_size=2).map(tuple),
    retry=st.none() | st.builds(Retry, attempts=st.integers(1, 5), only=st.just(("exit",))),
    timeout_s=st.none() | st.floats(0.1, 99),
    keys=st.lists(hostile, max_size=2).map(tuple),
    labels=st.dictionaries(hostile, hostile, max_size=2),
)
events = st.builds(
    Event,
    run=hostile,
    kind=st.sampled_from([kind for kind in Kind if kind is not Kind.STEP_ADDED]),
    at=st.datetimes(timezones=st.just(UTC)),
    seq=st.integers(0, 99),
    step=hostile,
    data=st.dictionaries(hostile, values, max_size=3),
)
tasks = st.builds(
    Task,
    run=hostile,
    step=hostile,
    attempt=st.integers(),
    epoch=st.integers(),
    action=st.builds(Action, type=hostile),
    args=values,
)
RECORDS: dict[type[Any], SearchStrategy[Any]] = {
    Event: events,
    Step: steps,
    Workflow: st.builds(Workflow, name=hostile, steps=st.lists(steps, max_size=3).map(tuple), policy=st.builds(Policy)),
    Task: tasks,
    Report: st.builds(Report, task=tasks, worker=hostile, output=values),
    Timer: st.builds(
        Timer, run=hostile, step=hostile, attempt=st.integers(), kind=hostile, due=st.datetimes(timezones=st.just(UTC))
    ),
    Request: st.builds(Request, run=hostile, kind=hostile, data=st.dictionaries(hostile, values, max_size=2)),
}


@st.composite
def _stored(draw: st.DrawFn) -> tuple[type[Any], bytes, bool]:
    kind = draw(st.sampled_from(tuple(RECORDS)))
    data = draw(files(RECORDS[kind].filter(_can_be_written).map(plain), as_json))
    return kind, data, draw(st.booleans())


def _can_be_written(record: object) -> bool:
    """Whether JSON as our encoder writes it can hold the record: its whole numbers have 64 bits."""
    try:
        encode(record)
    except CodecError:
        return False
    return True


def stored_records(_folder: Path) -> Check:
    """Records of the journal: what is decoded comes back equal, and only CodecError says that it is none."""

    def check(example: tuple[type[Any], bytes, bool]) -> str:
        kind, data, strict = example
        try:
            record = decode(data, kind, strict=strict)
        except CodecError as error:
            return f"refused: {'not JSON' if error.offset >= 0 else 'does not fit'}"
        if _can_be_written(record):
            assert decode(encode(record), kind) == record
        return "accepted"

    return check


ROWS: dict[str, tuple[str, ...]] = {
    "runs": (
        "digest",
        "name",
        "source",
        "state",
        "reason",
        "created_at",
        "started_at",
        "ended_at",
        "params",
        "exit_code",
        "last_seq",
    ),
    "events": ("body", "seq"),
    "steps": (
        *("step", "kind", "state", "attempts", "exit_code", "started_at", "ended_at", "log", "output", "position", "error"),
        *("output_name", "mark", "stdout", "stderr"),
    ),
    "attempts": ("state", "attempt", "exit_code", "started_at", "log"),
    "dead_letters": ("step", "attempt", "error", "died_at", "replayed_at", "replayed_attempt"),
    "workflows": ("body", "digest"),
    "requests": ("body", "run"),
    "timers": ("body", "kind"),
    "meta": ("value", "key"),
}
READING = (
    ("run", "list"),
    ("run", "show"),
    ("run", "show", "--path"),
    ("run", "show", "--why", "a/os"),
    ("run", "pause", "last"),
    ("run", "continue", "last"),
    ("run", "delete", "last", "--force"),
    ("queue", "list"),
    ("deadletter", "list", "--all"),
    ("deadletter", "show", "1"),
    ("deadletter", "purge", "--all", "--older-than", "1"),
    ("run", "logs"),
    ("state", "show"),
    ("taskserv", "create", "--all", "--check"),
    ("taskserv", "create", "--all"),
    ("run", "retry", "last"),
)
cells: SearchStrategy[object] = (
    st.sampled_from(
        (
            "",
            "completed",
            "succeeded",
            "running",
            "no-state",
            "2026-01-01",
            "not a time",
            "{}",
            "[]",
            "null",
            '{"kind":1}',
            "/etc/hostname",
        )
    )
    | hostile.filter(lambda text: "\0" not in text)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=8)
    | st.none()
    | changed(events.filter(_can_be_written).map(plain)).map(as_json)
)


@st.composite
def _accidents(draw: st.DrawFn) -> tuple[list[tuple[str, str, object]], tuple[int, bytes] | None, tuple[str, ...]]:
    """Cells that are overwritten, bytes of the file that are, and what is asked then."""
    rows = []
    for _ in range(draw(st.integers(0, 3))):
        table = draw(st.sampled_from(tuple(ROWS)))
        rows.append((table, draw(st.sampled_from(ROWS[table])), draw(cells)))
    block = draw(st.none() | st.tuples(st.integers(0, 100_000), st.binary(min_size=1, max_size=64)))
    return rows, None if rows else block, draw(st.sampled_from(READING))


def history_rows(folder: Path) -> Check:
    """The journal's database with odd values in its rows, or odd bytes in its file: read, or refused by name."""
    workspace, good = FakedWorkspace(folder / "workspace"), folder / "good"
    workspace.dag({"id": "a", "server": "cp-0", "nodes": [{"taskserv": {"name": "os"}}], "health_gate": {"check_cmd": "true"}})
    assert workspace.run("taskserv", "create", "--all").code == 0
    hidden = workspace.folder / ".provisioning"
    _bury(hidden / "history.db")
    _closed(hidden / "history.db")
    shutil.copytree(hidden, good)

    def check(example: tuple[list[tuple[str, str, object]], tuple[int, bytes] | None, tuple[str, ...]]) -> str:
        rows, block, words = example
        shutil.rmtree(hidden)
        shutil.copytree(good, hidden)
        _damage(hidden / "history.db", rows, block)
        return called(["-w", str(workspace.folder), *words, "-o", "json"], App(lambda _folder, _infra: workspace.project()))

    return check


def _bury(path: Path) -> None:
    """Add a dead letter: formulas leave none."""
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO dead_letters (run, step, attempt, error, died_at) SELECT id, 'a/os', 1, 'no', created_at FROM runs"
    )
    connection.commit()
    connection.close()


def _closed(path: Path) -> None:
    """Bring what is in the write-ahead log into the file."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _damage(path: Path, rows: Sequence[tuple[str, str, object]], block: tuple[int, bytes] | None) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for table, column, value in rows:
        try:
            connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
        except (sqlite3.IntegrityError, OverflowError):
            continue  # the database itself refuses it
    connection.close()
    if block is not None:
        data = path.read_bytes()
        at = block[0] % len(data)
        path.write_bytes(data[:at] + block[1] + data[at + len(block[1]) :])


# ---------------------------------------------------------------- the targets

edits = st.fixed_dictionaries(
    {"ts": moments, "server": hostile, "taskserv": hostile, "event": st.sampled_from(("reset", "forget"))},
    optional={"source": hostile, "actor": hostile},
)
edit_lines = st.lists(files(edits, as_json), max_size=4).map(b"\n".join)
signatures = st.fixed_dictionaries(
    {"user": hostile, "host": hostile, "pid": st.integers(), "since": moments, "token": st.integers()}
)
fences = (
    st.integers(0, 10**9).map(lambda number: f"{number}\n".encode())
    | noise
    | st.sampled_from((b"", b"-5", b"1_0", b"\xd9\xa1"))
)
foreign = st.fixed_dictionaries(
    {
        "servers": st.dictionaries(
            hostile, st.fixed_dictionaries({"taskservs": st.dictionaries(hostile, resources, max_size=3)}), max_size=3
        )
    }
)

TARGETS = (
    Target(name="state-file", examples=files(books, as_json), prepare=state_file, quick=60),
    Target(name="state-import", examples=files(foreign | books, as_json), prepare=imported_state, quick=50),
    Target(name="edit-log", examples=edit_lines, prepare=edit_log, quick=60, refuses=False),
    Target(name="lock-files", examples=st.tuples(files(signatures, as_json), fences), prepare=lock_files, quick=50),
    Target(
        name="attempt-log",
        examples=st.tuples(damaged(noise), st.none() | st.integers(1, 5)),
        prepare=attempt_log,
        refuses=False,
    ),
    Target(name="stored-records", examples=_stored(), prepare=stored_records, quick=50),
    Target(name="history-rows", examples=_accidents(), prepare=history_rows, quick=40, limit_s=10),
)
