"""A mail server on loopback that takes letters, or refuses what a test wants refused."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import BinaryIO

from support.listening import Listener


@dataclass
class Taken:
    """One letter that was taken."""

    sender: str
    recipients: list[str]
    data: bytes
    secured: bool
    login: str

    @property
    def message(self) -> EmailMessage:
        """The letter, parsed."""
        parsed = message_from_bytes(self.data, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed


@dataclass
class Post:
    """Listens until `close`. `replies` are what it says instead to commands that begin like this; None says nothing."""

    tls: ssl.SSLContext | None = None
    secure_at_once: bool = False
    replies: Mapping[str, bytes | None] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.waiting = threading.Event()  # somebody has got no answer
        self.left = threading.Event()  # a client has hung up without QUIT
        self._listener = Listener(self._talk)
        self.port = self._listener.port

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _talk(self, client: socket.socket) -> None:
        try:
            if self.secure_at_once and self.tls is not None:
                client = self.tls.wrap_socket(client, server_side=True)
            polite = _Talk(self, client).to_its_end()
        except OSError:
            polite = False
        if not polite:
            self.left.set()


class _Talk:
    """One connection."""

    def __init__(self, post: Post, client: socket.socket) -> None:
        self._post, self._client = post, client
        self._file: BinaryIO = client.makefile("rb")
        self._letter = Taken("", [], b"", secured=False, login="")
        self._login = ""

    def to_its_end(self) -> bool:
        """Answer until QUIT; return whether it came."""
        try:
            return self._to_its_end()
        finally:
            self._file.close()
            self._client.close()

    def _to_its_end(self) -> bool:
        self._say("", b"220 post.example")
        while line := self._file.readline(10_000):
            command = line.decode("utf-8").rstrip("\r\n")
            self._post.commands.append(command)
            verb = command.partition(" ")[0].upper()
            if verb == "QUIT":
                self._client.sendall(b"221 bye\r\n")
                return True
            self._answer(verb, command)
        return False

    def _say(self, command: str, usual: bytes) -> bool:
        """Answer; return whether as usual."""
        told = next((reply for start, reply in self._post.replies.items() if command.startswith(start)), usual)
        if told is None:
            self._post.waiting.set()
        else:
            self._client.sendall(told + b"\r\n")
        return told == usual

    def _answer(self, verb: str, command: str) -> None:
        if verb == "EHLO":
            offers = [b"post.example", b"8BITMIME", b"SMTPUTF8", b"AUTH PLAIN"]
            offers += [b"STARTTLS"] if self._post.tls and not self._secured else []
            lines = [b"250-" + offer for offer in offers[:-1]] + [b"250 " + offers[-1]]
            self._say(command, b"\r\n".join(lines))
        elif verb == "STARTTLS" and self._post.tls is not None:
            if self._say(command, b"220 go"):
                self._client = self._post.tls.wrap_socket(self._client, server_side=True)
                self._file = self._client.makefile("rb")
        elif verb == "AUTH":
            _, user, password = base64.b64decode(command.rsplit(maxsplit=1)[-1]).decode().split("\0")
            good = self._post.users.get(user) == password
            self._login = user if good else ""
            self._say(command, b"235 welcome" if good else b"535 5.7.8 wrong password")
        elif verb == "MAIL":
            self._letter = Taken(_within(command), [], b"", secured=self._secured, login=self._login)
            self._say(command, b"250 ok")
        elif verb == "RCPT":
            if self._say(command, b"250 ok"):
                self._letter.recipients.append(_within(command))
        elif verb == "DATA":
            if self._say(command, b"354 go"):
                self._read_letter()
        else:
            self._say(command, b"250 ok")

    @property
    def _secured(self) -> bool:
        return isinstance(self._client, ssl.SSLSocket)

    def _read_letter(self) -> None:
        lines = []
        while (line := self._file.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        self._letter.data = b"".join(lines)
        if self._say("\n.", b"250 taken"):
            self._post.taken.append(self._letter)


def _within(command: str) -> str:
    return command.partition("<")[2].partition(">")[0]
