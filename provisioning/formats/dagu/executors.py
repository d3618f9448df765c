"""Steps that are no shell: http, ssh, docker, jq, mail."""

from __future__ import annotations

import re
from collections.abc import Mapping

from provisioning.core.dagu.doing import (
    Container,
    DockerDoing,
    Doing,
    HttpDoing,
    JqDoing,
    MailDoing,
    NoopDoing,
    ShellDoing,
    SshDoing,
    SshLogin,
    Text,
)
from provisioning.core.shown import quote
from provisioning.formats.dagu.env import read_env_pairs
from provisioning.formats.dagu.reading import Record, Spot
from provisioning.formats.dagu.shells import read_shell, read_shell_doing
from provisioning.formats.dagu.spelling import (
    CONTAINER,
    DOCKER,
    DOCKER_CONTAINER,
    DOCKER_HOST,
    HTTP,
    JQ,
    MAIL,
    SSH,
    Table,
)
from provisioning.formats.dagu.within import Within

_METHOD = re.compile(r"\s*([A-Za-z]+|\$\{?\w+\}?)\s+(\S.*)", re.DOTALL)
_PULL: Mapping[str, str] = {"true": "always", "false": "never", "always": "always", "never": "never", "missing": "missing"}


def _options(step: Record, options: Spot | None, table: Table) -> Record:
    return options.record(table) if options is not None else Record(step.spot, {})


def read_http(step: Record, options: Spot | None, _within: Within) -> Doing:
    """Return a request: `method` and `url`, or a command such as `GET https://example.org`."""
    record = _options(step, options, HTTP)
    method, url = record.text("method"), record.text("url")
    command = step.text("command")
    if url is not None and command is not None:
        step.spots["command"].fault("conflicting_keys", "found command and url in one step, expected one of them")
    elif url is None and command is not None:
        match = _METHOD.fullmatch(command.raw)
        method = Text(raw=match[1] if match else "GET", line=command.line, column=command.column)
        url = Text(raw=(match[2] if match else command.raw).strip(), line=command.line, column=command.column)
    if url is None:
        step.spot.fault("missing_key", "an HTTP step needs url, or a command such as GET https://example.org")
        return NoopDoing()
    record.note_ignored("debug", "the answer is in the log anyway")
    return HttpDoing(
        method=method or Text(raw="GET", line=url.line, column=url.column),
        url=url,
        headers=record.pairs("headers"),
        query=record.pairs("query"),
        body=record.text("body") or step.text("script"),
        timeout_s=record.whole("timeout_sec"),
        silent=record.flag("silent"),
        debug=record.flag("debug"),
        as_json=record.flag("json"),
        skip_tls_verify=record.flag("skip_tls_verify"),
    )


def read_login(record: Record) -> SshLogin:
    """Return how to log in to another machine."""
    return SshLogin(
        host=record.text("host"),
        user=record.text("user"),
        port=record.text("port"),
        key=record.text("key"),
        password=record.text("password"),
        known_hosts=record.text("known_host_file"),
        strict_host_key=not record.has("strict_host_key") or record.flag("strict_host_key"),
        timeout_s=record.whole("timeout_sec"),
    )


def _work(step: Record, extra: Record, within: Within) -> ShellDoing:
    """Return the commands of a step, which may stand beside its executor's options."""
    of_step = {key: spot for key, spot in step.spots.items() if key not in {"exec", "run"}}
    of_options = {key: spot for key, spot in extra.spots.items() if key in {"command", "script"}}
    doing = read_shell_doing(Record(step.spot, {**of_step, **of_options}), None, within)
    return doing if isinstance(doing, ShellDoing) else ShellDoing()


def read_ssh(step: Record, options: Spot | None, within: Within) -> Doing:
    """Return commands for another machine."""
    record = _options(step, options, SSH)
    login = read_login(record)
    if not login.strict_host_key:
        record.spot.note("host_key", "strict_host_key: false is not followed: an unknown host key is refused, always")
    work = _work(step, record, within)
    return SshDoing(
        login=login,
        commands=work.commands or ((_joined(work.argv),) if work.argv else ()),
        script=work.script,
        shell=read_shell(record) or work.shell,
    )


def _joined(argv: tuple[Text, ...]) -> Text:
    """Return a program and its arguments as one command line, as a remote shell needs it."""
    return Text(raw=" ".join(text.raw for text in argv), line=argv[0].line, column=argv[0].column)


# ---------------------------------------------------------------- containers


def read_container(spot: Spot | None) -> Container | None:
    """Return `container`: the name of a running one, or an object."""
    if spot is None:
        return None
    if spot.scalar is not None:
        return Container(exec_in=spot.text())
    record = spot.record(CONTAINER)
    if not record.has("image") and not record.has("exec"):
        spot.fault("missing_key", "a container needs image or exec")
    if record.has("image") and record.has("exec"):
        spot.fault("conflicting_keys", "found image and exec in one container, expected one of them")
    return Container(
        image=record.text("image"),
        exec_in=record.text("exec"),
        name=record.text("name"),
        pull_policy=_pull(record.at("pull_policy")),
        env=read_env_pairs(record.at("env")),
        volumes=record.texts("volumes"),
        user=record.text("user"),
        working_dir=record.text("working_dir"),
        platform=record.text("platform"),
        ports=record.texts("ports"),
        network=record.text("network"),
        keep=record.flag("keep_container"),
        shell=read_shell(record),
    )


def _pull(spot: Spot | None) -> str:
    if spot is None:
        return "missing"
    word = spot.word().lower()
    if word not in _PULL:
        spot.fault("unknown_word", f"found {quote(word)}, expected always, missing or never")
    return _PULL.get(word, "missing")


def read_docker(step: Record, options: Spot | None, within: Within) -> Doing:
    """Return commands for a container: from an image, or in the running one that is named alone."""
    record = _options(step, options, DOCKER)
    container = _docker_container(step, record)
    if not any(one.has(key) for one in (step, record) for key in ("command", "script")):
        return DockerDoing(container=container)
    work = _work(step, record, within)
    return DockerDoing(container=container, commands=work.commands, script=work.script, argv=work.argv)


def _docker_container(step: Record, record: Record) -> Container:
    if step.has("container"):
        if record.has("image") or record.has("container_name"):
            record.spot.fault("conflicting_keys", "found a container in the step and in its options, expected one of them")
        return read_container(step.at("container")) or Container()
    inner, host = (_inner(record, key, table) for key, table in (("container", DOCKER_CONTAINER), ("host", DOCKER_HOST)))
    inside = _inner(record, "exec", DOCKER_CONTAINER)
    image, name = record.text("image"), record.text("container_name")
    if image is None and name is None:
        record.spot.fault("missing_key", "a container needs image or container_name")
    return Container(
        image=image,
        exec_in=None if image is not None else name,
        name=name if image is not None else None,
        pull_policy=_pull(record.at("pull")),
        env=read_env_pairs(record.at("env") or inner.at("env") or inside.at("env")),
        volumes=record.texts("volumes") or host.texts("binds"),
        user=record.text("user") or inner.text("user") or inside.text("user"),
        working_dir=record.text("working_dir") or inner.text("working_dir") or inside.text("working_dir"),
        platform=record.text("platform"),
        ports=record.texts("ports"),
        network=record.text("network"),
        keep=record.has("auto_remove") and not record.flag("auto_remove"),
    )


def _inner(record: Record, key: str, table: Table) -> Record:
    spot = record.at(key)
    return spot.record(table) if spot is not None else Record(record.spot, {})


# ---------------------------------------------------------------- jq and mail


def read_jq(step: Record, options: Spot | None, _within: Within) -> Doing:
    """Return a filter, as `command` or `filter`, over `script` or `data`."""
    record = _options(step, options, JQ)
    query = record.text("filter") or step.text("command")
    if query is None:
        step.spot.fault("missing_key", "a jq step needs a filter")
        return NoopDoing()
    return JqDoing(filter=query, data=record.text("data") or step.text("script"), raw=record.flag("raw"))


def read_mail(step: Record, options: Spot | None, _within: Within) -> Doing:
    """Return a mail."""
    record = _options(step, options, MAIL)
    if not record.has("to"):
        step.spot.fault("missing_key", "a mail step needs to")
    return MailDoing(
        sender=record.text("from"),
        to=record.texts("to"),
        cc=record.texts("cc"),
        bcc=record.texts("bcc"),
        subject=record.text("subject"),
        message=record.text("message"),
        attachments=record.texts("attachments"),
    )


def read_ssh_defaults(spot: Spot | None) -> SshLogin | None:
    """Return the DAG's `ssh`."""
    return read_login(spot.record(SSH)) if spot is not None else None
