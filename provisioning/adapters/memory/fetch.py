"""A web that a test writes: names, addresses and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from provisioning.core.outside import Exchange, Fetched, Resolved


class FakeFetch:
    """Fulfils `outside.Fetch`. What has no answer is refused; a name without addresses is looked up in vain.

        web = FakeFetch({"example.org": ["8.8.8.8"]})
        web.on("GET", "https://example.org/a", Fetched(kind="answer", status=200, body=b"hello"))
        ...
        web.asked[0].headers

    Answers are used in order, the last one for good. None never comes.
    """

    def __init__(self, names: dict[str, Sequence[str]] | None = None, *, proxy: str = "") -> None:
        self.asked: list[Exchange] = []
        self.looked_up: list[str] = []
        self.cancelled = 0
        self._names = names or {}
        self._proxy = proxy
        self._answers: dict[tuple[str, str], list[Fetched | None]] = {}

    def on(self, method: str, url: str, *answers: Fetched | None) -> None:
        """Say what is answered to a request."""
        self._answers[(method, url)] = list(answers)

    async def resolve(self, host: str, *, timeout_s: float) -> Resolved:  # noqa: ARG002 - it takes no time
        """See Fetch."""
        self.looked_up.append(host)
        if host not in self._names:
            return Resolved(message=f"{host} cannot be looked up: name or service not known")
        return Resolved(addresses=tuple(self._names[host]))

    def proxy(self, scheme: str, host: str) -> str:  # noqa: ARG002 - one for all
        """See Fetch."""
        return self._proxy

    async def exchange(self, exchange: Exchange) -> Fetched:
        """See Fetch."""
        self.asked.append(exchange)
        host = f"{exchange.scheme}://{exchange.host}"
        standard = (exchange.scheme, exchange.port) in (("http", 80), ("https", 443))
        url = f"{host}{'' if standard else f':{exchange.port}'}{exchange.target}"
        answers = self._answers.get((exchange.method, url), [])
        if not answers:
            return Fetched(kind="connect", message="the connection failed: connection refused")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is not None:
            return answer
        never: asyncio.Future[Fetched] = asyncio.get_running_loop().create_future()
        try:
            return await never
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
