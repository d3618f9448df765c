"""The output of an attempt: one log or two, masked, shown, and its end kept for the history."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.adapters.memory import FakeClock, MemoryLogs
from provisioning.adapters.memory.logs import MemoryLog
from provisioning.core.ports import LogWriter
from provisioning.engine.attempt import KEPT_BYTES, SHOW_EVERY_S, AttemptOutput
from provisioning.errors import StoreError

SECRET = "hunter2-hunter2"
FULL = StoreError("the disk is full")


@dataclass
class Bench:
    """An attempt's output, with what became of it."""

    hidden: tuple[str, ...] = ()
    logs: MemoryLogs = field(default_factory=MemoryLogs)
    clock: FakeClock = field(default_factory=FakeClock)
    seen: list[str] = field(default_factory=list)

    def output(self) -> AttemptOutput:
        start = partial(self.logs.open, "r1", "s", 1)
        return AttemptOutput("s", self.clock, start, lambda _step, text: self.seen.append(text), self.hidden)

    def text(self, kind: str = "log") -> str:
        return self.logs.text("r1", "s", kind=kind)


async def test_together_everything_is_in_one_log_in_the_order_it_came() -> None:
    bench = Bench()
    output = bench.output()
    output.out(b"one\n")
    output.err(b"two\n")
    output.write(b"three\n")
    output.note("four")
    assert (output.path, output.err_path) == ("memory:r1/s.1", "")
    assert (output.tail("out"), output.tail("err")) == ("one\ntwo\nthree\n-- four\n", "")
    output.close()
    assert bench.text() == "one\ntwo\nthree\n-- four\n"
    assert list(bench.logs.written) == ["memory:r1/s.1"]


async def test_apart_each_stream_has_a_log_from_the_beginning_and_our_lines_are_with_the_errors() -> None:
    bench = Bench()
    output = bench.output()
    output.apart()
    assert (output.path, output.err_path) == ("memory:r1/s.1.out", "memory:r1/s.1.err")
    assert list(bench.logs.written) == [output.path, output.err_path]
    output.out(b"one\n")
    output.err(b"two\n")
    output.write(b"three\n")
    output.note("four")
    assert (output.tail("out"), output.tail("err")) == ("one\nthree\n", "two\n-- four\n")
    output.close()
    assert (bench.text("out"), bench.text("err")) == ("one\nthree\n", "two\n-- four\n")
    assert all(log.closed for log in bench.logs.written.values())


async def test_what_was_begun_together_is_not_parted() -> None:
    output = Bench().output()
    output.open()
    with pytest.raises(ValueError, match="begun"):
        output.apart()
    output.close()


@pytest.mark.parametrize(
    ("out", "err", "expected"),
    [
        ("fine", "broken", ["broken"]),
        ("fine", "", ["fine"]),
        ("fine", "\n", ["fine"]),
        ("", "", []),
    ],
)
async def test_the_last_lines_are_those_of_standard_error_if_it_has_any(out: str, err: str, expected: list[str]) -> None:
    output = Bench().output()
    output.apart()
    for act, text in ((output.out, out), (output.err, err)):
        if text:
            act(text.encode())
    assert output.last_lines() == expected
    output.close()


async def test_a_line_of_our_own_is_not_taken_for_standard_error() -> None:
    output = Bench().output()
    output.apart()
    output.out(b"the program's last word\n")
    output.note("stopped")
    assert output.last_lines(1) == ["the program's last word"]
    output.close()


async def test_a_secret_in_pieces_is_masked_in_either_stream_though_the_pieces_alternate() -> None:
    bench = Bench(hidden=(SECRET,))
    output = bench.output()
    output.apart()
    for at in range(0, len(SECRET), 3):
        output.out(SECRET[at : at + 3].encode())
        output.err(SECRET[at : at + 3].encode())
    assert (output.tail("out"), output.tail("err")) == ("***", "***")
    output.close()
    assert (bench.text("out"), bench.text("err")) == ("***", "***")


async def test_values_named_later_are_masked_in_both_streams_from_then_on() -> None:
    bench = Bench()
    output = bench.output()
    output.apart()
    output.out(b"known\n")
    output.mask({"PASSWORD": SECRET})
    output.out(SECRET.encode())
    output.err(SECRET.encode())
    output.close()
    assert (bench.text("out"), bench.text("err")) == ("known\n***", "***")


async def test_whoever_watches_sees_whole_lines_of_both_streams_however_they_alternate() -> None:
    bench = Bench()
    output = bench.output()
    output.apart()
    for out, err in ((b"on", b"tw"), (b"e\n", b"o\n"), (b"three", b"four")):
        output.out(out)
        output.err(err)
    output.close()
    await asyncio.sleep(0)
    assert bench.seen == ["one", "two", "three", "four"]


async def test_a_flood_is_shown_now_and_then_and_kept_whole() -> None:
    bench = Bench()
    output = bench.output()
    for _ in range(1_000):
        output.out(b"line\n")
        bench.clock.advance(SHOW_EVERY_S / 100)
    output.close()
    await asyncio.sleep(0)
    assert 5 <= len(bench.seen) <= 20
    assert bench.text() == "line\n" * 1_000


@pytest.mark.parametrize("limit_bytes", [0, 1, 7, 100, KEPT_BYTES, KEPT_BYTES * 2])
async def test_the_end_of_a_stream_is_no_longer_than_it_may_be(limit_bytes: int) -> None:
    output = Bench().output()
    output.apart()
    for number in range(5_000):
        output.err(f"{number:09d}\n".encode())
    end = output.tail("err", limit_bytes)
    assert len(end) == min(limit_bytes, KEPT_BYTES)
    assert "".join(f"{number:09d}\n" for number in range(5_000)).endswith(end)
    assert output.tail("out", limit_bytes) == ""
    output.close()


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(0, 60))
def test_the_end_of_a_stream_is_safe_text_whatever_was_written(pieces: list[bytes], limit_bytes: int) -> None:
    async def ends() -> str:
        output = Bench().output()
        for piece in pieces:
            output.out(piece)
        return output.tail("out", limit_bytes)

    end = asyncio.run(ends())
    assert len(end.encode()) <= limit_bytes
    assert all(sign.isprintable() or sign in "\n\t" or ord(sign) > 0x9F for sign in end)


async def test_no_character_is_cut_in_two() -> None:
    output = Bench().output()
    output.out("ü€\N{ROCKET}".encode() * 10)
    ends = [output.tail("out", limit) for limit in (1, 3, 4, 6, 7, 9)]
    assert ends == ["", "", "\N{ROCKET}", "\N{ROCKET}", "€\N{ROCKET}", "ü€\N{ROCKET}"]
    output.close()


@dataclass
class OneLogOnly(MemoryLogs):
    """A disk with room for one file."""

    def __post_init__(self) -> None:
        super().__init__()

    def open(self, run: str, step: str, attempt: int, *, kind: str = "log") -> MemoryLog:
        if self.written:
            raise FULL
        return super().open(run, step, attempt, kind=kind)


async def test_where_the_second_log_cannot_be_made_the_first_is_closed_and_the_attempt_told() -> None:
    bench = Bench(logs=OneLogOnly())
    output = bench.output()
    with pytest.raises(StoreError, match="full"):
        output.apart()
    assert [log.closed for log in bench.logs.written.values()] == [True]
    output.close()


async def test_a_disk_that_refuses_one_log_costs_neither_the_attempt_nor_the_end_that_is_kept() -> None:
    class Refusing(MemoryLog):
        def write(self, data: bytes) -> None:
            raise FULL

    def start(*, kind: str = "log") -> LogWriter:
        return Refusing(kind) if kind == "err" else MemoryLog(kind)

    seen: list[str] = []
    output = AttemptOutput("s", FakeClock(), start, lambda _step, text: seen.append(text))
    output.apart()
    output.err(b"no room\n")
    output.out(b"still running\n")
    assert (output.tail("out"), output.tail("err")) == ("still running\n", "no room\n")
    output.close()
    await asyncio.sleep(0)
    assert seen[-1] == "-- the log is not complete: the disk is full"
