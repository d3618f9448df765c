"""Getting in: the first user, log in, cookies, other sites, too many tries; and what is written down of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest
from support.served import BASE, PASSWORD, Served, served

from provisioning.api.gate import BODY_BYTES
from provisioning.api.limits import FREE, LONGEST_WAIT_S, TooMany, Tries
from provisioning.api.serve import Listen
from provisioning.api.sites import Sites
from provisioning.core.access import Role
from provisioning.errors import UsageError

ORIGIN = {"origin": BASE}


async def log_in(here: Served, name: str = "admin", password: str = PASSWORD, **headers: str) -> httpx.Response:
    here.token(Role.ADMIN)
    return await here.client.post("/api/v1/login", json={"name": name, "password": password}, headers={**ORIGIN, **headers})


def test_the_first_user_needs_the_token_that_the_server_printed_and_there_is_one_first_user(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            token = here.people.setup_token()
            assert (await here.client.get("/api/v1/setup")).json() == {"needed": True}
            first = {"token": token, "name": "ann", "password": "0123456789"}
            for wrong, status in (({"token": "x"}, 401), ({"password": "short"}, 422), ({"name": "../x"}, 422)):
                assert (await here.client.post("/api/v1/setup", json=first | wrong)).status_code == status
            made = await here.client.post("/api/v1/setup", json=first)
            assert (made.status_code, made.json()) == (201, {"name": "ann", "role": "admin", "by": "session"})
            assert (await here.client.get("/api/v1/setup")).json() == {"needed": False}
            assert (await here.client.post("/api/v1/setup", json=first | {"name": "eve"})).status_code == 409
            assert (await here.client.get("/api/v1/me")).json()["name"] == "ann", "the answer had set the cookie"

    asyncio.run(story())


def test_a_session_is_a_cookie_that_no_script_and_no_other_site_gets_and_it_ends(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            answer = await log_in(here)
            cookie = SimpleCookie(answer.headers["set-cookie"])["provisioning_session"]
            assert cookie["httponly"]
            assert (cookie["samesite"].lower(), cookie["path"]) == ("strict", "/")
            assert cookie.value not in answer.text
            assert (await here.client.get("/api/v1/me")).json()["by"] == "session"
            assert (await here.client.post("/api/v1/logout", headers=ORIGIN)).status_code == 200
            here.client.cookies.set("provisioning_session", cookie.value)
            assert (await here.client.get("/api/v1/me")).status_code == 401, "an old cookie is worthless"

    asyncio.run(story())


OTHERS = [
    {"origin": "http://evil.test"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:8091"},
    {"origin": "http://127.0.0.1:8090.evil.test"},
    {"origin": "file://"},
    {"origin": "http://[::1"},
    {"sec-fetch-site": "cross-site", "origin": BASE},
    {"sec-fetch-site": "same-site", "origin": BASE},
    {},
]


def test_a_call_from_another_site_changes_nothing_although_the_browser_sends_the_cookie(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            await log_in(here)
            new = {"name": "eve", "password": "0123456789", "role": "admin"}
            for headers in OTHERS:
                answer = await here.client.post("/api/v1/users", json=new, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (403, "origin"), headers
            assert "eve" not in [one.name for one in here.people.users()]
            assert (await here.client.post("/api/v1/users", json=new, headers=ORIGIN)).status_code == 201

    asyncio.run(story())


def test_with_authentication_off_other_sites_get_nothing_either(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"a": "steps: [{command: 'true'}]"}, authentication=False) as here:
            for headers in OTHERS[:-1]:
                assert (await here.client.post("/api/v1/dags/a/start", headers=headers)).status_code == 403
            assert (await here.client.post("/api/v1/dags/a/start")).status_code == 202, "a program of this machine"

    asyncio.run(story())


def test_a_form_of_another_site_is_no_call(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, authentication=False) as here:
            for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
                answer = await here.client.post("/api/v1/login", content=b'{"name":"a"}', headers={"content-type": kind})
                assert answer.status_code == 415, kind

    asyncio.run(story())


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test", "", "localhost.evil.test:8090", "[::1", "a@127.0.0.1:x"])
def test_a_name_that_only_points_to_this_machine_is_refused(tmp_path: Path, host: str) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            for path in ("/api/v1/me", "/", "/health", "/api/v1/events/stream?topics=runs"):
                answer = await here.client.get(path, headers={"host": host})
                assert answer.status_code == 421, path

    asyncio.run(story())


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8090", "localhost", "LOCALHOST:80", "[::1]:8090", "192.0.2.7", "ours.example", "localhost."]
)
def test_addresses_and_names_that_were_allowed_are_ours(host: str) -> None:
    assert Sites(["ours.example"]).knows(host)


def test_after_ten_wrong_passwords_each_try_waits_twice_as_long_and_a_right_one_ends_that() -> None:
    tries, now_s = Tries(), 0.0
    for _ in range(FREE):
        tries.may_try("a", now_s)
    waits = []
    for _ in range(12):
        with pytest.raises(TooMany) as refused:
            tries.may_try("a", now_s)
        waits.append(refused.value.wait_s)
        tries.may_try("b" if len(waits) == 1 else f"other {len(waits)}", now_s)
        now_s += refused.value.wait_s
        tries.may_try("a", now_s)
    assert waits == [min(2.0**n, LONGEST_WAIT_S) for n in range(12)]
    tries.passed("a")
    tries.may_try("a", now_s)


def test_wrong_passwords_are_refused_alike_counted_and_written_down(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            answers = [await log_in(here, name=name, password="wrong") for name in ("admin", "nobody", "..", "a'--")]
            assert {answer.status_code for answer in answers} == {401}
            assert len({answer.text for answer in answers}) == 1, "whether there is such a user is not said"
            for _ in range(FREE - len(answers)):
                await log_in(here, password="wrong")
            late = await log_in(here)
            assert (late.status_code, late.json()["code"]) == (429, "too_many")
            assert int(late.headers["retry-after"]) >= 1
            audit = await here.get("/audit?action=session.refuse")
            assert len(audit["records"]) == FREE
            assert audit["records"][0]["address"] == "127.0.0.1"

    asyncio.run(story())


def test_a_new_password_or_role_ends_the_sessions_of_that_user(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            here.token(Role.VIEWER)
            mine, other = here.people.open_session("viewer"), here.people.open_session("viewer")

            async def counts(secret: str) -> bool:
                here.client.cookies.set("provisioning_session", secret)
                return (await here.client.get("/api/v1/me")).status_code == 200

            assert await counts(mine)
            change = {"old": PASSWORD, "new": "another long one"}
            answer = await here.client.post("/api/v1/me/password", json=change, headers=ORIGIN)
            assert answer.status_code == 200
            assert await counts(mine), "the one that changed it stays"
            assert not await counts(other)
            assert (await here.call("PATCH", "/api/v1/users/viewer", body={"role": "operator"})).status_code == 200
            assert not await counts(mine)

    asyncio.run(story())


def test_the_last_admin_stays(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            assert (await here.call("DELETE", "/api/v1/users/admin")).status_code == 400
            assert (await here.call("PATCH", "/api/v1/users/admin", body={"role": "viewer"})).status_code == 400
            assert (await here.get("/me"))["role"] == "admin"

    asyncio.run(story())


def test_a_token_is_never_more_than_who_makes_it_and_others_tokens_are_not_seen(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            here.token(Role.ADMIN)
            assert (await here.post("/tokens", {"role": "admin"}, Role.OPERATOR)).status_code == 400
            made = (await here.post("/tokens", {"role": "viewer", "purpose": "graphs"}, Role.OPERATOR)).json()
            seen = [one["created_by"] for one in (await here.get("/tokens", Role.OPERATOR))["tokens"]]
            assert set(seen) == {"operator"}
            admins = next(one.id for one in here.people.tokens("admin"))
            assert (await here.call("DELETE", f"/api/v1/tokens/{admins}", Role.OPERATOR)).status_code == 404
            assert (await here.call("DELETE", f"/api/v1/tokens/{made['id']}", Role.OPERATOR)).status_code == 200
            assert made["token"] not in str(await here.get("/tokens"))

    asyncio.run(story())


def test_what_changes_something_is_in_the_audit_log_with_who_and_how_it_went(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"a": "steps: [{command: 'true'}]"}) as here:
            await here.until(await here.started("a"))
            await here.post("/dags/a/suspend", role=Role.OPERATOR)
            await here.post("/dags/nosuch/suspend", role=Role.OPERATOR)
            records = (await here.get("/audit"))["records"]
            told = [(one["actor"], one["action"], one["target"], one["status"]) for one in records]
            assert told == [
                ("operator", "schedule.suspend", "/dags/nosuch/suspend", 404),
                ("operator", "schedule.suspend", "/dags/a/suspend", 200),
                ("admin", "run.start", "/dags/a/runs", 202),
            ]
            assert (await here.get("/audit?actor=admin&limit=1"))["records"][0]["action"] == "run.start"

    asyncio.run(story())


def test_bodies_that_are_too_large_are_refused_whatever_their_headers_say(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:

            async def parts() -> object:
                for _ in range(40):
                    yield b" " * 65536

            for content in (b" " * 2_000_000, parts()):
                headers = {"content-type": "application/json"}
                answer = await here.client.post("/api/v1/login", content=content, headers=headers)  # type: ignore[arg-type]
                assert answer.status_code == 413

    asyncio.run(story())


@pytest.mark.parametrize(("size_bytes", "status"), [(BODY_BYTES, 401), (BODY_BYTES + 1, 413)], ids=["the limit", "past it"])
def test_the_limit_of_a_body_is_the_one_that_is_said(tmp_path: Path, size_bytes: int, status: int) -> None:
    said = json.dumps({"name": "nobody", "password": "wrong horse battery"}).encode()
    content = said + b" " * (size_bytes - len(said))

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, size_bytes, 65536):
            yield content[at : at + 65536]

    async def story() -> None:
        async with served(tmp_path) as here:
            for body in (content, parts()):
                headers = {"content-type": "application/json"}
                answer = await here.client.post("/api/v1/login", content=body, headers=headers)
                assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
                if status == 413:
                    assert (answer.json()["code"], answer.json()["detail"]) == ("too_large", f"at most {BODY_BYTES} bytes")

    asyncio.run(story())


def test_every_answer_says_that_it_is_no_markup_and_may_load_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            for path in ("/health", "/api/v1/me", "/api/v1/nothing", "/metrics", "/", "/assets/none.js"):
                headers = (await here.call("GET", path)).headers
                assert headers["x-content-type-options"] == "nosniff"
                assert "default-src 'none'" in headers["content-security-policy"]
                assert "unsafe" not in headers["content-security-policy"]
                assert headers["x-frame-options"] == "DENY"
                assert "access-control-allow-origin" not in headers

    asyncio.run(story())


@pytest.mark.parametrize(
    "listen",
    [
        Listen(host="0.0.0.0"),
        Listen(host="::"),
        Listen(host="192.0.2.1", authentication=False, certificate="a", key="b"),
        Listen(host="example.test"),
        Listen(certificate="a"),
    ],
)
def test_a_server_that_others_can_reach_needs_authentication_and_tls(listen: Listen) -> None:
    with pytest.raises(UsageError):
        listen.check()


@pytest.mark.parametrize(
    "listen", [Listen(), Listen(host="::1", authentication=False), Listen(host="0.0.0.0", certificate="a", key="b")]
)
def test_loopback_and_tls_with_authentication_are_fine(listen: Listen) -> None:
    listen.check()
