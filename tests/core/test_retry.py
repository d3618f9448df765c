from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.model import Retry, Strategy
from provisioning.core.retry import delay_s, may_retry

POLICIES = st.builds(
    Retry,
    attempts=st.integers(1, 10),
    strategy=st.sampled_from(Strategy),
    base_s=st.floats(0, 100),
    factor=st.floats(1, 10),
    increment_s=st.floats(0, 100),
    max_s=st.floats(0, 1000),
    jitter=st.floats(0, 1),
)


@pytest.mark.parametrize(
    ("retry", "waits"),
    [
        pytest.param(Retry(jitter=0, max_s=10), [1, 2, 4, 8, 10, 10], id="exponential, capped"),
        pytest.param(Retry(jitter=0, factor=3, base_s=2), [2, 6, 18, 54, 60], id="another factor"),
        pytest.param(
            Retry(jitter=0, strategy=Strategy.LINEAR, base_s=2, increment_s=3, max_s=9), [2, 5, 8, 9], id="linear, capped"
        ),
        pytest.param(Retry(jitter=0, strategy=Strategy.FIXED, base_s=5), [5, 5, 5], id="fixed"),
        pytest.param(Retry(jitter=0, factor=2, max_s=10), [1, 2, 4, 8, 10, 10, 10, 10, 10, 10], id="A15"),
        pytest.param(Retry(jitter=0, strategy=Strategy.LINEAR, increment_s=1, max_s=10), [*range(1, 11), *[10] * 10], id="A17"),
    ],
)
def test_a15_a17_waits_grow_as_the_strategy_says(retry: Retry, waits: list[float]) -> None:
    assert [delay_s(retry, attempt, 0.0) for attempt in range(1, len(waits) + 1)] == waits


def test_jitter_takes_off_its_share_of_the_wait_and_never_adds() -> None:
    retry = Retry(strategy=Strategy.FIXED, base_s=8, jitter=0.25)
    assert [delay_s(retry, 1, roll) for roll in (0.0, 0.5, 1.0)] == [8, 7, 6]


@given(POLICIES, st.integers(1, 100_000), st.floats(0, 1, exclude_max=True))
def test_no_wait_is_negative_or_longer_than_the_cap(retry: Retry, attempt: int, roll: float) -> None:
    assert 0 <= delay_s(retry, attempt, roll) <= retry.max_s


@pytest.mark.parametrize(
    ("retry", "attempt", "kind", "again"),
    [
        pytest.param(Retry(attempts=3), 2, "exit", True, id="tries are left"),
        pytest.param(Retry(attempts=3), 3, "exit", False, id="no tries are left"),
        pytest.param(Retry(), 1, "exit", False, id="one try is no retry"),
        pytest.param(Retry(attempts=3, only=("timeout",)), 1, "exit", False, id="not among those allowed"),
        pytest.param(Retry(attempts=3, only=("timeout",)), 1, "timeout", True, id="among those allowed"),
        pytest.param(Retry(attempts=3, never=("exit",)), 1, "exit", False, id="among those forbidden"),
        pytest.param(Retry(attempts=3), 1, "unreachable", True, id="a lost connection may come back"),
        pytest.param(Retry(attempts=3), 1, "login_refused", False, id="a refused login is refused again"),
        pytest.param(Retry(attempts=3), 1, "host_key", False, id="an unknown host key stays unknown"),
        pytest.param(Retry(attempts=3, only=("login_refused",)), 1, "login_refused", True, id="unless asked for by name"),
    ],
)
def test_what_is_tried_again(retry: Retry, attempt: int, kind: str, *, again: bool) -> None:
    assert may_retry(retry, attempt, kind) is again
