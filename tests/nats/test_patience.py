"""What is only read is read again while a cluster chooses its leader, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.natsservers import access

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.patience import patiently
from provisioning.adapters.nats.wire import NoAnswer, Refused
from provisioning.errors import ClusterUnreachable, StoreError

LEADERLESS, NO_STREAM = 10008, 10059
PASSING = (NoAnswer("timeout"), Refused("no leader", number=LEADERLESS))
OURS = (ClusterUnreachable("no connection"), Refused("no stream", number=NO_STREAM), StoreError("disk full"))


class Reading:
    """Fails with these, one after another, and then brings an answer."""

    def __init__(self, *errors: StoreError) -> None:
        self._errors: Iterator[StoreError] = iter(errors)

    async def __call__(self) -> str:
        for error in self._errors:
            raise error
        return "answer"


def a_cluster(patience_s: float) -> Cluster:
    return Cluster(access("nats://127.0.0.1:1", patience_s=patience_s))


async def test_a_choice_of_a_leader_is_outlasted() -> None:
    assert await patiently(a_cluster(30.0), Reading(*PASSING)) == "answer"


@pytest.mark.parametrize("error", PASSING)
async def test_patience_has_an_end(error: StoreError) -> None:
    with pytest.raises(type(error)):
        await patiently(a_cluster(0.0), Reading(error))


@pytest.mark.parametrize("error", OURS)
async def test_what_does_not_pass_is_told_at_once(error: StoreError) -> None:
    with pytest.raises(type(error), match=error.message):
        await patiently(a_cluster(30.0), Reading(error))
