"""Mail through a server that takes it: one connection for each letter, in a thread, closed when we are cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import smtplib
import socket
import ssl
import threading
from email.message import EmailMessage

from provisioning.adapters.letters import message_of, recipients_of, sender_of
from provisioning.core.errands import Letter, MailServer
from provisioning.core.shown import escaped
from provisioning.errors import MailFailed, MailRefused, ProvisioningError

TLS_PORT = 465
_CLOSING_S = 5.0  # for a thread whose connection has been closed
_SAID_CHARS = 300


class SmtpMailer:
    """Fulfils `errands.Mailer`."""

    async def send(self, server: MailServer, letter: Letter) -> None:
        """See Mailer."""
        delivery = _Delivery(server)
        work = asyncio.ensure_future(asyncio.to_thread(delivery.make, letter))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            delivery.close()
            work.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait([work], timeout=_CLOSING_S)  # a thread that looks a name up cannot be reached; it will not send
            raise


class _Closed(Exception):
    """We were cancelled."""


class _Delivery:
    """One letter on its way. `close` may be called from another thread."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._closed = False

    def close(self) -> None:
        """End the connection, also one that is still to be made."""
        with self._lock:
            self._closed = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def make(self, letter: Letter) -> None:
        """Send it. Blocking. Raises MailRefused, MailFailed."""
        recipients, message = recipients_of(letter), message_of(letter)
        sender = sender_of(letter).addr_spec
        where = f"{self._server.host}:{self._server.port}"
        try:
            with self._connected() as smtp:
                self._secured(smtp)
                self._log_in(smtp)
                _hand_in(smtp, message, sender, recipients)
        except ssl.SSLError as wrong:
            raise MailRefused(f"{where}: {_no_tls(wrong)}") from wrong
        except smtplib.SMTPNotSupportedError as wrong:
            raise MailRefused(f"{where} cannot take this letter: {_words(str(wrong))}") from wrong
        except smtplib.SMTPResponseException as wrong:
            raise _answered(where, wrong.smtp_code, wrong.smtp_error) from wrong
        except smtplib.SMTPRecipientsRefused as wrong:
            raise _unwanted(where, wrong.recipients) from wrong
        except (smtplib.SMTPException, OSError, EOFError, UnicodeError, _Closed) as wrong:
            raise MailFailed(
                f"{where}: {_words(getattr(wrong, 'strerror', None) or str(wrong) or 'hung up').lower()}"
            ) from wrong

    def _connected(self) -> smtplib.SMTP:
        server, hold = self._server, self._hold

        class Client(smtplib.SMTP):
            """One whose socket we know, and which speaks TLS at once where that is due."""

            def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
                plain = socket.create_connection((host, port), timeout)
                hold(plain)
                if port != TLS_PORT:
                    return plain
                secured = _tls(server).wrap_socket(plain, server_hostname=host)
                hold(secured)
                return secured

        # Without a name of our own, it would ask the name service for one, for however long that takes.
        return Client(server.host, server.port, local_hostname="[127.0.0.1]", timeout=server.timeout_s)

    def _hold(self, sock: socket.socket) -> None:
        with self._lock:
            self._socket = sock
            if self._closed:
                sock.close()
                raise _Closed

    def _secured(self, smtp: smtplib.SMTP) -> None:
        smtp.ehlo_or_helo_if_needed()
        if self._server.port != TLS_PORT and smtp.has_extn("starttls"):
            smtp.starttls(context=_tls(self._server))
            self._hold(smtp.sock)  # type: ignore[arg-type] # there is one
            smtp.ehlo()

    def _log_in(self, smtp: smtplib.SMTP) -> None:
        server = self._server
        if not server.username:
            return
        if not isinstance(smtp.sock, ssl.SSLSocket) and not _is_here(smtp.sock):
            raise MailRefused(
                f"{server.host}:{server.port} offers no TLS, so it does not get the password", hint="try port 465"
            )
        smtp.login(server.username, server.password)


def _hand_in(smtp: smtplib.SMTP, message: EmailMessage, sender: str, recipients: list[str]) -> None:
    if refused := smtp.send_message(message, sender, recipients):
        raise smtplib.SMTPRecipientsRefused(refused)


def _tls(server: MailServer) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not server.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _is_here(sock: socket.socket | None) -> bool:
    """Whether a connection does not leave this machine."""
    return sock is not None and ipaddress.ip_address(sock.getpeername()[0].partition("%")[0]).is_loopback


def _answered(where: str, code: int, said: bytes | str) -> ProvisioningError:
    kind = MailFailed if code < 500 else MailRefused  # -1: it hung up
    return kind(f"{where} said: {code} {_words(said)}" if code > 0 else f"{where} hung up")


def _unwanted(where: str, refused: dict[str, tuple[int, bytes]]) -> ProvisioningError:
    """Return what to say of recipients that were refused. Others may have got the letter, so it is not tried again."""
    code, said = next(iter(refused.values()))
    return MailRefused(f"{where} refuses {', '.join(refused)[:_SAID_CHARS]}: {code} {_words(said)}")


def _no_tls(wrong: ssl.SSLError) -> str:
    if isinstance(wrong, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {wrong.verify_message}"
    return f"no TLS with this server: {(wrong.reason or str(wrong)).lower().replace('_', ' ')}"


def _words(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return escaped(" ".join(text.split())[:_SAID_CHARS])
