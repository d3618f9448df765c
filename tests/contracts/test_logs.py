"""Every log store keeps what attempts print, apart, and shows its end safely."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.natsloop import logs_elsewhere

from provisioning.adapters.logs import FileLogs
from provisioning.adapters.memory import MemoryLogs
from provisioning.core.ports import LogStore


@pytest.fixture(params=["memory", "files", "nats"])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogStore]:
    if request.param == "nats":
        with logs_elsewhere(request.getfixturevalue("nats_access")) as elsewhere:
            yield elsewhere
        return
    yield MemoryLogs() if request.param == "memory" else FileLogs(tmp_path / "logs")


def test_the_last_lines_are_safe_text(logs: LogStore) -> None:
    log = logs.open("r1", "cp/etcd", 1)
    log.write(b"first\nse\x1b[31mcond\x1b[0m\n")
    log.write(b"bad \xff byte\r\n\x1b]0;title\x07fourth\n")
    assert log.tail(3) == ["second", "bad \N{REPLACEMENT CHARACTER} byte", "fourth"]
    log.close()
    assert log.tail(1) == ["fourth"]


@pytest.mark.parametrize(
    ("written", "lines", "expected"), [(b"", 5, []), (b"\n\n", 5, []), (b"no end", 5, ["no end"]), (b"a", 0, [])]
)
def test_little_output_has_few_last_lines(logs: LogStore, written: bytes, lines: int, expected: list[str]) -> None:
    log = logs.open("r1", "s", 1)
    log.write(written)
    assert log.tail(lines) == expected
    log.close()


def test_a_character_split_over_two_writes_is_whole(logs: LogStore) -> None:
    log = logs.open("r1", "s", 1)
    first, second = "ü".encode()[:1], "ü".encode()[1:]
    log.write(first)
    log.write(second)
    assert log.tail() == ["ü"]
    log.close()


def test_steps_attempts_and_repeated_attempts_have_logs_of_their_own(logs: LogStore) -> None:
    names = [("a/b", 1), ("a-b", 1), ("a b", 1), ("a/b", 2), ("a/b", 1)]
    written = [logs.open("r1", step, attempt) for step, attempt in names]
    assert len({log.path for log in written}) == len(names)
    for number, log in enumerate(written):
        log.write(f"{number}".encode())
        assert log.tail() == [f"{number}"]
        log.close()


def test_the_streams_of_an_attempt_are_kept_apart_and_have_the_same_name_but_for_the_end(logs: LogStore) -> None:
    pairs = [(logs.open("r1", "s", 1, kind="out"), logs.open("r1", "s", 1, kind="err")) for _ in range(3)]
    merged = logs.open("r1", "s", 1)
    assert len({log.path for pair in pairs for log in pair} | {merged.path}) == 7
    for number, (out, err) in enumerate(pairs):
        assert (out.path.removesuffix(".out"), out.path[-4:]) == (err.path.removesuffix(".err"), ".out")
        out.write(f"out {number}".encode())
        err.write(f"err {number}".encode())
        assert (out.tail(), err.tail()) == ([f"out {number}"], [f"err {number}"])
    assert merged.tail() == []
    for log in (merged, *(log for pair in pairs for log in pair)):
        log.close()


def test_an_attempt_that_was_lost_between_its_two_logs_does_not_part_those_of_the_next(logs: LogStore) -> None:
    logs.open("r1", "s", 1, kind="out").close()
    logs.open("r1", "s", 1, kind="out").close()
    out, err = logs.open("r1", "s", 1, kind="out"), logs.open("r1", "s", 1, kind="err")
    assert out.path.removesuffix("out") == err.path.removesuffix("err")
    out.close()
    err.close()


def test_closing_twice_is_no_error_and_writing_afterwards_is(logs: LogStore) -> None:
    log = logs.open("r1", "s", 1)
    log.close()
    log.close()
    with pytest.raises(ValueError, match="closed"):
        log.write(b"late")


def test_logs_of_a_run_can_be_elsewhere(tmp_path: Path) -> None:
    logs = FileLogs(tmp_path / "ours")
    logs.place("run-1", tmp_path / "theirs" / "etl")
    log = logs.open("run-1", "step", 1, kind="out")
    log.write(b"x\n")
    log.close()

    assert [path.read_bytes() for path in (tmp_path / "theirs" / "etl" / "run-1").iterdir()] == [b"x\n"]
    assert Path(logs.find("run-1", "step", 1)).read_bytes() == b"x\n"
    logs.delete("run-1")
    assert not (tmp_path / "theirs" / "etl" / "run-1").exists()
    assert list((tmp_path / "ours").iterdir()) == []
