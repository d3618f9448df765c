"""A post office that keeps what it is handed."""

from __future__ import annotations

import asyncio

from provisioning.adapters.letters import message_of, recipients_of, sender_of
from provisioning.core.errands import Letter, MailServer
from provisioning.errors import ProvisioningError


class FakeMailer:
    """Fulfils `errands.Mailer`. What no mail server would take is refused as by the real one.

        mailer = FakeMailer()
        mailer.fail(MailFailed("mail.example:25: connection refused"), None)  # once, then it works
        ...
        mailer.sent[0].subject

    `hang` keeps every letter for ever.
    """

    def __init__(self, *, hang: bool = False) -> None:
        self.sent: list[Letter] = []
        self.servers: list[MailServer] = []
        self.cancelled = 0
        self._hang = hang
        self._failures: list[ProvisioningError | None] = [None]

    def fail(self, *failures: ProvisioningError | None) -> None:
        """Say how the next letters fail, in order, the last one for good; None is sent."""
        self._failures = list(failures)

    async def send(self, server: MailServer, letter: Letter) -> None:
        """See Mailer."""
        self.servers.append(server)
        sender_of(letter), recipients_of(letter), message_of(letter)
        try:
            await (asyncio.Event().wait() if self._hang else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        failure = self._failures.pop(0) if len(self._failures) > 1 else self._failures[0]
        if failure is not None:
            raise failure
        self.sent.append(letter)
