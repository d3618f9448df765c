"""Steps of Dagu files that do something elsewhere: requests, mail, other machines, jq, containers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.daguruns import DaguRuns, stop
from support.web import serving

from provisioning.adapters.memory import Played
from provisioning.errors import Unreachable


@pytest.fixture
def dagu(tmp_path: Path) -> DaguRuns:
    return DaguRuns(tmp_path)


def echo(client: socket.socket, request: bytes) -> None:
    """Answer with what was asked; `/404` is not there."""
    head, _, body = request.decode().partition("\r\n\r\n")
    first, *headers = head.split("\r\n")
    who = next((line.partition(": ")[2] for line in headers if line.lower().startswith("x-who:")), "")
    said = f"{first.removesuffix(' HTTP/1.1')} {who} {body}"
    status = "404 Not Found" if "/404" in first else "200 OK"
    client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(said)}\r\nConnection: close\r\n\r\n{said}".encode())


@pytest.fixture
def web() -> Iterator[str]:
    with serving(echo) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    "step",
    [
        "executor: {type: http, config: {silent: true, headers: {X-Who: ann}, body: hi}}, command: POST URL/x",
        "type: http, with: {silent: true, headers: {X-Who: ann}, body: hi}, command: POST URL/x",
        "action: http.request, with: {method: POST, url: URL/x, silent: true, headers: {X-Who: ann}, body: hi}",
    ],
)
def test_a_request_in_every_dialect(dagu: DaguRuns, web: str, step: str) -> None:
    ran = dagu.run(f"steps: [{{name: a, {step.replace('URL', web)}, output: SAID}}]\n")

    assert ran.status == "succeeded", ran.error("a")
    assert ran.outputs == {"SAID": "POST /x ann hi"}


def test_an_answer_that_tells_of_an_error_fails_the_step(dagu: DaguRuns, web: str) -> None:
    ran = dagu.run(f"steps: [{{name: a, executor: http, command: 'GET {web}/404'}}]\n")

    assert ran.steps == {"a": "failed"}
    assert "404" in ran.error("a")
    assert ran.stdout("a").startswith("404")


def test_nobody_there_fails_the_step_and_it_is_tried_again(dagu: DaguRuns) -> None:
    step = "name: a, executor: http, command: 'GET http://127.0.0.1:9/x', retry_policy: {limit: 1, interval_sec: 5}"
    ran = dagu.run(f"steps: [{{{step}}}]\n")

    assert (ran.steps, ran.attempts["a"]) == ({"a": "failed"}, 2)


def test_a_letter_has_what_the_step_says(dagu: DaguRuns) -> None:
    dagu.write("report.csv", "1;2\n")
    options = "from: a@b.c, to: [x@y.z, u@v.w], subject: 'for $WHO', message: 'see below', attachments: report.csv"
    head = "env: {WHO: ann}\nsmtp: {host: mail.lan, port: 2525}\n"
    dagu.run(f"{head}steps: [{{name: a, executor: {{type: mail, config: {{{options}}}}}}}]\n")
    (letter,) = dagu.mailer.sent

    assert (letter.sender, letter.to, letter.subject, letter.text) == ("a@b.c", ("x@y.z", "u@v.w"), "for ann", "see below")
    assert [Path(path).name for path in letter.attachments] == ["report.csv"]
    assert [(server.host, server.port) for server in dagu.mailer.servers] == [("mail.lan", 2525)]


def test_a_letter_without_a_mail_server_fails_the_step(dagu: DaguRuns) -> None:
    assert dagu.run("steps: [{name: a, type: mail, with: {from: a@b.c, to: x@y.z}}]\n").steps == {"a": "failed"}


@pytest.mark.parametrize(
    "step",
    [
        "executor: {type: ssh, config: {user: op, ip: far.lan, port: 2222}}, command: uptime",
        "type: ssh, config: {user: op, host: far.lan, port: 2222}, command: uptime",
        "action: ssh.run, with: {user: op, host: far.lan, port: 2222, command: uptime}",
    ],
)
def test_a_command_on_another_machine_in_every_dialect(dagu: DaguRuns, step: str) -> None:
    dagu.remote.on("uptime", Played(stdout=b"up for ever\n"))
    ran = dagu.run(f"steps: [{{name: a, {step}, output: SAID}}]\n")
    (sent,) = dagu.remote.sent

    assert ran.outputs == {"SAID": "up for ever"}
    assert (sent.login.user, sent.login.host, sent.login.port) == ("op", "far.lan", 2222)


def test_what_fails_there_fails_here_with_its_exit_code(dagu: DaguRuns) -> None:
    dagu.remote.on("check", Played(code=17))
    step = "{name: a, type: ssh, with: {host: h}, command: check, continue_on: {exit_code: 17}}"
    ran = dagu.run(f"steps: [{step}, {{name: b, command: x=1, depends: a}}]\n")

    assert ran.steps == {"a": "failed", "b": "succeeded"}
    assert ran.record("a").exit_code == 17


def test_a_machine_that_is_not_there_is_named(dagu: DaguRuns) -> None:
    dagu.remote.refuse("down.lan", Unreachable("down.lan: connection refused"))
    ran = dagu.run("steps: [{name: a, type: ssh, with: {host: down.lan}, command: x}]\n")

    assert "down.lan" in ran.error("a")


@pytest.mark.parametrize(
    ("program", "data", "printed"),
    [(".a", '{"a": "x"}', '"x"'), (".a[]", '{"a": [1, 2]}', "1\n2"), ("length", '"äö"', "2")],
)
def test_jq_prints_what_jq_prints(dagu: DaguRuns, program: str, data: str, printed: str) -> None:
    ran = dagu.run(f"steps:\n  - name: a\n    executor: jq\n    command: {program!r}\n    script: '{data}'\n    output: O\n")

    assert ran.outputs == {"O": printed}


def test_a_program_of_jq_that_is_none_fails_the_step(dagu: DaguRuns) -> None:
    ran = dagu.run("steps: [{name: a, type: jq, with: {filter: '.a | nothing(', data: '{}'}}]\n")

    assert ran.steps == {"a": "failed"}
    assert ran.error("a")


def test_a_stop_ends_a_step_on_another_machine(dagu: DaguRuns) -> None:
    dagu.remote.on("long", Played(stdout=b"ready\n", hang=True))
    ran = dagu.run("steps: [{name: a, type: ssh, with: {host: h}, command: long}]\n", printed={"ready": stop})

    assert (ran.steps, dagu.remote.cancelled) == ({"a": "aborted"}, 1)
