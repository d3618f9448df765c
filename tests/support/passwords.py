"""An SSH server on loopback that lets in who knows a password, and then does nothing."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from support.listening import Listener
from support.ssh import make_key


class PasswordServer:
    """Listens until the `with` block ends."""

    def __init__(self, folder: Path, *, user: str, password: str) -> None:
        kind, blob = make_key(folder / "password-host-key")
        self._key = paramiko.Ed25519Key(filename=str(folder / "password-host-key"))
        self._user, self._password = user, password
        self._listener = Listener(self._serve)
        self._transports: list[paramiko.Transport] = []
        self.port = self._listener.port
        self.let_in = 0
        self.known_hosts = folder / "password-known-hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {blob}\n", "utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.close()
        for transport in self._transports:
            transport.close()

    def _serve(self, client: socket.socket) -> None:
        transport = paramiko.Transport(client)
        self._transports.append(transport)
        transport.add_server_key(self._key)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(server=_Gate(self))

    def check(self, user: str, password: str) -> int:
        """Let somebody in, or not."""
        good = (user, password) == (self._user, self._password)
        self.let_in += good
        return AUTH_SUCCESSFUL if good else AUTH_FAILED


class _Gate(paramiko.ServerInterface):
    def __init__(self, server: PasswordServer) -> None:
        self._server = server

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        return self._server.check(username, password)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED
