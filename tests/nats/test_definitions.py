"""Definitions over a real NATS server: several who answer, some who are wrong, links that break."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.definitions import ETL, answering, home, serving
from support.natsservers import NatsServer, access, running

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.definitions import BY, PART, PARTS, DefinitionService, NatsCoordinator
from provisioning.adapters.nats.wire import Message
from provisioning.codec import encode
from provisioning.core.dagu.definitions import Answer, Status, Wanted
from provisioning.core.dagu.package import unpack
from provisioning.errors import ClusterUnreachable, NoCoordinator

WANTED = Wanted(name="etl", caller="w1")


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def test_one_of_several_that_has_it_is_enough(tmp_path: Path, nats_server: NatsServer) -> None:
    answers = [answering(empty(tmp_path / f"n{number}")) for number in range(3)]
    async with serving(access(nats_server.url), *answers, answering(home(tmp_path))) as coordinator:
        for _ in range(20):
            answer, data = await coordinator.ask(WANTED)
            assert answer.status is Status.FOUND
            assert unpack(data, answer.digest).name == "etl"


async def test_that_one_is_broken_is_told_although_others_have_none(tmp_path: Path, nats_server: NatsServer) -> None:
    gone = answering(tmp_path / "gone", by="the broken one")
    async with serving(access(nats_server.url), answering(empty(tmp_path / "n")), gone, patience_s=0.2) as coordinator:
        answer, _ = await coordinator.ask(WANTED)

    assert (answer.status, answer.by) == (Status.BROKEN, "the broken one")


async def test_parts_of_different_answers_are_never_mixed(tmp_path: Path, nats_server: NatsServer) -> None:
    homes = [home(tmp_path / str(number)) for number in range(3)]
    for number, dags in enumerate(homes):
        (dags / "table.bin").write_bytes(bytes([number]) * 700_000)
    async with serving(access(nats_server.url), *map(answering, homes)) as coordinator:
        for _ in range(5):
            answer, data = await coordinator.ask(WANTED)
            assert unpack(data, answer.digest).data("dags/etl.yaml") == ETL.encode()


async def test_many_may_ask_at_once(tmp_path: Path, nats_server: NatsServer) -> None:
    async with serving(access(nats_server.url), answering(home(tmp_path))) as coordinator:
        answers = await asyncio.gather(*(coordinator.ask(Wanted(name="etl", caller=f"w{number}")) for number in range(50)))

    assert {answer.status for answer, _ in answers} == {Status.FOUND}
    assert len({answer.digest for answer, _ in answers}) == 1


async def test_nobody_asks_in_somebody_elses_name(tmp_path: Path, nats_server: NatsServer) -> None:
    """The subject is what a login is permitted; what the question says counts for nothing against it."""
    mine = access(nats_server.url)
    async with serving(mine, answering(home(tmp_path), "boss=*")):
        cluster = Cluster(mine)
        try:
            subject = cluster.names.signal("definitions", "w1")
            got = await cluster.request(Message(subject=subject, body=encode(Wanted(name="etl", caller="boss"))))
            junk = await cluster.request(Message(subject=subject, body=b"\xff{"))
        finally:
            await cluster.close()

    assert b"refused" in got.data
    assert b"somebody else" in got.data
    assert b"this is no question" in junk.data


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        pytest.param([(b"not json", {BY: "x", PARTS: "1"})], "nobody has answered", id="not an answer"),
        pytest.param([(b"whatever", {})], "nobody has answered", id="from nobody"),
        pytest.param([(b"part", {BY: "x", PART: "0"})], "an answer broke off", id="a part without its head"),
        pytest.param(
            [("head", {BY: "x", PARTS: "2"}), (b"part", {BY: "x", PART: "0"})], "an answer broke off", id="half of it"
        ),
    ],
)
async def test_what_is_no_whole_answer_is_none(
    nats_server: NatsServer, messages: list[tuple[bytes | str, dict[str, str]]], told: str
) -> None:
    mine = access(nats_server.url)
    cluster, other = Cluster(mine), Cluster(mine)
    client = await other.client()

    async def say(message: object) -> None:
        head = encode(Answer(status=Status.FOUND, name="etl", digest="sha256:0"))
        for body, headers in messages:
            await client.publish(message.reply, head if isinstance(body, str) else body, headers=headers)  # type: ignore[attr-defined]

    await client.subscribe(cluster.names.signal("definitions") + ".*", cb=say)
    await client.flush()
    try:
        with pytest.raises(NoCoordinator, match=told):
            await NatsCoordinator(cluster, timeout_s=0.1, patience_s=0.05).ask(WANTED)
    finally:
        await cluster.close()
        await other.close()


async def test_who_answers_does_so_again_when_the_server_is_back(tmp_path: Path) -> None:
    with running() as server:
        mine = access(server.url)
        async with serving(mine, answering(home(tmp_path)), timeout_s=1.0) as coordinator:
            assert (await coordinator.ask(WANTED))[0].status is Status.FOUND
            server.kill()
            with pytest.raises((ClusterUnreachable, NoCoordinator)):
                await coordinator.ask(WANTED)
            server.start()
            async with asyncio.timeout(20):
                while True:
                    try:
                        answer, _ = await coordinator.ask(WANTED)
                        break
                    except (ClusterUnreachable, NoCoordinator):
                        await asyncio.sleep(0.05)

    assert answer.status is Status.FOUND


async def test_a_login_that_may_not_ask_is_told_that_nobody_answers(tmp_path: Path) -> None:
    """Worker `w1` may ask in its own name only; for the server, who answers, nothing is closed."""
    say, inbox = "ns.say.definitions", "_INBOX.>"
    accounts = f"""APP: {{ jetstream: enabled
      imports: [{{service: {{account: SYS, subject: "$SYS.REQ.SERVER.PING.JSZ"}}}}]
      users: [
        {{user: app, password: app}}
        {{user: w1, password: w1, permissions: {{
          publish: ["{say}.w1", "$SYS.REQ.SERVER.PING.JSZ"], subscribe: ["{inbox}"] }} }}
      ] }}"""
    with running(accounts=accounts) as server:
        cluster = Cluster(access(server.url, "ns"))
        service = DefinitionService(cluster, answering(home(tmp_path)))
        serving = asyncio.create_task(service.serve())
        await service.ready.wait()
        worker = Cluster(access(server.url.replace("app:app", "w1:w1"), "ns"))
        try:
            coordinator = NatsCoordinator(worker, timeout_s=0.5, patience_s=0.05)
            allowed, _ = await coordinator.ask(WANTED)
            with pytest.raises(NoCoordinator):
                await coordinator.ask(Wanted(name="etl", caller="w2"))
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await worker.close()
            await cluster.close()

    assert allowed.status is Status.FOUND
