"""The client of nats-py that we use: it says nothing in the clear where TLS was asked for, and leaves the screen to us."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nats import errors
from nats.aio.client import Client

if TYPE_CHECKING:
    from provisioning.adapters.nats.connect import Access

SEALED_SCHEMES = ("tls", "wss")
_NOISE = "eof_received"
"""What asyncio says of every connection that nats-py has brought under TLS when it ends: nothing that a user could mend."""


class SealedClient(Client):
    """Refuses a server that speaks without TLS before it has told it who we are. nats-py goes on in the clear."""

    def _connect_command(self) -> bytes:
        under_tls = self._server_info.get("tls_required") or (self._current_server and self._current_server.uri.scheme == "wss")
        if not under_tls:
            raise errors.Error("the server speaks without TLS")
        return super()._connect_command()


def new_client(access: Access) -> Client:
    """Return a client that is not connected yet. A certificate, or `tls://`, asks for TLS on all servers."""
    _quiet()
    schemes = {url.partition("://")[0] for url in access.urls}
    sealed = access.ca or access.certificate or not schemes.isdisjoint(SEALED_SCHEMES)
    return SealedClient() if sealed else Client()


def _quiet() -> None:
    """Keep nats-py off the user's screen: what it has to say is in our errors."""
    log = logging.getLogger("nats")
    log.propagate = False
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    logging.getLogger("asyncio").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return _NOISE not in str(record.msg)
