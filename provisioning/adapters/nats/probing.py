"""Whether a server is one that we can trust: new enough, and syncing before it acknowledges."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from functools import cache
from typing import TYPE_CHECKING

from provisioning.errors import ConfigError

if TYPE_CHECKING:
    from nats.aio.client import Client

    from provisioning.adapters.nats.connect import Access

LOG = logging.getLogger("provisioning")
OLDEST = (2, 12)
"""Atomic batches, schedules and message TTLs in one stream came with it."""
ASK = "$SYS.REQ.SERVER.PING.JSZ"
ASK_S = 5.0
OTHERS_S = 0.1  # after an answer, for those of the other servers
OVERRIDE = "nats.any_sync"
HOW = (
    "set `sync_interval: always` in the servers' jetstream block, and let the account ask for it as docs/how-to/cluster.md "
    f"says, or give nats.monitor; {OVERRIDE} = true takes the risk"
)


async def check_server(client: Client, access: Access) -> None:
    """Raise ConfigError for a server that is too old, has no JetStream, or acknowledges before it syncs.

    An ordinary account may not ask how a server syncs: of one that does not say we warn, once in a process. To refuse it would
    be to refuse most servers that do as we ask.
    """
    version = client.connected_server_version
    where = client.connected_url.netloc.rpartition("@")[2] if client.connected_url else "?"
    if (version.major, version.minor) < OLDEST:
        raise ConfigError(
            f"nats: the server at {where} is version {version.major}.{version.minor}.{version.patch}, "
            f"expected at least {'.'.join(map(str, OLDEST))}",
            hint="upgrade the servers, one after another",
        )
    if access.any_sync:
        return
    synced = await _asked(client)
    if synced is None and access.monitor:
        synced = await asyncio.to_thread(_monitored, access.monitor)
    if synced is None:
        _warn(where)
    elif not synced:
        raise ConfigError(
            f"nats: the server at {where} acknowledges before it syncs: sync_interval is not `always`, "
            "so a power cut loses what was acknowledged",
            hint=HOW,
        )


@cache
def _warn(where: str) -> None:
    LOG.warning("nats: the server at %s does not say whether it syncs before it acknowledges; %s", where, HOW)


async def _asked(client: Client) -> bool | None:
    """Return whether every server that answers syncs always; None when none does, as for accounts that may not ask."""
    inbox = client.new_inbox()
    answers: list[bool] = []
    subscription = await client.subscribe(inbox)
    try:
        await client.publish(ASK, b'{"config":true}', reply=inbox)
        while len(answers) < len(client.servers):  # there may be fewer: one address each, in the list and as they tell it
            message = await subscription.next_msg(timeout=OTHERS_S if answers else ASK_S)
            if not message.data:  # nobody serves it
                break
            answers.append(_always(json.loads(message.data).get("data", {}).get("config", {})))
    except TimeoutError:
        pass
    finally:
        await subscription.unsubscribe()
    return all(answers) if answers else None


def _monitored(url: str) -> bool | None:
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"nats.monitor: '{url}' is no URL", hint="for example http://127.0.0.1:8222")
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/jsz?config=true", timeout=ASK_S) as answer:  # noqa: S310
            return _always(json.load(answer).get("config", {}))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"nats.monitor: {url} does not answer: {error}", hint="is it the servers' monitoring port?"
        ) from error


def _always(config: dict[str, object]) -> bool:
    return bool(config.get("sync_always", False))
