"""Every role does its work with the permissions that are documented for it, and nothing that is another's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from support.natsservers import NatsServer, running

from provisioning import clusters
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.lease import NatsLease
from provisioning.adapters.nats.messages import Head
from provisioning.adapters.nats.names import Names
from provisioning.adapters.nats.permissions import Permissions, covers, of_client, of_scheduler, of_server, of_worker
from provisioning.adapters.nats.resources import NatsResources
from provisioning.adapters.nats.turns import Turns
from provisioning.adapters.nats.wire import Message
from provisioning.builder import Workflow, acts, task
from provisioning.client import connect
from provisioning.client.engine import Options
from provisioning.client.node import Duty, Node
from provisioning.errors import StoreError
from provisioning.settings import Settings

NAMES = Names()
ASK = "$SYS.REQ.SERVER.PING.JSZ"
LONG = "x" * 300_000


@task(name="nats.permissions.work")
def work(size: int) -> str:
    return LONG[:size]


def roles() -> dict[str, Permissions]:
    return {
        "scheduler": of_scheduler(NAMES, "_I.scheduler"),
        "client": of_client(NAMES, "_I.client"),
        "server": of_server(NAMES, "_I.server"),
        "site-a": of_worker(NAMES, "_I.site-a", ["site-a"], "site-a"),
        "site-b": of_worker(NAMES, "_I.site-b", ["site-b"], "site-b"),
    }


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    users = ", ".join(
        f"{{ user: {json.dumps(name)}, password: p, permissions: {permissions.config()} }}"
        for name, permissions in roles().items()
    )
    imports = f'[{{service: {{account: SYS, subject: "{ASK}"}}}}]'
    with running(accounts=f"APP: {{ jetstream: enabled\n users: [{users}]\n imports: {imports}\n }}") as started:
        yield started


def access(server: NatsServer, role: str) -> Access:
    return Access(urls=(f"nats://127.0.0.1:{server.port}",), user=role, password="p", inbox=f"_I.{role}", timeout_s=2.0)


@asynccontextmanager
async def node(server: NatsServer, role: str, duty: Duty) -> AsyncIterator[Node]:
    joined = await clusters.join(access(server, role))
    try:
        async with Node(joined, duty, Settings(), Options(slots=duty.slots, worker=duty.name)) as working:
            yield working
    finally:
        await joined.aclose()


@asynccontextmanager
async def everybody(server: NatsServer) -> AsyncIterator[None]:
    """Have a scheduler and a worker at each of two sites."""
    async with (
        node(server, "scheduler", Duty(name="scheduler", slots=1, targets=("none",))),
        node(server, "site-a", Duty(name="site-a", slots=2, targets=("site-a",), decides=False)),
        node(server, "site-b", Duty(name="site-b", slots=2, targets=("site-b",), decides=False)),
    ):
        yield


@pytest.mark.parametrize("role", ["client", "server"])
async def test_runs_are_submitted_done_at_their_sites_steered_and_deleted(server: NatsServer, role: str) -> None:
    flow = Workflow("both")
    first = flow.step("a", acts.shell("echo worked"), on_target="site-a")
    flow.step("b", work, len(LONG), on_target="site-b", after=[first])
    url = f"nats://{role}:p@127.0.0.1:{server.port}"
    async with everybody(server), connect(url, nats={"inbox": f"_I.{role}"}) as client:
        run = await client.submit(flow)
        info = await client.wait(run, timeout_s=40)
        assert (info.status, len(str(await client.result(run, "b")))) == ("succeeded", len(LONG))
        joined = await clusters.join(access(server, role))
        heard: list[bytes] = []
        await clusters.run_logs(joined, run, lambda chunk: heard.append(chunk.data)).fetch()
        assert heard == [b"worked\n"]
        await joined.aclose()
        await client.delete(run)
        assert await client.list() == ()
        cluster = Cluster(access(server, role))
        turns = Turns(cluster)
        assert await turns.take(role, await turns.now(role), "r1", "me", begun=False) is not None
        states = NatsResources(cluster, role)
        assert (await states.save(await states.load())).serial == 1
        await cluster.close()
    assert violations(server) == []


def violations(server: NatsServer) -> list[str]:
    """Return what the server has refused so far, of what the tests before did not try on purpose."""
    return [line for line in (server.folder / "server.log").read_text("utf-8").splitlines() if "Violation" in line]


REFUSED = {
    "reading tasks of another site with a consumer of one's own": (
        f"$JS.API.CONSUMER.CREATE.{NAMES.work}.mine.{NAMES.tasks('site-b')}",
        json.dumps({"stream_name": NAMES.work, "config": {"name": "mine", "filter_subject": NAMES.tasks("site-b")}}),
    ),
    "reading them with a consumer that filters later": (
        f"$JS.API.CONSUMER.CREATE.{NAMES.work}.mine",
        json.dumps({"stream_name": NAMES.work, "config": {"name": "mine", "filter_subjects": [NAMES.tasks("site-b")]}}),
    ),
    "taking from the consumer of another site": (
        f"$JS.API.CONSUMER.MSG.NEXT.{NAMES.work}.{NAMES.durable('site-b')}",
        json.dumps({"batch": 1, "no_wait": True}),
    ),
    "reading the stream itself": (f"$JS.API.STREAM.MSG.GET.{NAMES.work}", json.dumps({"last_by_subj": NAMES.tasks("site-b")})),
    "reading a task directly": (f"$JS.API.DIRECT.GET.{NAMES.work}.{NAMES.task('site-b', 'r', 's', 1, 1)}", ""),
    "telling how a step of another site has ended": (NAMES.end("r1", "s", 1, 1, "site-b"), "[]"),
    "telling it without a target": (NAMES.end("r1", "s", 1, 1, "site-b").rpartition(".")[0], "[]"),
    "reading how a step has ended": (f"$JS.API.DIRECT.GET.{NAMES.work}.{NAMES.end('r1', 's', 1, 1, 'site-b')}", ""),
    "committing a decision": (NAMES.decision("r1"), "[]"),
    "dispatching a task": (NAMES.task("site-a", "r1", "s", 1, 1), "{}"),
    "asking for something": (NAMES.request(""), "{}"),
    "raising the fence": (NAMES.fence, "99"),
    "taking the lease": (NAMES.key("lease", "0"), "{}"),
    "writing states": (NAMES.key("state", "prod"), "{}"),
    "speaking for another worker": (NAMES.key("workers", "site-b"), "{}"),
    "replacing a workflow": (NAMES.blob("workflows", "sha256:1", "0"), "evil"),
    "publishing events": (f"{NAMES.namespace}.prod.workflow.w.run_finished", "{}"),
    "removing messages": (f"$JS.API.STREAM.PURGE.{NAMES.work}", ""),
    "removing streams": (f"$JS.API.STREAM.DELETE.{NAMES.work}", ""),
}


@pytest.mark.parametrize("what", list(REFUSED))
async def test_a_worker_of_one_site_is_refused(server: NatsServer, what: str) -> None:
    subject, body = REFUSED[what]
    joined = await clusters.join(access(server, "scheduler"))
    before = await joined.cluster.ask(f"STREAM.INFO.{NAMES.work}")
    cluster = Cluster(replace(access(server, "site-a"), timeout_s=0.5))
    await cluster.client()
    with pytest.raises(StoreError):
        await cluster.request(Message(subject=subject, body=body.encode(), headers=Head(run="r1", last=1).headers()))
    after = await joined.cluster.ask(f"STREAM.INFO.{NAMES.work}")
    assert (after["state"]["messages"], after["state"]["consumer_count"]) == (
        before["state"]["messages"],
        before["state"]["consumer_count"],
    )
    await cluster.close()
    await joined.aclose()


@pytest.mark.parametrize("subject", ["_I.site-b.>", "_INBOX.>", ">", f"{NAMES.namespace}.wf.task.>", "$KV.>"])
async def test_a_worker_of_one_site_hears_nothing_that_is_for_others(server: NatsServer, subject: str) -> None:
    listening, speaking = Cluster(access(server, "site-a")), Cluster(access(server, "scheduler"))
    heard: list[object] = []

    async def hear(message: object) -> None:
        heard.append(message)

    client = await listening.client()
    await client.subscribe(subject, cb=hear)
    await client.flush()
    said = subject.replace(">", "x") if subject != ">" else f"{NAMES.namespace}.x"
    await (await speaking.client()).publish(said, b"secret")
    await (await speaking.client()).flush()
    await client.flush()
    assert heard == []
    await listening.close()
    await speaking.close()


async def test_a_client_cannot_lead(server: NatsServer) -> None:
    joined = await clusters.join(access(server, "scheduler"))
    await NatsLease(joined.cluster, "makes the bucket").acquire()
    cluster = Cluster(replace(access(server, "client"), timeout_s=0.5))
    with pytest.raises(StoreError):
        await NatsLease(cluster, "client").acquire()
    await cluster.close()
    await joined.aclose()


@pytest.mark.parametrize(
    ("pattern", "subject", "does"),
    [
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.*", "a.b", True),
        ("a.*", "a.>", False),
        ("a.*.c", "a.*.c", True),
        ("a.b", "a.*", False),
        ("a.b", "a.b.c", False),
        (">", "a.>", True),
    ],
)
def test_what_a_pattern_covers(pattern: str, subject: str, *, does: bool) -> None:
    assert covers(pattern, subject) is does


def test_roles_add_up() -> None:
    both = of_client(NAMES, "_I") + of_worker(NAMES, "_I", ["a"])
    assert both.deny_publish == ()
    assert set(of_client(NAMES, "_I").publish) | set(of_worker(NAMES, "_I", ["a"]).publish) == set(both.publish)
    assert (of_worker(NAMES, "_I", ["a"]) + of_worker(NAMES, "_I", ["b"])).deny_publish != ()
