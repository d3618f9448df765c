"""What everything that sends mail promises: the real one, and the fake that other tests use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.post import Post

from provisioning.adapters.mail import SmtpMailer
from provisioning.adapters.memory.mail import FakeMailer
from provisioning.core.errands import Letter, Mailer, MailServer
from provisioning.errors import MailFailed, MailRefused

LETTER = Letter(sender="Dag <dag@a.example>", to=("ops@b.example",), subject="done", text="all is well\n")


@dataclass
class Sending:
    """Something that sends, where to, and how many letters have arrived."""

    mailer: Mailer
    server: MailServer
    arrived: Callable[[], int]


@pytest.fixture(params=["fake", "smtp"])
def sending(request: pytest.FixtureRequest) -> Iterator[Sending]:
    if request.param == "fake":
        fake = FakeMailer()
        yield Sending(fake, MailServer(host="post.example"), lambda: len(fake.sent))
        return
    post = Post()
    yield Sending(SmtpMailer(), MailServer(host="127.0.0.1", port=post.port), lambda: len(post.taken))
    post.close()


@pytest.fixture(params=["fake", "smtp"])
def stuck(request: pytest.FixtureRequest) -> Iterator[Sending]:
    """A server that never answers."""
    if request.param == "fake":
        yield Sending(FakeMailer(hang=True), MailServer(host="post.example"), lambda: 0)
        return
    post = Post(replies={"": None})
    yield Sending(SmtpMailer(), MailServer(host="127.0.0.1", port=post.port), lambda: len(post.taken))
    post.close()


async def test_a_letter_arrives_once(sending: Sending) -> None:
    await sending.mailer.send(sending.server, LETTER)

    assert sending.arrived() == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"to": ()}, "a letter needs someone whom it is for: to, cc or bcc", id="nobody"),
        pytest.param({"to": ("ops",)}, '"ops" in to is no address', id="no domain"),
        pytest.param({"to": ("a@b c.example",)}, '"a@b c.example" in to is no address', id="blank"),
        pytest.param({"sender": ""}, 'a letter needs one sender, found ""', id="no sender"),
        pytest.param({"sender": "a@b.c, d@e.f"}, 'a letter needs one sender, found "a@b.c, d@e.f"', id="two senders"),
        pytest.param({"to": ("a@b.c\r\nBcc: x@y.z",)}, "to has more than one line", id="header in an address"),
        pytest.param({"subject": "a\nBcc: x@y.z"}, "subject has more than one line", id="header in the subject"),
        pytest.param({"subject": "a\rb"}, "subject has more than one line", id="half a line break"),
        pytest.param({"to": ("<a@b.c> RCPT TO:<x@y.z>",)}, None, id="command in an address"),
        pytest.param(
            {"attachments": (Path("/no/such"),)},
            'the attachment "/no/such" cannot be read: no such file or directory',
            id="no file",
        ),
        pytest.param({"attachments": (Path("/dev/zero"),)}, 'the attachment "/dev/zero" is no file', id="no plain file"),
    ],
)
async def test_what_is_no_letter_is_refused_and_never_sent(
    sending: Sending, changes: dict[str, object], message: str | None
) -> None:
    with pytest.raises(MailRefused) as refused:
        await sending.mailer.send(sending.server, replace(LETTER, **changes))  # type: ignore[arg-type]

    assert message is None or refused.value.message == message
    assert not refused.value.retryable
    assert sending.arrived() == 0


async def test_attachments_have_a_limit(sending: Sending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provisioning.adapters.letters.ATTACHED_BYTES", 100)
    files = [tmp_path / name for name in ("a.txt", "b.txt")]
    for file in files:
        file.write_bytes(b"x" * 60)
    await sending.mailer.send(sending.server, replace(LETTER, attachments=(str(files[0]),)))
    with pytest.raises(MailRefused, match=r'the attachments have more than 100 bytes; the first too many: "b\.txt"'):
        await sending.mailer.send(sending.server, replace(LETTER, attachments=tuple(map(str, files))))

    assert sending.arrived() == 1


async def test_cancelling_ends_it(stuck: Sending) -> None:
    job = asyncio.create_task(stuck.mailer.send(stuck.server, LETTER))
    await asyncio.wait([job], timeout=0.05)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert stuck.arrived() == 0


async def test_a_failure_that_may_pass_is_told_from_one_that_stays() -> None:
    assert MailFailed("x").retryable
    fake = FakeMailer()
    fake.fail(MailFailed("later"), None)
    with pytest.raises(MailFailed):
        await fake.send(MailServer(host="a"), LETTER)
    await fake.send(MailServer(host="a"), LETTER)

    assert [letter.subject for letter in fake.sent] == ["done"]
