"""One connection: a tuned socket, the right machine, a login. Blocking; called from threads."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from provisioning.adapters.ssh.config import Target, known_name
from provisioning.adapters.ssh.ears import Ears
from provisioning.adapters.ssh.hostkeys import HostKey, KnownHosts
from provisioning.adapters.ssh.keys import KeyRing
from provisioning.adapters.ssh.lean import load_paramiko
from provisioning.core.frozen import dataclass
from provisioning.core.text import plain_text
from provisioning.errors import LoginRefused, Unreachable

if TYPE_CHECKING:
    from paramiko import Transport
    from paramiko.pkey import PKey

_KEX_FIRST = ("curve25519-sha256@libssh.org",)  # five times faster here than the post-quantum default
_CIPHERS_FIRST = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")

_POLL_S = 2.0  # how often paramiko's thread looks up although nothing came: each time costs, for a hundred servers a tenth


class Busy(Unreachable):
    """The server hung up before it greeted: too many logins at once (MaxStartups). Worth more patience than other errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshOptions:
    """How patient, how parallel."""

    burst: int = 16  # logins under way at once
    threads: int = 64  # blocking calls at once
    tries: int = 5  # of a server that does not answer
    dead_after_s: float = 15.0  # of silence, unanswered questions included
    patience_s: float = 30.0  # for a lost link, before the outcome is unknown
    connect_s: float = 10.0
    greeting_s: float = 10.0
    login_s: float = 15.0
    sudo_s: float = 1.5  # for sudo's verdict: with the login, and a look at whether the server is slow, that is under 2 s


class Connection:
    """A live login. Closed ones stay closed; whoever needs another connects again."""

    def __init__(self, target: Target, transport: Transport, ears: Ears) -> None:
        self.target = target
        self.transport = transport
        self.ears = ears

    @property
    def alive(self) -> bool:
        """Whether it can be used, as far as we know."""
        return self.transport.is_active()

    def close(self) -> None:
        """Close it. Work on the server goes on."""
        quietly(lambda: self.ears.shutdown(socket.SHUT_RDWR))  # wakes paramiko's thread, whose end `close` waits for
        self.transport.close()


class Connector:
    """Makes connections with one set of keys and one reading of known_hosts."""

    def __init__(self, *, keys: KeyRing | None = None, home: Path | None = None, options: SshOptions | None = None) -> None:
        self._keys = keys or KeyRing()
        self._home = home or Path("~/.ssh").expanduser()
        self._options = options or SshOptions()

    def connect(self, target: Target, through: Connection | None = None) -> Connection:
        """Log in. Raises Unreachable, HostKeyError before anything of ours was offered, LoginRefused."""
        known = KnownHosts(target.known_hosts)
        transport, ears = self._greet(target, through, known.types(target.host_key_name))
        try:
            known.check(target.host_key_name, _offered(transport), server=target.name)
            self._log_in(transport, target)
        except BaseException:
            transport.close()
            raise
        ears.settimeout(_POLL_S)
        return Connection(target, transport, ears)

    def host_key(self, target: Target, through: Connection | None = None) -> HostKey:
        """Return the key that a server offers, without trusting it and without logging in. Raises Unreachable."""
        transport, _ = self._greet(target, through, ())
        try:
            return _offered(transport)
        finally:
            transport.close()

    def _greet(self, target: Target, through: Connection | None, known: Sequence[str]) -> tuple[Transport, Ears]:
        """Exchange keys."""
        ears = Ears(self._reach(target, through))  # first: a server takes ten milliseconds to greet
        load_paramiko()
        from paramiko import SSHException, Transport

        from provisioning.adapters.ssh.packets import Packets

        _silence_paramiko()
        transport = Transport(cast("socket.socket", ears), packetizer_class=Packets)
        transport.daemon = True
        transport.banner_timeout = self._options.greeting_s
        transport.handshake_timeout = self._options.greeting_s
        transport.auth_timeout = self._options.login_s
        _prefer(transport, known)
        began_s = time.monotonic()
        try:
            transport.start_client(timeout=self._options.greeting_s)
        except (SSHException, EOFError, OSError) as wrong:
            transport.close()
            hung_up = not transport.remote_version and time.monotonic() - began_s < self._options.greeting_s / 2
            kind, where = Busy if hung_up else Unreachable, known_name(target.host, target.port)
            why = "the server hung up before it greeted" if hung_up else _words(wrong)
            raise kind(f"{target.name} ({where}): {why}", server=target.name) from wrong
        if not transport.initial_kex_done:
            transport.close()
            raise Unreachable(f"{target.name}: no key exchange within {self._options.greeting_s:g} s", server=target.name)
        return transport, ears

    def _reach(self, target: Target, through: Connection | None) -> Any:  # noqa: ANN401
        timeout_s = target.connect_timeout_s or self._options.connect_s
        where = known_name(target.host, target.port)
        if through is None:
            try:
                connection = socket.create_connection((target.host, target.port), timeout=timeout_s)
            except OSError as wrong:
                raise Unreachable(f"{target.name} ({where}): {_words(wrong)}", server=target.name) from wrong
            return _tuned(connection, self._options.dead_after_s)
        from paramiko import SSHException

        try:
            return through.transport.open_channel(
                "direct-tcpip", (target.host, target.port), ("127.0.0.1", 0), timeout=timeout_s
            )
        except (SSHException, EOFError, OSError) as wrong:
            raise Unreachable(
                f"{target.name} ({where}) through {through.target.name}: {_words(wrong)}", server=target.name
            ) from wrong

    def _log_in(self, transport: Transport, target: Target) -> None:
        troubles: list[str] = []
        if target.password is not None and not target.key_paths and _offer_password(transport, target, troubles):
            return  # asked for like this, so before keys that nobody named
        with contextlib.closing(self._keys.candidates(target, self._home, note=troubles.append)) as candidates:
            for called, key in candidates:
                trouble = _offer(transport, target, called, key, first=not troubles)
                if not trouble:
                    return
                troubles.append(trouble)
                if not transport.is_active():
                    break
        if target.password is not None and target.key_paths and _offer_password(transport, target, troubles):
            return
        raise LoginRefused(
            f"{target.name} refused the login as {target.user}: {'; '.join(troubles) or 'there is no key to offer'}",
            hint="set ssh.user and ssh.key_path of the server, or add the key to the agent",
            server=target.name,
        )


def _offer(transport: Transport, target: Target, called: str, key: PKey, *, first: bool) -> str:
    """Log in with a key; return "" or why it was not enough. Raises Unreachable."""
    from paramiko import AuthenticationException, BadAuthenticationType, SSHException

    try:
        wanted = transport.auth_publickey(target.user, key)
    except BadAuthenticationType as wrong:
        return f"it takes only {', '.join(wrong.allowed_types)}"
    except AuthenticationException as wrong:
        if first and not transport.is_active():  # later, it may be the server that has had enough of our keys
            said = " ".join((transport.get_banner() or b"").decode("utf-8", "replace").split())[:200]
            ended = f"{target.name}: the connection ended during login{f', the server said: {said}' if said else ''}"
            raise Unreachable(plain_text(ended), server=target.name) from wrong
        return called
    except (SSHException, EOFError, OSError) as wrong:
        raise Unreachable(f"{target.name}: {_words(wrong)}", server=target.name) from wrong
    return f"{called} is not enough, it also wants {', '.join(wanted)}" if wanted else ""


def _offer_password(transport: Transport, target: Target, troubles: list[str]) -> bool:
    """Whether the password lets us in; why not goes to `troubles`. Raises Unreachable."""
    from paramiko import AuthenticationException, BadAuthenticationType, SSHException

    if not transport.is_active():
        return False
    try:
        wanted = transport.auth_password(target.user, target.password or "")
    except BadAuthenticationType as wrong:
        troubles.append(f"it takes only {', '.join(wrong.allowed_types)}")
        return False
    except AuthenticationException:
        troubles.append("the password")
        return False
    except (SSHException, EOFError, OSError) as wrong:
        raise Unreachable(f"{target.name}: {_words(wrong)}", server=target.name) from wrong
    if wanted:
        troubles.append(f"the password is not enough, it also wants {', '.join(wanted)}")
    return not wanted


@cache
def _silence_paramiko() -> None:
    """Paramiko prints tracebacks of what it also raises, unless somebody listens to its log."""
    import logging

    logging.getLogger("paramiko").addHandler(logging.NullHandler())


def _prefer(transport: Transport, known: Sequence[str]) -> None:
    """Put the fast algorithms first and ask for the type of host key that we know; the full safe list stays behind."""
    options = transport.get_security_options()
    options.kex = _first(_KEX_FIRST, options.kex)
    options.ciphers = _first(_CIPHERS_FIRST, options.ciphers)
    rsa = ("rsa-sha2-512", "rsa-sha2-256")
    options.key_types = _first([kind for name in known for kind in (rsa if name == "ssh-rsa" else (name,))], options.key_types)


def _first(wanted: Sequence[str], offered: Sequence[str]) -> tuple[str, ...]:
    chosen = [name for name in wanted if name in offered]
    return (*chosen, *(name for name in offered if name not in chosen))


def _offered(transport: Transport) -> HostKey:
    key = transport.get_remote_server_key()
    return HostKey(type=key.get_name(), base64=key.get_base64())


def _tuned(connection: socket.socket, dead_after_s: float) -> socket.socket:
    """Send small packets at once (63 ms -> 3.6 ms per exec) and notice a dead peer."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(dead_after_s * 1000))
    return connection


def _words(wrong: BaseException) -> str:
    text = (wrong.strerror if isinstance(wrong, OSError) else None) or str(wrong) or type(wrong).__name__
    return text[0].lower() + text[1:] if text[:2].istitle() else text


def quietly(close: Callable[[], object]) -> None:
    """Close something whose other end may be gone."""
    with contextlib.suppress(Exception):
        close()
