"""What steps of Dagu files need from the outside besides programs and HTTP: mail, jq, and shells on other machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Protocol

from provisioning.core.frozen import dataclass
from provisioning.core.outside import NOTHING, Ears, Ended

# ---------------------------------------------------------------- mail


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed in. Port 465 speaks TLS from the first byte; on others TLS is used where it is offered."""

    host: str
    port: int = 25
    username: str = ""  # empty: without a login
    password: str = field(default="", repr=False)
    timeout_s: float = 30.0  # for each answer of the server
    verify: bool = True  # the server's certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One mail. Addresses are `a@b.c` or `Name <a@b.c>`; one text may have several, with commas."""

    sender: str
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    subject: str = ""
    text: str = ""
    html: bool = False  # whether the text is HTML
    attachments: tuple[str, ...] = ()  # paths


class Mailer(Protocol):
    """Sends mail."""

    async def send(self, server: MailServer, letter: Letter) -> None:
        """Hand a letter in for everyone it is for. Raises MailRefused, or MailFailed where another try may help.

        Cancelling closes the connection. Whether the server has taken the letter by then, nobody can say.
        """
        ...


# ---------------------------------------------------------------- filters


class Filters(Protocol):
    """Runs jq programs over JSON."""

    async def apply(self, program: str, data: bytes, *, raw: bool, timeout_s: float) -> bytes:
        """Return what a program makes of one or more JSON documents: results with two spaces of indent, each on new lines.

        With `raw`, results that are texts stand there without quotes. Raises FilterFailed with jq's message, and for what
        takes longer than `timeout_s`, or more memory or output than a filter may have.
        """
        ...


# ---------------------------------------------------------------- shells elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Another machine, and as whom we work on it. What is left out comes from the OpenSSH client configuration."""

    host: str
    user: str = ""
    port: int = 0
    key_path: str = ""
    password: str = field(default="", repr=False)
    known_hosts: str = ""  # a file of host keys, besides the usual ones
    connect_s: float = 0.0  # for the connection; 0: as the configuration says


class RemoteShell(Protocol):
    """Runs commands on other machines. One connection for each login, made when it is first needed."""

    async def run(
        self,
        login: Login,
        command: str | bytes,
        *,
        ears: Ears,
        shell: Sequence[str] = (),
        env: Mapping[str, str] = NOTHING,
        timeout_s: float | None = None,
        grace_s: float = 5.0,
        stop_signal: str = "SIGTERM",
    ) -> Ended:
        """Run a command, or a script (bytes), to its end: not to that of what it leaves running.

        `shell` is a program and its options; without one it is what the script's first line names (`#!`), else the login's
        shell. Neither text nor variables ever stand in arguments on that machine.

        The end is one of: exit (128 + n after signal n, as shells say it); start (it could not be started: why); timeout
        (it was stopped, and is gone); unknown (the link was lost, or nobody can say that it is gone: why).

        Cancelling asks all its processes to end (`stop_signal`), kills them after `grace_s`, and returns when they are gone.
        Raises HostError where the machine cannot be reached, is not the one we know, or refuses the login.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
