"""Output in chunks: nothing is lost, nothing is doubled, little is held, whatever order the chunks arrive in."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.adapters.capping import Capped
from provisioning.adapters.nats.chunks import CHUNK_BYTES, MAX_LOG_BYTES, Chunk, ChunkedLog, log_stem
from provisioning.errors import UsageError

MB = 1024 * 1024


class Sent:
    """Keeps what a log sends."""

    def __init__(self, *, head_bytes: int = 8 * MB, tail_bytes: int = 2 * MB) -> None:
        self.chunks: list[Chunk] = []
        self.asked: list[ChunkedLog] = []
        capped = Capped(head_bytes=head_bytes, tail_bytes=tail_bytes)
        self.log = ChunkedLog("r1", f"{log_stem('cp/etcd', 1, 'a')}.log", capped, self.chunks.append, self.asked.append)


def put_together(chunks: Iterable[Chunk]) -> bytes:
    written = bytearray()
    for chunk in chunks:
        written.extend(b"\0" * max(0, chunk.at + len(chunk.data) - len(written)))
        written[chunk.at : chunk.at + len(chunk.data)] = chunk.data
    return bytes(written)


@given(st.lists(st.binary(max_size=300), max_size=30), st.randoms(use_true_random=False), st.integers(0, 400))
def test_chunks_make_the_same_log_in_any_order_and_twice(pieces: list[bytes], dice: random.Random, head: int) -> None:
    straight = Capped(head_bytes=head, tail_bytes=100)
    whole = b"".join(straight.take(piece) for piece in pieces) + straight.end()
    sent = Sent(head_bytes=head, tail_bytes=100)
    for piece in pieces:
        sent.log.write(piece)
        if dice.random() < 0.3:
            sent.log.flush()
    sent.log.close()
    arrived = [*sent.chunks, *dice.choices(sent.chunks, k=3)]
    dice.shuffle(arrived)
    assert put_together(arrived) == whole


def test_a_hundred_megabytes_become_ten_and_little_is_ever_held() -> None:
    sent, piece = Sent(), b"x" * 1023 + b"\n"
    for _ in range(100 * 1024):
        sent.log.write(piece)
    sent.log.close()
    total = sum(len(chunk.data) for chunk in sent.chunks)
    assert 10 * MB <= total <= 10 * MB + 100
    assert max(len(chunk.data) for chunk in sent.chunks) <= CHUNK_BYTES
    assert len(sent.chunks) <= total // CHUNK_BYTES + 1
    assert f"[... {90 * MB} bytes left out here ...]".encode() in put_together(sent.chunks)


def test_a_flush_is_asked_for_once_for_all_that_waits() -> None:
    sent = Sent()
    for _ in range(5):
        sent.log.write(b"line\n")
    assert (len(sent.asked), sent.chunks) == (1, [])
    sent.log.flush()
    sent.log.write(b"more\n")
    assert (len(sent.asked), [chunk.data for chunk in sent.chunks]) == (2, [b"line\n" * 5])


def test_a_log_that_nobody_wrote_to_is_told_of_once() -> None:
    sent = Sent()
    sent.log.close()
    sent.log.close()
    assert [(chunk.at, chunk.data) for chunk in sent.chunks] == [(0, b"")]


def test_the_last_lines_are_known_without_asking_anybody() -> None:
    sent = Sent(head_bytes=20, tail_bytes=20)
    for number in range(12):
        sent.log.write(f"line {number:02}\n".encode())
    sent.log.close()
    assert sent.log.tail(2) == ["line 10", "line 11"]


@pytest.mark.parametrize("name", ["../../x.1.a.log", "s.1.a.sh", "s.1.a", "a/b.1.a.log", "s.1.a.log\n", "", ".1.a.log"])
def test_a_name_that_no_worker_of_ours_gives_is_no_path(name: str) -> None:
    with pytest.raises(ValueError, match="no chunk"):
        _ = Chunk(run="r1", name=name, at=0, data=b"").path


@pytest.mark.parametrize("at", [-1, MAX_LOG_BYTES + 1])
def test_a_place_that_no_log_has_is_refused(at: int) -> None:
    with pytest.raises(ValueError, match="no chunk"):
        _ = Chunk(run="r1", name="s.1.a.log", at=at, data=b"").path


def test_a_run_that_is_no_name_is_refused() -> None:
    with pytest.raises(UsageError):
        _ = Chunk(run="../r1", name="s.1.a.log", at=0, data=b"").path
