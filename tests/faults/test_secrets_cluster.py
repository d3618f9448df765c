"""Secrets through a cluster: what workers are given is in no stream, key, blob or log of its servers, and in no file."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.canaries import SEED, canaries, files_with, hits, new_files_with, sampled, shared_entries
from support.clusterprocs import reach, worker
from support.dagengine import states
from support.natsservers import USER, NatsServer, access, free_port, running
from support.secretdag import STEPS, SecretiveEngine
from support.secretive import SecretiveWorkspace

from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.wire import Refused

pytestmark = pytest.mark.sshd

Say = Callable[[str], None]
INSTALL = (("taskserv", "create", "--all", "--keep-going"), ("run", "logs", "last"), ("run", "show", "last", "-o", "json"))
RUN = (("run", "outer"), ("logs", "outer"), ("status", "outer", "-o", "json"))
ASKS = "$SYS.REQ.SERVER.PING.JSZ"
ACCOUNT = """APP: {{ jetstream: enabled
  users: [{{user: {user}, password: {password}}}]
  imports: [{{service: {{account: SYS, subject: "{asks}"}}}}]
}}"""


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    return canaries(tmp_path)


@contextmanager
def talkative(password: str) -> Iterator[tuple[NatsServer, Access]]:
    """Have a NATS server that logs every message, and the way to it with a password of its own."""
    account = ACCOUNT.format(user=USER, password=json.dumps(password), asks=ASKS)
    with running(accounts=account, extra="debug: true\ntrace: true") as server:
        yield server, access(f"nats://{server.host}:{server.port}", "secretive", user=USER, password=password)


async def messages(mine: Access) -> list[tuple[str, bytes]]:
    """Return all that the servers hold: subject, and headers and body of each message of each stream."""
    cluster = Cluster(mine)
    try:
        found: list[tuple[str, bytes]] = []
        for name in (await cluster.ask("STREAM.NAMES"))["streams"]:
            state = (await cluster.ask(f"STREAM.INFO.{name}"))["state"]
            for seq in range(state["first_seq"], state["last_seq"] + 1):
                found += await _message(cluster, name, seq)
        return found
    finally:
        await cluster.close()


async def _message(cluster: Cluster, stream: str, seq: int) -> list[tuple[str, bytes]]:
    try:
        one = (await cluster.ask(f"STREAM.MSG.GET.{stream}", {"seq": seq}))["message"]
    except Refused:  # it was removed
        return []
    return [(one["subject"], base64.b64decode(one.get("hdrs", "")) + base64.b64decode(one.get("data", "")))]


@pytest.mark.timeout(600)
def test_what_workers_are_given_in_secret_stays_with_them(
    tmp_path: Path,
    throwaway_servers: Callable[..., ThrowawayServers],
    secrets: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    say: Say,
) -> None:
    (tmp_path / "home").mkdir()
    workspace = SecretiveWorkspace(tmp_path / "workspace", throwaway_servers("one"), secrets)
    engine = SecretiveEngine(tmp_path / "home", secrets, free_port())
    password = canaries(tmp_path / "nats", 1)["secret_0"][:20]
    (engine.kept / "nats").write_text(password, "utf-8")
    given, before = {**secrets, "nats": password}, shared_entries()
    login = {"PROVISIONING_NATS_USER": USER, "PROVISIONING_NATS_PASSWORD": f"file:{engine.kept / 'nats'}"}
    with workspace.agent() as socket, talkative(password) as (server, mine), sampled(given) as seen:
        for name, value in {**login, "HOME": str(engine.folder)}.items():
            monkeypatch.setenv(name, value)
        there = {**engine.environment(), **login, "SSH_AUTH_SOCK": str(socket), "CANARY": secrets["secret_19"]}
        options, place = reach(mine), tmp_path / "worker"
        with worker(place, *options, "--dags", str(engine.dags), **{**there, "HOME": str(place)}):
            installed = [workspace.run(*words, *options) for words in INSTALL]
            ran = [engine(*words, *options, **login) for words in RUN]
        held = asyncio.run(messages(mine))
        at_the_server, files = files_with(server.folder, given, [server.folder / "server.conf"])
        said = (server.folder / "server.log").read_text("utf-8", "replace")

    assert installed[0].code in {1, 5}, installed[0]
    assert "***" in installed[1].out, "what was printed with secrets in it has come"
    assert states(ran[-1].json) == STEPS, "each has been at work"
    assert "MSG_PAYLOAD" in said, "the server has logged what it was sent"
    found, more = files_with(tmp_path, given, [*workspace.allowed, *engine.kept_files])
    new, others = new_files_with(before, given)
    assert at_the_server + found + new == []
    assert [(subject, hits(message, given)) for subject, message in held if hits(message, given)] == []
    shown = [one.out + one.err for one in installed] + [one.out + one.err for one in ran]
    assert [hits(text.encode(), given) for text in shown] == [[]] * len(shown)
    assert [one for one in seen.found if one.startswith("cmdline")] == []
    told = f"{len(held)} messages, {files + more + others} files, {len(shown)} outputs, {seen.reads} reads of /proc"
    say(f"{len(given)} secrets, seed {SEED}: 0 hits in {told}")
