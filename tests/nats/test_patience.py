"""What is only read is read again while a cluster chooses its leader, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.natsservers import access

from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.lease import NatsLease
from provisioning.adapters.nats.patience import patiently
from provisioning.adapters.nats.streams import ensure, work_stream
from provisioning.adapters.nats.wire import NoAnswer, Refused, Stored
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


class Choosing(Cluster):
    """A cluster that does not answer when it is asked for something for the first time."""

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self.asked: set[str] = set()

    async def last(self, stream: str, subject: str) -> Stored | None:
        if subject not in self.asked:
            self.asked.add(subject)
            raise PASSING[len(self.asked) % 2]
        return await super().last(stream, subject)


async def test_the_right_to_decide_is_taken_while_a_leader_is_chosen(nats_access: Access) -> None:
    cluster = Choosing(nats_access)
    await ensure(cluster, work_stream(cluster))
    lease = NatsLease(cluster, "ana@a", ttl_s=3)

    assert await lease.acquire() > 0
    assert len(cluster.asked) == 2

    await lease.release()
    await cluster.close()
