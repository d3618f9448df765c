"""A run leaves the streams when it is old enough and everybody has it, and never before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.retention import GRACE_S, Content, Ended, Keep, Reader, read_by_all, removable, unused

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEEP = Keep(ended_s=3600, forget_s=86400)


def reader(seq: int, age_s: float = 0, name: str = "one") -> Reader:
    return Reader(name=name, seq=seq, at=NOW - timedelta(seconds=age_s))


def ended(seq: int, age_s: float, run: str = "r") -> Ended:
    return Ended(run=run, seq=seq, at=NOW - timedelta(seconds=age_s))


@pytest.mark.parametrize(
    ("readers", "run", "goes"),
    [
        pytest.param([reader(10)], ended(10, 3600), True, id="old enough, and read"),
        pytest.param([reader(10)], ended(10, 3599), False, id="too young"),
        pytest.param([reader(9)], ended(10, 3600), False, id="not read"),
        pytest.param([reader(99), reader(9, name="two")], ended(10, 3600), False, id="not read by one of two"),
        pytest.param([reader(99), reader(9, 86401, "two")], ended(10, 3600), True, id="one of two is gone for long"),
        pytest.param([reader(99), reader(9, 86400, "two")], ended(10, 3600), False, id="one of two is away"),
        pytest.param([], ended(10, 3600), False, id="nobody reads"),
        pytest.param([reader(99, 86401)], ended(10, 3600), False, id="nobody was heard of"),
    ],
)
def test_a_run_goes_when_it_is_old_and_everybody_has_it(readers: list[Reader], run: Ended, *, goes: bool) -> None:
    assert removable([run], readers, NOW, KEEP) == ([run] if goes else [])


def test_the_oldest_go_first() -> None:
    runs = [ended(1, 5000, "b"), ended(2, 9000, "c"), ended(3, 5000, "a")]
    assert [run.run for run in removable(runs, [reader(9)], NOW, KEEP)] == ["c", "a", "b"]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 200_000)), max_size=6), st.integers(1, 50))
def test_nothing_goes_that_a_living_reader_has_not_read(readers: list[tuple[int, int]], seq: int) -> None:
    known = [reader(at, age, str(number)) for number, (at, age) in enumerate(readers)]
    if removable([ended(seq, 7200)], known, NOW, KEEP):
        assert all(one.seq >= seq for one in known if (NOW - one.at).total_seconds() <= KEEP.forget_s)
        assert read_by_all(known, NOW, KEEP) >= seq


CONTENT = "sha256:w"
MINUTES = st.floats(0, 240)


@given(put=MINUTES, waits=MINUTES, commits=MINUTES, looks=st.lists(MINUTES, min_size=4, max_size=4), forgotten=st.booleans())
def test_a_run_that_is_submitted_at_any_moment_keeps_what_it_refers_to(
    put: float, waits: float, commits: float, looks: list[float], *, forgotten: bool
) -> None:
    """Whoever submits, and whoever removes, may stand still between any two of their steps for as long as they like.

    The submitter has stored the workflow at `put`, wants it after `waits`, and its run is there after `commits`; one that has
    `forgotten` that it stored it is another process. The remover reads when it was stored, the time, the runs, and removes.
    """
    stored = [put]  # when, oldest first; a sequence is an index
    wanted = put + waits
    if forgotten or waits * 60 > GRACE_S / 4:
        stored.append(wanted)
    committed = wanted + commits
    if (committed - stored[-1]) * 60 > GRACE_S / 2:
        return  # it is told to submit again
    read, clock, listed, removes = sorted(looks)
    seen = [number for number, at in enumerate(stored) if at <= read]
    if not seen:
        return
    content = Content(digest=CONTENT, seq=seen[-1], at=NOW + timedelta(minutes=stored[seen[-1]]))
    used = {CONTENT} if committed <= listed else set()
    going = unused([content], used, NOW + timedelta(minutes=clock))
    upto = going[0].seq if going else -1
    left = [number for number, at in enumerate(stored) if number > upto or at > removes]
    assert left, "the run has no workflow"
