from __future__ import annotations

import resource
import stat
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.disks import no_file_grows_past, nobody_may_write

from provisioning.adapters.files import slug
from provisioning.adapters.logs import FileLogs, read_log
from provisioning.errors import NotFoundError, StoreError, UsageError


@pytest.fixture
def logs(tmp_path: Path) -> FileLogs:
    return FileLogs(tmp_path / "logs", head_bytes=100, tail_bytes=40)


def content(logs: FileLogs, *writes: bytes) -> bytes:
    log = logs.open("r1", "s", 1)
    for data in writes:
        log.write(data)
    log.close()
    return Path(log.path).read_bytes()


@pytest.mark.parametrize("sizes", [[0], [1], [99, 1], [100], [60, 60], [140], [1] * 140])
def test_output_within_the_cap_is_stored_as_it_is(logs: FileLogs, sizes: list[int]) -> None:
    writes = [bytes([index % 256]) * size for index, size in enumerate(sizes)]
    assert content(logs, *writes) == b"".join(writes)


@pytest.mark.parametrize("chunk", [1, 7, 100, 5_000])
def test_past_the_cap_head_and_tail_are_kept_and_a_line_says_how_much_is_missing(logs: FileLogs, chunk: int) -> None:
    output = b"".join(b"%09d\n" % number for number in range(500))
    stored = content(logs, *(output[start : start + chunk] for start in range(0, len(output), chunk)))
    assert stored == output[:100] + b"\n[... 4860 bytes left out here ...]\n" + output[-40:]


def test_while_it_is_written_the_last_lines_are_those_last_written(logs: FileLogs) -> None:
    log = logs.open("r1", "s", 1)
    seen = []
    for number in range(40):
        log.write(b"line %d\n" % number)
        seen.append(log.tail(1)[0])
    log.close()
    assert seen == [f"line {number}" for number in range(40)]
    assert log.tail(2) == ["line 38", "line 39"]


def test_three_hundred_megabytes_take_no_more_memory_than_the_tail(tmp_path: Path) -> None:
    chunk = b"0123456789abcde\n" * 4096
    log = FileLogs(tmp_path).open("r1", "s", 1)
    log.write(chunk * 320)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(300 * 1024 * 1024 // len(chunk)):
        log.write(chunk)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024
    log.close()
    assert Path(log.path).stat().st_size < 11 * 1024 * 1024


def test_files_are_private_and_named_after_run_step_and_attempt(logs: FileLogs) -> None:
    path = Path(logs.open("0192-ab", "cp/etcd", 3).path)
    assert path.parent.name == "0192-ab"
    assert path.name == f"{slug('cp/etcd')}.3.log"
    assert path.name.startswith("cp-etcd-")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)} == {0o700}


HOSTILE = [
    "..",
    "../../etc/passwd",
    "/abs",
    "a/../b",
    ".hidden",
    "x" * 10_000,
    "nul\0",
    "new\nline",
    "",
    "ünï",
    "-rf",
    "\ud800",
]


@pytest.mark.parametrize("step", HOSTILE)
def test_no_step_id_leaves_the_folder_of_its_run(logs: FileLogs, step: str) -> None:
    log = logs.open("r1", step, 1)
    log.close()
    assert Path(log.path).parent == logs.folder / "r1"


@pytest.mark.parametrize("run", ["", ".", "..", "../r1", "a/b", "a\0", "-x", "x" * 200])
def test_what_is_no_run_id_never_becomes_a_path(logs: FileLogs, run: str) -> None:
    for use in (lambda: logs.open(run, "s", 1), lambda: logs.delete(run)):
        with pytest.raises(UsageError, match="no run id"):
            use()


@given(st.lists(st.text(max_size=12), min_size=2, max_size=6, unique=True))
def test_different_steps_never_share_a_name(steps: list[str]) -> None:
    names = sorted(map(slug, steps))
    assert all(one != other for one, other in pairwise(names))


def test_a_log_is_read_as_safe_text_or_only_its_end(logs: FileLogs) -> None:
    log = logs.open("r1", "s", 1)
    log.write(b"\x1b[1mone\x1b[0m\ntwo \xff\nthree\n\n")
    log.close()
    assert read_log(Path(log.path)) == "one\ntwo \N{REPLACEMENT CHARACTER}\nthree\n\n"
    assert read_log(Path(log.path), lines=2) == "two \N{REPLACEMENT CHARACTER}\nthree\n"


@pytest.mark.parametrize("lines", [None, 3])
def test_a_log_that_is_not_there_is_not_found(tmp_path: Path, lines: int | None) -> None:
    with pytest.raises(NotFoundError, match=r"gone\.log"):
        read_log(tmp_path / "gone.log", lines=lines)


def test_the_logs_of_a_run_can_be_removed_twice(logs: FileLogs) -> None:
    for run in ("r1", "r2"):
        logs.open(run, "s", 1).close()
    logs.delete("r1")
    logs.delete("r1")
    assert [each.name for each in logs.folder.iterdir()] == ["r2"]


@pytest.fixture
def full(tmp_path: Path) -> Iterator[None]:
    with no_file_grows_past(50):
        yield


def test_a_disk_that_refuses_is_an_error_that_names_the_log(logs: FileLogs, full: None) -> None:
    log = logs.open("r1", "s", 1)
    with pytest.raises(StoreError, match="too large") as failed:
        log.write(b"x" * 90)
    assert log.path in failed.value.message
    log.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with nobody_may_write(tmp_path), pytest.raises(StoreError, match="permission denied"):
        FileLogs(tmp_path / "logs").open("r1", "s", 1)
