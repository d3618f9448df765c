"""Every log store keeps what attempts print, apart, and shows its end safely."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioning.adapters.logs import FileLogs
from provisioning.adapters.memory import MemoryLogs
from provisioning.core.ports import LogStore


@pytest.fixture(params=["memory", "files"])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> LogStore:
    return MemoryLogs() if request.param == "memory" else FileLogs(tmp_path / "logs")


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


def test_closing_twice_is_no_error_and_writing_afterwards_is(logs: LogStore) -> None:
    log = logs.open("r1", "s", 1)
    log.close()
    log.close()
    with pytest.raises(ValueError, match="closed"):
        log.write(b"late")
