"""What everything that runs jq programs promises: the real one, and the fake that other tests use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from provisioning.adapters.jq import JqFilters
from provisioning.adapters.memory.filters import FakeFilters
from provisioning.core.errands import Filters
from provisioning.errors import FilterFailed

ENDLESS = "def f: f; f"
Filtering = Callable[[bytes | str | None], Filters]


@pytest.fixture(params=["fake", "jq"])
def filtering(request: pytest.FixtureRequest) -> Filtering:
    """Return a maker of filters: the fake gives the answer, the real one what the program says."""

    def make(answer: bytes | str | None) -> Filters:
        return JqFilters() if request.param == "jq" else FakeFilters({".a": answer, ".a.b": answer, ENDLESS: answer})

    return make


async def test_a_filter_gives_its_results(filtering: Filtering) -> None:
    assert await filtering(b"1\n").apply(".a", b'{"a": 1}', raw=False, timeout_s=30) == b"1\n"


async def test_a_filter_that_fails_says_why(filtering: Filtering) -> None:
    with pytest.raises(FilterFailed, match=r'^jq: Cannot index number with string \("b"\)$'):
        await filtering('jq: Cannot index number with string ("b")').apply(".a.b", b'{"a": 1}', raw=False, timeout_s=30)


async def test_a_filter_that_does_not_end_is_ended(filtering: Filtering) -> None:
    with pytest.raises(FilterFailed, match=r"^jq: the filter took longer than 0\.3 s$"):
        await filtering(None).apply(ENDLESS, b"1", raw=False, timeout_s=0.3)


async def test_cancelling_ends_it(filtering: Filtering) -> None:
    job = asyncio.create_task(filtering(None).apply(ENDLESS, b"1", raw=False, timeout_s=100))
    await asyncio.wait([job], timeout=0.2)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
