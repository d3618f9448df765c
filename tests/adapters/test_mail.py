"""How letters go over the wire."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.post import Post
from support.web import self_signed

from provisioning.adapters.mail import SmtpMailer
from provisioning.core.errands import Letter, MailServer
from provisioning.errors import MailFailed, MailRefused, ProvisioningError

LETTER = Letter(sender="dag@a.example", to=("ops@b.example",), subject="done", text="all is well\n")
PASSWORD = "hunter2-hunter2"


@pytest.fixture
def posts() -> Iterator[Callable[..., Post]]:
    """Return a maker of mail servers."""
    made: list[Post] = []

    def make(**options: object) -> Post:
        made.append(Post(**options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for post in made:
        post.close()


async def send(post: Post, letter: Letter = LETTER, **server: object) -> None:
    await SmtpMailer().send(MailServer(host="127.0.0.1", port=post.port, **server), letter)  # type: ignore[arg-type]


async def test_everyone_gets_it_and_bcc_stands_nowhere(posts: Callable[..., Post]) -> None:
    post = posts()
    letter = replace(LETTER, to=("Ann <a@x.example>, b@x.example",), cc=("c@x.example",), bcc=("d@x.example", "a@x.example"))
    await send(post, letter)
    [taken] = post.taken

    assert taken.recipients == ["a@x.example", "b@x.example", "c@x.example", "d@x.example"]
    assert (taken.message["To"], taken.message["Cc"], taken.message["Bcc"]) == (
        "Ann <a@x.example>, b@x.example",
        "c@x.example",
        None,
    )
    assert b"d@x.example" not in taken.data
    assert taken.message["Date"]
    assert str(taken.message["Message-ID"]).endswith("@a.example>")


async def test_text_arrives_as_it_was_in_any_script(posts: Callable[..., Post], tmp_path: Path) -> None:
    post = posts()
    file = tmp_path / "fünf.json"
    file.write_bytes(b'{"a": 5}\n\xff')
    letter = replace(LETTER, subject="fünf → 五", text=".\nFünf\n..\n", attachments=(str(file),))
    await send(post, letter)
    message = post.taken[0].message
    body, attached = message.get_body(), [*message.iter_attachments()]

    assert message["Subject"] == "fünf → 五"
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == ".\nFünf\n..\n"
    assert [(one.get_filename(), one.get_content()) for one in attached] == [("fünf.json", b'{"a": 5}\n\xff')]


async def test_html_is_told_apart(posts: Callable[..., Post]) -> None:
    post = posts()
    await send(post, replace(LETTER, text="<p>ok</p>", html=True))

    assert post.taken[0].message.get_content_type() == "text/html"


async def test_a_display_name_cannot_bring_another_address(posts: Callable[..., Post]) -> None:
    post = posts()
    await send(post, replace(LETTER, sender='"a@evil.example>, <b" <dag@a.example>'))

    assert post.taken[0].sender == "dag@a.example"


# ---------------------------------------------------------------- TLS and login


async def test_tls_is_used_where_it_is_offered_before_the_password_is_sent(posts: Callable[..., Post], tmp_path: Path) -> None:
    post = posts(tls=self_signed(tmp_path), users={"dag": PASSWORD})
    await send(post, verify=False, username="dag", password=PASSWORD)
    [taken] = post.taken

    assert (taken.secured, taken.login) == (True, "dag")
    assert [command.split()[0] for command in post.commands[:4]] == ["ehlo", "STARTTLS", "ehlo", "AUTH"]


async def test_one_port_speaks_tls_from_the_first_byte(
    posts: Callable[..., Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = posts(tls=self_signed(tmp_path), secure_at_once=True)
    monkeypatch.setattr("provisioning.adapters.mail.TLS_PORT", post.port)
    await send(post, verify=False)

    assert post.taken[0].secured
    assert "STARTTLS" not in post.commands


async def test_a_certificate_that_nobody_vouches_for_is_refused(posts: Callable[..., Post], tmp_path: Path) -> None:
    post = posts(tls=self_signed(tmp_path), users={"dag": PASSWORD})
    with pytest.raises(MailRefused, match="its certificate is not trusted: "):
        await send(post, username="dag", password=PASSWORD)

    assert not any(command.startswith("AUTH") for command in post.commands)


async def test_a_password_is_not_sent_in_the_clear_to_another_machine(
    posts: Callable[..., Post], monkeypatch: pytest.MonkeyPatch
) -> None:
    post = posts(users={"dag": PASSWORD})
    await send(post, username="dag", password=PASSWORD)
    monkeypatch.setattr("provisioning.adapters.mail._is_here", lambda _sock: False)
    with pytest.raises(MailRefused, match="offers no TLS, so it does not get the password"):
        await send(post, username="dag", password=PASSWORD)

    assert len(post.taken) == 1
    assert sum(command.startswith("AUTH") for command in post.commands) == 1


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("replies", "kind", "message"),
    [
        pytest.param({"": b"554 go away"}, MailRefused, "said: 554 go away", id="greeting"),
        pytest.param({"": b"421 busy"}, MailFailed, "said: 421 busy", id="busy greeting"),
        pytest.param({"mail": b"451 later"}, MailFailed, "said: 451 later", id="later"),
        pytest.param({"mail": b"550 not you"}, MailRefused, "said: 550 not you", id="sender"),
        pytest.param({"rcpt": b"550 who?"}, MailRefused, "refuses ops@b.example: 550 who?", id="recipient"),
        pytest.param({"\n.": b"552 too \x1b[31m big"}, MailRefused, "said: 552 too \\x1b[31m big", id="letter"),
        pytest.param({"data": b"nonsense"}, MailFailed, "hung up", id="nonsense"),
    ],
)
async def test_what_the_server_says_decides_whether_another_try_may_help(
    posts: Callable[..., Post], replies: dict[str, bytes], kind: type[ProvisioningError], message: str
) -> None:
    post = posts(replies=replies)
    with pytest.raises(ProvisioningError) as refused:
        await send(post)

    assert type(refused.value) is kind
    assert refused.value.message == f"127.0.0.1:{post.port} {message}"
    assert post.taken == []


async def test_a_wrong_password_is_final_and_not_repeated(posts: Callable[..., Post]) -> None:
    post = posts(users={"dag": "other"})
    with pytest.raises(MailRefused, match=r"535 5\.7\.8 wrong password") as refused:
        await send(post, username="dag", password=PASSWORD)

    assert PASSWORD not in refused.value.message


async def test_one_recipient_that_is_refused_is_named_though_others_got_it(posts: Callable[..., Post]) -> None:
    post = posts(replies={"rcpt TO:<b@x.example>": b"550 who?"})
    with pytest.raises(MailRefused, match=r"refuses b@x\.example: 550 who\?"):
        await send(post, replace(LETTER, to=("a@x.example", "b@x.example")))

    assert [taken.recipients for taken in post.taken] == [["a@x.example"]]


async def test_nobody_there_may_be_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(MailFailed, match=f"127.0.0.1:{port}: connection refused"):
        await SmtpMailer().send(MailServer(host="127.0.0.1", port=port), LETTER)


async def test_silence_ends_after_its_time(posts: Callable[..., Post]) -> None:
    post = posts(replies={"mail": None})
    with pytest.raises(MailFailed, match="timed out"):
        await send(post, timeout_s=0.2)


@pytest.mark.parametrize("where", ["", "ehlo", "mail", "\n."])
async def test_cancelling_hangs_up_wherever_it_is(posts: Callable[..., Post], where: str) -> None:
    post = posts(replies={where: None})
    job = asyncio.create_task(send(post))
    await asyncio.to_thread(post.waiting.wait, 30)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert await asyncio.to_thread(post.left.wait, 30)
    assert post.taken == []
