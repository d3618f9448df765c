"""What steps have done elsewhere: requests, mail, jq, commands on other machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from provisioning.codec import encode
from provisioning.core.dagu.declared import Mail, Smtp
from provisioning.core.dagu.doing import HttpDoing, JqDoing, MailDoing, Pair, SshDoing, SshLogin, Text
from provisioning.core.dagu.stored import from_plain
from provisioning.core.errands import Letter, Login, MailServer
from provisioning.core.model import Action
from provisioning.engine.actions.dagu.terms import Terms, joined
from provisioning.engine.actions.dagu.work import Done, Work, failed
from provisioning.errors import ProvisioningError

HTTP_S = 30
FILTER_S = 600.0
ANY_STATUS = list(range(100, 600))


# ---------------------------------------------------------------- requests


async def request(work: Work, doing: HttpDoing) -> Done:
    """Make a request; the answer's body is what the step prints, after its status and headers unless it is silent."""
    terms = work.terms
    settings = {
        "method": (await terms.text(doing.method)).upper(),
        "url": await terms.text(doing.url),
        "headers": await _fields(terms, doing.headers),
        "query": await _fields(terms, doing.query),
        **({"body": await terms.text(doing.body)} if doing.body is not None else {}),
        "timeout_s": doing.timeout_s or HTTP_S,
        "max_bytes": int(work.settings.get("max_output_bytes", 1024 * 1024)) * 16,
        "follow_redirects": True,
        "allow_private": True,
        "insecure_tls": doing.skip_tls_verify,
        "ok_codes": ANY_STATUS,
        "output": "exact",
    }
    task = replace(work.task, action=Action(type="http", settings=settings), args=None)
    result = await work.tools.http().run(task, work.attempt)
    answer = result.output
    if not isinstance(answer, Mapping):
        return failed(result.error_kind, result.error, exit_code=1, retryable=result.retryable)
    work.streams.out(_shown(answer, doing))
    status = answer.get("status")
    status = status if isinstance(status, int) else 0
    return Done() if status < 400 else failed(f"http_{status}", f"{settings['url']} answered {status}", exit_code=1)


def _shown(answer: Mapping[str, object], doing: HttpDoing) -> bytes:
    body = answer.get("body")
    if doing.as_json:
        return encode(answer) + b"\n"
    text = body if isinstance(body, str) else "" if body is None else encode(body).decode()
    if doing.silent:
        return f"{text}\n".encode("utf-8", "surrogateescape")
    headers = answer.get("headers")
    shown = [f"{name}: {value}" for name, value in headers.items()] if isinstance(headers, Mapping) else []
    return "\n".join([str(answer.get("status")), *shown, text, ""]).encode("utf-8", "surrogateescape")


async def _fields(terms: Terms, pairs: Iterable[Pair]) -> dict[str, str]:
    return {pair.name or "": await terms.text(pair.value) for pair in pairs}


# ---------------------------------------------------------------- jq


async def filter_json(work: Work, doing: JqDoing) -> Done:
    """Print what a filter makes of JSON."""
    program = work.terms.plain(doing.filter)
    data = work.terms.plain(doing.data) if doing.data is not None else "null"
    try:
        limit_s = float(work.step.timeout_s or FILTER_S)
        work.streams.out(await work.tools.filters().apply(program, data.encode(), raw=doing.raw, timeout_s=limit_s))
    except ProvisioningError as error:
        return _failed(work, error)
    return Done()


# ---------------------------------------------------------------- mail


async def send_mail(work: Work, doing: MailDoing) -> Done:
    """Send one mail over the DAG's mail server."""
    terms = work.terms
    letter = Letter(
        sender=await terms.text(doing.sender),
        to=tuple(await terms.texts(doing.to)),
        cc=tuple(await terms.texts(doing.cc)),
        bcc=tuple(await terms.texts(doing.bcc)),
        subject=await terms.text(doing.subject),
        text=await terms.text(doing.message),
        attachments=tuple(joined(terms.cwd, path) for path in await terms.texts(doing.attachments)),
    )
    return await hand_in(work, letter)


async def hand_in(work: Work, letter: Letter) -> Done:
    """Send a letter over the mail server of the DAG."""
    declared = work.settings.get("smtp")
    if declared is None:
        return failed("mail", "the DAG has no mail server", exit_code=1, retryable=False)
    smtp = from_plain(declared, Smtp)
    port = (await work.terms.text(smtp.port)).strip() or "25"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        return failed("mail", f"{port!r} is no port of a mail server", exit_code=1, retryable=False)
    server = MailServer(
        host=await work.terms.text(smtp.host),
        port=int(port),
        username=await work.terms.text(smtp.username),
        password=await work.terms.text(smtp.password),
    )
    try:
        await work.tools.mailer().send(server, letter)
    except ProvisioningError as error:
        return _failed(work, error)
    return Done()


async def tell_of_error(work: Work, done: Done) -> None:
    """Send the mail that a step's `mail_on_error` asks for. That it cannot be sent changes nothing for the step."""
    declared = work.settings.get("error_mail")
    if declared is None:
        work.attempt.note("mail_on_error: the DAG has no error_mail")
        return
    text = f"step {work.step.name} of {work.context.name} failed: {done.error}\n\nrun {work.task.run}\n"
    logs = [one for one in (work.attempt.path, work.attempt.err_path) if one]
    letter = await written(work, from_plain(declared, Mail), f"{work.context.name}: {work.step.name} failed", text, logs)
    sent = await hand_in(work, letter)
    if not sent.succeeded:
        work.attempt.note(f"mail_on_error: {sent.error}")


async def written(work: Work, mail: Mail, subject: str, text: str, logs: Iterable[str]) -> Letter:
    """Return the letter that tells of something, with logs if that is wanted."""
    prefix = f"{mail.prefix} " if mail.prefix else ""
    return Letter(
        sender=await work.terms.text(mail.sender),
        to=tuple(await work.terms.texts(mail.to)),
        subject=f"{prefix}{subject}",
        text=text,
        attachments=tuple(logs) if mail.attach_logs else (),
    )


# ---------------------------------------------------------------- other machines


async def run_elsewhere(work: Work, doing: SshDoing) -> Done:
    """Run commands or a script on another machine, with the step's own variables."""
    login = await _login(work, doing.login)
    shell = tuple(await work.terms.texts(doing.shell))
    own = {name: work.terms.ours[name] for name in (one.name for one in work.step.env) if name in work.terms.ours}
    scripts: list[str | bytes] = [work.terms.plain(text) for text in doing.commands]
    if doing.script is not None:
        scripts.append(work.terms.plain(doing.script).encode("utf-8", "surrogateescape"))
    for script in scripts:
        ended = await work.tools.remote().run(
            login,
            script,
            ears=work.streams.ears,
            shell=shell,
            env=own,
            grace_s=float(work.context.clean_up_s),
            stop_signal=work.step.signal_on_stop or "SIGTERM",
        )
        if ended.kind != "exit":
            return failed(ended.kind, ended.message, exit_code=255)
        if ended.code != 0:
            return failed("exit", f"it ended with exit code {ended.code} on {login.host}", exit_code=ended.code)
    return Done()


async def _login(work: Work, own: SshLogin) -> Login:
    """Return the login: what the step does not say, the DAG does."""
    declared = work.settings.get("ssh")
    shared = from_plain(declared, SshLogin) if declared is not None else SshLogin()

    async def text(name: str) -> str:
        value: Text | None = getattr(own, name) or getattr(shared, name)
        return await work.terms.text(value)

    port = (await text("port")).strip()
    return Login(
        host=await text("host"),
        user=await text("user"),
        port=int(port) if port.isdecimal() and len(port) < 6 else 0,
        key_path=await text("key"),
        password=await text("password"),
        known_hosts=await text("known_hosts"),
        connect_s=float(own.timeout_s or shared.timeout_s),
    )


def _failed(work: Work, error: ProvisioningError) -> Done:
    work.attempt.note(error.message)
    return failed(error.code, error.message, exit_code=1, retryable=error.retryable)
