"""What the action `http` asks for, and what it makes of the answers, in a web that the test writes."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from support.acting import Heard
from support.asking import SECRET, URL, answer, ask, web_of

from provisioning.core.outside import Fetched
from provisioning.core.ports import Outcome
from provisioning.engine.actions import Result
from provisioning.engine.actions.http import check_settings

# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("got", "settings", "output"),
    [
        pytest.param(answer(body=b"hello\n"), {}, "hello\n", id="text as it is"),
        pytest.param(
            answer(body=b'{"a":[1]}', Content_Type="application/json; charset=utf-8"), {}, {"a": [1]}, id="json by type"
        ),
        pytest.param(answer(body=b'{"a":1}', Content_Type="application/problem+json"), {}, {"a": 1}, id="json by suffix"),
        pytest.param(answer(body=b'{"a":1}'), {}, '{"a":1}', id="without a type json is text"),
        pytest.param(answer(body=b'{"a":1}'), {"output": "json"}, {"a": 1}, id="json when asked for"),
        pytest.param(
            answer(body=b'{"a":1}', Content_Type="application/json"), {"output": "text"}, '{"a":1}', id="text when asked"
        ),
        pytest.param(answer(status=204), {}, None, id="nothing"),
        pytest.param(answer(body=b"", Content_Type="application/json"), {}, None, id="an empty body of json"),
        pytest.param(answer(body=b"\xe4", Content_Type="text/plain; charset=ISO-8859-1"), {}, "ä", id="charset"),
        pytest.param(answer(body=b"\xe4", Content_Type="text/plain; charset=none"), {}, "\ufffd", id="unknown charset"),
        pytest.param(
            answer(body=b"\\x41", Content_Type="text/plain; charset=unicode_escape"), {}, "\\x41", id="no charset at all"
        ),
        pytest.param(answer(body=b"\xef\xbb\xbfa"), {}, "a", id="byte order mark"),
        pytest.param(
            answer(body=b"[1]", Content_Type="application/json", X_A="1"),
            {"output": "full"},
            {"status": 200, "headers": {"content-type": "application/json", "x-a": "1"}, "body": [1]},
            id="full",
        ),
        pytest.param(answer(status=404), {"ok_codes": [404]}, None, id="a code that is declared good"),
    ],
)
async def test_a_good_answer_is_the_output(got: Fetched, settings: dict[str, Any], output: object) -> None:
    assert await ask(web_of(got), **settings) == Result(outcome=Outcome.OK, exit_code=0, output=output)


@pytest.mark.parametrize(
    ("got", "settings", "kind", "error"),
    [
        pytest.param(answer(404), {}, "http_404", "GET https://a.example/x answered 404 Not Found", id="A42 not found"),
        pytest.param(answer(302, Location="/y"), {}, "http_302", "GET https://a.example/x answered 302", id="A42 not followed"),
        pytest.param(
            answer(200), {"ok_codes": [201]}, "http_200", "GET https://a.example/x answered 200 OK", id="not declared good"
        ),
        pytest.param(
            Fetched(kind="too_large", status=200, message="the body is larger than 9 bytes", body=b"123456789"),
            {},
            "too_large",
            "GET https://a.example/x: the body is larger than 9 bytes",
            id="A42 too large",
        ),
        pytest.param(
            answer(404, kind="too_large"), {}, "http_404", "GET https://a.example/x answered 404 Not Found", id="404, large"
        ),
        pytest.param(
            Fetched(kind="connect", message="the connection failed: connection refused"),
            {},
            "connect",
            "GET https://a.example/x: the connection failed: connection refused",
            id="nobody there",
        ),
    ],
)
async def test_a_bad_answer_fails_the_step(got: Fetched, settings: dict[str, Any], kind: str, error: str) -> None:
    assert await ask(web_of(got), **settings) == Result(outcome=Outcome.FAILED, error_kind=kind, error=error)


async def test_an_answer_that_comes_too_late_times_the_step_out() -> None:
    result = await ask(web_of(Fetched(kind="timeout", message="no complete answer within 30 s")))

    assert (result.outcome, result.error_kind) == (Outcome.TIMED_OUT, "timeout")


@pytest.mark.parametrize("body", [b"<html>", b'"\\ud800"', b"[" * 100_000, b"NaN"])
async def test_json_that_is_none_fails_the_step(body: bytes) -> None:
    result = await ask(web_of(answer(body=body, Content_Type="application/json")))

    assert (result.error_kind, result.error[:45]) == (
        "output",
        "GET https://a.example/x answered no JSON: " + result.error[42:45],
    )


async def test_the_beginning_of_a_refusal_is_in_the_log() -> None:
    context = Heard()
    await ask(web_of(answer(404, body=b"x" * 5000)), context)

    assert context.data == b"x" * 2048 + b"\n"
    assert context.notes == ["GET https://a.example/x: 404 Not Found, 5,000 bytes"]


async def test_a_name_without_an_address_fails_the_step() -> None:
    result = await ask(web_of(), url="http://none.example")

    assert (result.error_kind, result.error) == ("dns", "none.example cannot be looked up: name or service not known")


# ---------------------------------------------------------------- requests


async def test_a_request_is_what_the_settings_say() -> None:
    web = web_of(answer(), method="PUT", url="https://a.example:444/x?a=1&b=2&b=3")
    await ask(
        web,
        url="https://a.example:444/x?a=1",
        method="put",
        query={"b": [2, 3]},
        headers={"X-N": 5, "User-Agent": "me"},
        body={"k": [None, True]},
        timeout_s=7,
        max_bytes=99,
        insecure_tls=True,
    )
    sent = web.asked[0]

    assert (sent.method, sent.scheme, sent.host, sent.port, sent.target) == ("PUT", "https", "a.example", 444, "/x?a=1&b=2&b=3")
    assert (sent.body, sent.timeout_s, sent.max_bytes, sent.verify) == (b'{"k":[null,true]}', 7, 99, False)
    assert sent.headers == (
        ("X-N", "5"),
        ("User-Agent", "me"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip, deflate"),
        ("Content-Type", "application/json"),
    )


@pytest.mark.parametrize(
    ("settings", "body", "kind"),
    [
        pytest.param({"body": "ä"}, "ä".encode(), "text/plain; charset=utf-8", id="text"),
        pytest.param({"body": [1]}, b"[1]", "application/json", id="json"),
        pytest.param({"body": False}, b"false", "application/json", id="false is a value"),
        pytest.param({"form": {"a": "b c", "d": [1, 2]}}, b"a=b+c&d=1&d=2", "application/x-www-form-urlencoded", id="form"),
        pytest.param({}, b"", None, id="none"),
    ],
)
async def test_a_body_says_what_it_is(settings: dict[str, Any], body: bytes, kind: str | None) -> None:
    web = web_of(answer(), method="POST")
    await ask(web, method="POST", **settings)

    assert (web.asked[0].body, dict(web.asked[0].headers).get("Content-Type")) == (body, kind)


async def test_arguments_fill_the_request_and_never_the_rules() -> None:
    web = web_of(answer(), url="https://a.example/x?a=1&b=2", method="POST")
    await ask(web, args={"query": {"b": 2}, "body": {"n": 1}}, method="POST", query={"a": 1}, body="old")

    assert web.asked[0].body == b'{"n":1}'
    refused = await ask(web, args={"allow_private": True})
    assert (refused.error_kind, refused.error) == (
        "settings",
        "the argument allow_private is none of url, query, headers, form, body",
    )


async def test_cancelling_a_step_cancels_its_request() -> None:
    web = web_of(None)
    job = asyncio.create_task(ask(web))
    for _ in range(5):
        await asyncio.sleep(0)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert web.cancelled == 1


# ---------------------------------------------------------------- addresses


async def test_what_was_judged_is_what_is_connected_to_and_it_was_looked_up_once() -> None:
    web = web_of(answer())
    await ask(web)

    assert web.asked[0].addresses == ("8.8.8.8", "2606:4700::1")
    assert web.looked_up == ["a.example"]


async def test_one_private_address_among_others_is_enough_to_refuse_the_host() -> None:
    web = web_of()
    result = await ask(web, url="http://inner.example/")

    assert (result.error_kind, web.asked) == ("refused", [])
    assert result.error == (
        "inner.example is 10.0.0.5, a private address; "
        'allow it with allow_hosts: ["inner.example"], or all such addresses with allow_private: true'
    )


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ({"allow_private": True}, True),
        ({"allow_hosts": ["INNER.example."]}, True),
        ({"allow_hosts": ["example", "xinner.example"]}, False),
    ],
)
async def test_private_addresses_may_be_allowed_by_name_or_at_all(settings: dict[str, Any], *, allowed: bool) -> None:
    web = web_of(answer(), url="http://inner.example/")
    result = await ask(web, url="http://inner.example/", **settings)

    assert (result.outcome is Outcome.OK) is allowed


@pytest.mark.parametrize("url", ["ftp://a.example/", "file:///etc/passwd", "//a.example", "http://a.example\\@b.example/"])
async def test_what_is_not_the_web_is_refused(url: str) -> None:
    web = web_of()

    assert (await ask(web, url=url)).error_kind == "refused"
    assert (web.asked, web.looked_up) == ([], [])


# ---------------------------------------------------------------- secrets


async def test_what_stands_before_the_at_becomes_a_header_and_is_hidden() -> None:
    web, context = web_of(answer(404)), Heard()
    result = await ask(web, context, url=f"https://me:{SECRET}@a.example/x")
    token = base64.b64encode(f"me:{SECRET}".encode()).decode()

    assert dict(web.asked[0].headers)["Authorization"] == f"Basic {token}"
    assert {SECRET, token} <= set(context.secrets.values())
    assert SECRET not in f"{result} {context.said} {web.asked[0]!r}"


@pytest.mark.parametrize(
    "header", [f"Bearer {SECRET}", "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode(), SECRET, f"Basic {SECRET}"]
)
async def test_credentials_in_headers_are_hidden_before_anything_is_said(header: str) -> None:
    context = Heard()
    await ask(web_of(answer(404)), context, headers={"Authorization": header})

    assert header in context.secrets.values()
    assert SECRET in context.secrets.values()


async def test_a_query_is_in_no_message() -> None:
    context = Heard()
    result = await ask(web_of(answer(404), url=f"{URL}?token={SECRET}"), context, url=f"{URL}?token={SECRET}")

    assert SECRET not in f"{result} {context.said}"


# ---------------------------------------------------------------- proxies


async def test_the_environment_s_proxy_is_used_only_when_wanted() -> None:
    without, through = (web_of(answer(), proxy=f"http://me:{SECRET}@proxy.example:3128") for _ in range(2))
    context = Heard()
    await ask(without)
    await ask(through, context, proxy=True)

    assert [web.asked[0].proxy for web in (without, through)] == ["", f"http://me:{SECRET}@proxy.example:3128"]
    assert (through.asked[0].addresses, through.looked_up) == ((), [])
    assert SECRET in context.secrets.values()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "2130706433", "169.254.169.254"])
async def test_a_proxy_is_not_asked_for_private_addresses(host: str) -> None:
    web = web_of(proxy="http://proxy.example:3128")

    assert (await ask(web, url=f"http://{host}/", proxy=True)).error_kind == "refused"
    assert web.asked == []


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        pytest.param({"url": None}, "url has to be there", id="no url"),
        pytest.param(
            {"folow_redirects": True}, 'unknown setting "folow_redirects", did you mean "follow_redirects"?', id="unknown"
        ),
        pytest.param(
            {"method": "CONNECT"}, "method has to be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", id="method"
        ),
        pytest.param(
            {"method": "GET\r\nX: y"}, "method has to be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", id="inject"
        ),
        pytest.param(
            {"headers": {"A": "b\r\nC: d"}}, "headers has to be without line ends in A", id="a header within a header"
        ),
        pytest.param(
            {"headers": {"A: b": "c"}}, "headers has to be without 'A: b', which is no name of a header", id="header's name"
        ),
        pytest.param({"headers": {"host": "b"}}, "headers has to be without host, which is ours to set", id="host"),
        pytest.param({"headers": {"A": ["b"]}}, "headers has to be an object whose values are texts", id="list of headers"),
        pytest.param({"body": "a", "form": {"b": "c"}}, "body and form cannot both be there", id="body and form"),
        pytest.param({"timeout_s": 0}, "timeout_s has to be a number of seconds above 0", id="no time"),
        pytest.param({"ok_codes": [99]}, "ok_codes has to be a list of status codes", id="no status code"),
        pytest.param(
            {"query": {"a": {}}}, "query has to be an object whose values are texts, numbers, or lists of them", id="query"
        ),
        pytest.param({"output": "xml"}, "output has to be json or text or full or exact", id="output"),
        pytest.param({"allow_hosts": "a"}, "allow_hosts has to be a list of texts", id="one host"),
    ],
)
async def test_wrong_settings_are_refused_and_nothing_is_asked(settings: dict[str, Any], found: str) -> None:
    web = web_of(answer())
    result = await ask(web, **settings)

    assert check_settings({"url": URL, **settings}) == [found]
    assert (result.error_kind, result.error, web.asked) == ("settings", found, [])


async def test_a_body_that_no_json_can_hold_is_refused() -> None:
    assert (await ask(web_of(answer()), method="POST", body={"a": "\ud800"})).error_kind == "settings"


async def test_a_url_may_come_with_the_arguments() -> None:
    assert check_settings({}, {"url": URL}) == []
    assert (await ask(web_of(answer(body=b"x")), url=None, args={"url": URL})).output == "x"
