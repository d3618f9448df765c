"""Servers that cannot be used are refused in our words, and nothing of the library's is ever on a user's screen."""

from __future__ import annotations

import asyncio
import base64
import binascii
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.natsservers import NatsServer, access, free_port, running
from support.natsstores import opened
from support.natswork import until
from support.records import a_commit, created, event

from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.credentials import from_credentials, from_seed
from provisioning.adapters.nats.streams import blob_stream, ensure, ensure_limited, work_stream
from provisioning.adapters.nats.wire import Message
from provisioning.core.events import Kind
from provisioning.errors import ClusterUnreachable, ConfigError, ProvisioningError, StoreError

KEY = bytes(range(32))


def connected(mine: Access) -> None:
    async def connect() -> None:
        cluster = Cluster(mine)
        await cluster.client()
        await cluster.close()

    asyncio.run(connect())


def refusal(mine: Access, kind: type[ProvisioningError]) -> tuple[str, str]:
    """Return message and hint of what is said of a connection that cannot be."""
    with pytest.raises(kind) as refused:
        connected(mine)
    assert refused.value.hint
    return refused.value.message, refused.value.hint


def test_where_no_server_is_the_address_is_named_without_its_password() -> None:
    message, hint = refusal(access(f"nats://ana:secret@127.0.0.1:{free_port()}", timeout_s=0.5), ClusterUnreachable)
    assert "no NATS server answers at nats://127.0.0.1:" in message
    assert "secret" not in message + hint
    assert "--nats" in hint


def test_a_server_that_listens_and_never_answers_is_given_up_in_time() -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        refusal(access(f"nats://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.5), ClusterUnreachable)


async def test_what_is_asked_while_the_server_is_away_says_that_there_is_no_connection() -> None:
    with running() as server:
        cluster = Cluster(access(server.url))
        client = await cluster.client()
        server.kill()
        await until(lambda: not client.is_connected)
        with pytest.raises(ClusterUnreachable, match=rf"there is no connection to nats://127\.0\.0\.1:{server.port} now"):
            await cluster.ask("INFO")
        await cluster.close()


async def test_who_asks_again_and_again_does_not_keep_the_connection_from_coming_back() -> None:
    with running() as server:
        cluster = Cluster(access(server.url))
        client = await cluster.client()
        server.kill()
        await until(lambda: not client.is_connected)
        server.start()
        asked = 0
        async with asyncio.timeout(30):
            while not client.is_connected:
                asked += 1
                with suppress(StoreError):
                    await cluster.send(Message(subject="faults.nothing"))
        assert asked > 0
        await cluster.close()


@pytest.mark.parametrize("login", ["", "app:wrong@", "nobody:app@"])
def test_a_wrong_login_is_said_to_be_one(nats_server: NatsServer, login: str) -> None:
    message, hint = refusal(access(f"nats://{login}127.0.0.1:{nats_server.port}", timeout_s=2), ConfigError)
    assert f"nats://127.0.0.1:{nats_server.port} refused the login" in message
    assert "nats.credentials" in hint


def test_what_is_no_url_or_no_namespace_is_said() -> None:
    refusal(access("nats://[::", timeout_s=0.5), ProvisioningError)
    assert "nats.namespace" in refusal_of(lambda: Cluster(access("nats://x", namespace="a b"))).message


def refusal_of(make: Callable[[], object]) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        make()
    return refused.value


def test_a_server_that_acknowledges_before_it_syncs_is_refused_unless_one_says_so() -> None:
    with running(sync='"2m"') as server:
        message, hint = refusal(access(server.url), ConfigError)
        assert "acknowledges before it syncs: sync_interval is not `always`" in message
        assert "nats.any_sync" in hint
        connected(access(server.url, any_sync=True))


def test_where_nobody_says_how_the_server_syncs_its_monitoring_port_is_asked_or_it_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    monitor_port = free_port()
    with running(askable=False, monitor_port=monitor_port) as server:
        connected(access(server.url, monitor=f"http://127.0.0.1:{monitor_port}"))
        connected(access(server.url, any_sync=True))
        assert caplog.messages == []
        message, _ = refusal(access(server.url, monitor=f"http://127.0.0.1:{free_port()}"), ConfigError)
        assert "nats.monitor" in message
        for _ in range(2):
            connected(access(server.url))
    (warning,) = caplog.messages
    assert "does not say whether it syncs" in warning
    assert "nats.monitor" in warning
    assert "nats.any_sync" in warning
    with running(askable=False, sync='"2m"', monitor_port=monitor_port) as server:
        message, _ = refusal(access(server.url, monitor=f"http://127.0.0.1:{monitor_port}"), ConfigError)
        assert "sync_interval is not `always`" in message


def test_a_server_that_is_too_old_is_refused(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from nats.aio.client import Client, ServerVersion

    monkeypatch.setattr(Client, "connected_server_version", property(lambda _self: ServerVersion("2.11.9")))
    message, hint = refusal(access(nats_server.url), ConfigError)
    assert "version 2.11.9, expected at least 2.12" in message
    assert "upgrade" in hint


def test_a_stream_that_is_another_than_ours_is_refused(nats_access: Access) -> None:
    async def run() -> None:
        cluster = Cluster(nats_access)
        wanted = work_stream(cluster)
        await cluster.ask(f"STREAM.CREATE.{wanted['name']}", {**wanted, "allow_atomic": False, "allow_msg_schedules": False})
        with pytest.raises(ConfigError, match="has allow_atomic"):
            await ensure(cluster, wanted)

    asyncio.run(run())


async def test_a_stream_that_an_older_version_made_is_used_and_brought_up_to_date_by_who_may(nats_access: Access) -> None:
    cluster = Cluster(nats_access)
    wanted = blob_stream(cluster)
    await cluster.ask(f"STREAM.CREATE.{wanted['name']}", {**wanted, "max_msgs_per_subject": -1})
    assert (await ensure(cluster, wanted))["config"]["max_msgs_per_subject"] == -1
    await ensure_limited(cluster, wanted)
    config = (await ensure(cluster, wanted))["config"]
    assert (config["max_msgs_per_subject"], config["subjects"]) == (1, wanted["subjects"])
    await cluster.close()


# ---------------------------------------------------------------- who we are


def seed_text(kind: int = 20 << 3) -> str:
    raw = bytes([(18 << 3) | (kind >> 5), (kind & 31) << 3]) + KEY
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def test_an_account_with_an_nkey_is_signed_for(tmp_path: Path) -> None:
    seed = tmp_path / "user.nk"
    seed.write_text(seed_text() + "\n")
    public = from_seed(seed).public
    ask = "$SYS.REQ.SERVER.PING.JSZ"
    imports = f'imports: [{{service: {{account: SYS, subject: "{ask}"}}}}]'
    accounts = f"APP: {{ jetstream: enabled\n users: [{{nkey: {public}}}]\n {imports}\n }}"
    with running(accounts=accounts) as server:
        url = f"nats://127.0.0.1:{server.port}"
        connected(access(url, nkey=seed))
        refusal(access(url, timeout_s=1), ConfigError)


def test_a_credentials_file_gives_its_jwt_and_a_signature_that_its_key_verifies(tmp_path: Path) -> None:
    file = tmp_path / "user.creds"
    file.write_text(
        "-----BEGIN NATS USER JWT-----\neyJ0.a.b\n------END NATS USER JWT------\n\n*** IMPORTANT ***\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed_text()}\n------END USER NKEY SEED------\n"
    )
    signer = from_credentials(file)
    assert signer.jwt == "eyJ0.a.b"
    public = Ed25519PrivateKey.from_private_bytes(KEY).public_key()
    public.verify(base64.b64decode(signer.sign("nonce")), b"nonce")


@pytest.mark.parametrize("content", ["", "SUABC", seed_text()[:-2], "ü", "-----BEGIN NATS USER JWT-----\n"])
def test_files_that_hold_no_key_are_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "broken"
    file.write_text(content, "utf-8")
    for read in (from_credentials, from_seed):
        with pytest.raises(ConfigError, match="broken"):
            read(file)
    assert "there is no file" in refusal(access("nats://127.0.0.1:1", credentials=tmp_path / "missing"), ConfigError)[0]


# ---------------------------------------------------------------- restricted accounts


async def test_an_account_that_may_not_make_streams_uses_those_that_are_there(tmp_path: Path) -> None:
    deny = '["$JS.API.STREAM.CREATE.>", "$JS.API.STREAM.UPDATE.>", "$JS.API.STREAM.DELETE.>"]'
    small = f'{{user: small, password: small, permissions: {{publish: {{allow: [">"], deny: {deny}}}}}}}'
    ask = "$SYS.REQ.SERVER.PING.JSZ"
    imports = f'imports: [{{service: {{account: SYS, subject: "{ask}"}}}}]'
    accounts = f"APP: {{ jetstream: enabled\n users: [{{user: app, password: app}}, {small}]\n {imports}\n }}"
    with running(accounts=accounts) as server:
        few = access(f"nats://small:small@127.0.0.1:{server.port}", timeout_s=1)
        with pytest.raises(ConfigError, match="is not there, and this account may not make it"):
            async with opened(few, tmp_path / "small") as store:
                await created(store)
        async with opened(replace(few, urls=(server.url,)), tmp_path / "large") as store:
            await created(store)
        async with opened(few, tmp_path / "small") as store:
            assert await store.commit(a_commit(2, event(Kind.RUN_RESUMED))) == 3


async def test_what_an_account_may_not_do_is_said_in_our_words(tmp_path: Path) -> None:
    ask = "$SYS.REQ.SERVER.PING.JSZ"
    imports = f'imports: [{{service: {{account: SYS, subject: "{ask}"}}}}]'
    small = '{user: small, password: small, permissions: {publish: {allow: [">"], deny: ["*.wf.>"]}}}'
    accounts = f"APP: {{ jetstream: enabled\n users: [{{user: app, password: app}}, {small}]\n {imports}\n }}"
    with running(accounts=accounts) as server:
        few = access(f"nats://small:small@127.0.0.1:{server.port}", timeout_s=1, patience_s=2)
        async with opened(few, tmp_path) as store:
            with pytest.raises(StoreError, match=r"may not publish to .*\.wf\."):
                await created(store)


# ---------------------------------------------------------------- silence

PROGRAM = """
import asyncio, sys
from pathlib import Path
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.errors import ProvisioningError

async def main():
    cluster = Cluster(Access(urls=(sys.argv[1],), namespace="silent", timeout_s=0.5))
    try:
        await cluster.client()
        print("connected", flush=True)
        sys.stdin.readline()
        await cluster.ask("INFO")
    except ProvisioningError as error:
        print("refused:", error.message)

asyncio.run(main())
"""


def said(url: str, between: Callable[[], None] = lambda: None) -> tuple[str, str]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM), url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    between()
    out, err = process.communicate("\n", timeout=30)
    return first + out, err


def test_the_library_prints_nothing_whatever_goes_wrong() -> None:
    cases: list[tuple[str, Any]] = []
    with running() as server:
        cases.append(said(server.url))
        cases.append(said(f"nats://app:wrong@127.0.0.1:{server.port}"))
        cases.append(said(server.url, server.kill))
    cases.append(said(f"nats://127.0.0.1:{free_port()}"))
    assert [err for _out, err in cases] == [""] * 4
    assert [out.split()[-1] == "connected" for out, _err in cases] == [True, False, False, False]
    assert all("refused: " in out for out, _err in cases[1:])


async def test_a_reconnection_that_was_cancelled_ends_with_its_next_failure_even_if_it_lost_the_cancellation() -> None:
    from nats.aio.client import Client

    cluster = Cluster(access("nats://127.0.0.1:9"))
    begun = asyncio.Event()

    async def reconnecting() -> None:
        begun.set()
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await cluster._heard(Client(), OSError("refused"))

    task = asyncio.create_task(reconnecting())
    await begun.wait()
    task.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait([task])
    assert task.cancelled()
