"""Letters as they travel: addresses that are addresses, headers that are one line each, files that are not too large."""

from __future__ import annotations

import mimetypes
import os
import stat
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses, make_msgid
from pathlib import Path

from provisioning.core.errands import Letter
from provisioning.core.shown import quote
from provisioning.errors import MailRefused

ATTACHED_BYTES = 20 * 1024 * 1024  # of all files of a letter
TEXT_BYTES = 10 * 1024 * 1024
_ADDRESS_CHARS = 320  # of one address, as the mail standards have it


def message_of(letter: Letter) -> EmailMessage:
    """Return a letter as it is sent. Reads its files. Raises MailRefused."""
    sender = sender_of(letter)
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    for header, given in (("To", letter.to), ("Cc", letter.cc)):
        if addresses := _addresses(header.lower(), given):
            message[header] = addresses
    message["Subject"] = _one_line("subject", letter.subject)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=sender.domain.encode("idna").decode("ascii"))
    if len(letter.text) > TEXT_BYTES:
        raise MailRefused(f"the text has more than {TEXT_BYTES:,} characters")
    message.set_content(letter.text.encode("utf-8", "replace").decode("utf-8"), subtype="html" if letter.html else "plain")
    left = ATTACHED_BYTES
    for path in map(Path, letter.attachments):
        data = _content(path, left)
        left -= len(data)
        kind = mimetypes.guess_type(path.name, strict=True)[0] or "application/octet-stream"
        maintype, _, subtype = kind.partition("/")
        message.add_attachment(data, maintype=maintype, subtype=subtype, filename=_shown_name(path))
    return message


def sender_of(letter: Letter) -> Address:
    """Return who a letter is from. Raises MailRefused."""
    senders = _addresses("from", (letter.sender,))
    if len(senders) != 1:
        raise MailRefused(f"a letter needs one sender, found {quote(letter.sender)}")
    return senders[0]


def recipients_of(letter: Letter) -> list[str]:
    """Return everyone whom a letter is for, each once. Raises MailRefused."""
    given = (("to", letter.to), ("cc", letter.cc), ("bcc", letter.bcc))
    found = [address.addr_spec for name, texts in given for address in _addresses(name, texts)]
    if not found:
        raise MailRefused("a letter needs someone whom it is for: to, cc or bcc")
    return list(dict.fromkeys(found))


def _addresses(name: str, texts: Iterable[str]) -> list[Address]:
    texts = [text for text in (_one_line(name, text).strip() for text in texts) if text]
    return [_address(name, shown, spec) for text in texts for shown, spec in _split(name, text)]


def _split(name: str, text: str) -> Sequence[tuple[str, str]]:
    """Return (name, address) of each address in a text."""
    found = getaddresses([text])
    if not all(spec and spec in text for _, spec in found) or len(found) > 1 + text.count(","):
        raise MailRefused(f"{quote(text)} in {name} is no address")
    return found


def _address(name: str, shown: str, spec: str) -> Address:
    """Return an address that mail servers will read as it is meant."""
    user, at, domain = spec.rpartition("@")
    plain = user and at and domain and len(spec) <= _ADDRESS_CHARS and not any(char in ' <>(),;:"\\' for char in spec)
    if not plain or not spec.isprintable():
        raise MailRefused(f"{quote(spec)} in {name} is no address")
    try:
        domain.encode("idna")
        user.encode("utf-8")
        return Address(display_name=shown, username=user, domain=domain)
    except (ValueError, IndexError) as wrong:
        raise MailRefused(f"{quote(spec)} in {name} is no address") from wrong


def _one_line(name: str, text: str) -> str:
    """Return a header's text. More than one line of it would be more than one header."""
    text = text.strip("\r\n").encode("utf-8", "replace").decode("utf-8")
    if len(text.splitlines()) > 1 or "\0" in text or "\r" in text:
        raise MailRefused(f"{name} has more than one line", hint="what an expanded reference printed may have several")
    return text


def _content(path: Path, most: int) -> bytes:
    """Return a file's content. What is no plain file might never end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise MailRefused(f"the attachment {quote(str(path))} is no file")
            data = file.read(most + 1)
    except (OSError, ValueError) as wrong:
        why = (wrong.strerror if isinstance(wrong, OSError) else None) or "no system takes its name"
        raise MailRefused(f"the attachment {quote(str(path))} cannot be read: {why.lower()}") from wrong
    if len(data) > most:
        raise MailRefused(f"the attachments have more than {ATTACHED_BYTES:,} bytes; the first too many: {quote(path.name)}")
    return data


def _shown_name(path: Path) -> str:
    return "".join(char if char.isprintable() and char not in '"\\' else "_" for char in path.name)
