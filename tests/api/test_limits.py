"""How often: tries to log in by address and by name, calls by address and by who calls, records of what was refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.served import PASSWORD, Served, served

from provisioning.api import gate
from provisioning.api.limits import (
    FREE_OF_NAME,
    KNOWN_MOST,
    LONGEST_WAIT_OF_NAME_S,
    REFUSALS_EACH,
    Buckets,
    Sparing,
    TooMany,
    Tries,
)
from provisioning.core.access import Role


def test_a_bucket_lets_its_calls_through_at_once_and_then_as_many_as_flow_in() -> None:
    bucket = Buckets(per_s=2.0, burst=5)
    assert [bucket.take("a", 0.0) for _ in range(5)] == [0.0] * 5
    assert bucket.take("a", 0.0) == 0.5
    assert bucket.take("b", 0.0) == 0.0, "each key has its own"
    assert bucket.take("a", 0.5) == 0.0
    assert bucket.take("a", 0.5) > 0
    assert [bucket.take("a", 1000.0) for _ in range(6)] == [0.0] * 5 + [0.5], "it never holds more than a burst"


def test_keys_of_all_the_world_take_no_more_memory_than_some() -> None:
    bucket = Buckets(per_s=1.0, burst=1)
    for number in range(KNOWN_MOST + 100):
        bucket.take(str(number), 0.0)
    assert len(bucket._known) == KNOWN_MOST


def test_a_name_that_is_guessed_from_many_addresses_has_to_wait_but_not_for_long() -> None:
    names = Tries(FREE_OF_NAME, LONGEST_WAIT_OF_NAME_S)
    now_s, waited_s = 0.0, 0.0
    for _ in range(200):
        try:
            names.may_try("ana", now_s)
        except TooMany as error:
            waited_s = max(waited_s, error.wait_s)
            now_s += error.wait_s
    assert 30 < waited_s <= LONGEST_WAIT_OF_NAME_S


def test_refusals_are_written_down_sparingly_and_what_was_left_out_is_counted() -> None:
    sparing = Sparing()
    told = [sparing.worth("a", 0.0) for _ in range(1000)]
    assert told == [0] * REFUSALS_EACH + [None] * (1000 - REFUSALS_EACH)
    assert sparing.worth("b", 0.0) == 1000 - REFUSALS_EACH
    many = [sparing.worth(str(number), 0.0) for number in range(10_000)]
    assert sum(one is not None for one in many) <= REFUSALS_EACH * 10, "nor from many addresses"


async def audited(here: Served) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await here.get("/audit?limit=500"))["records"]
    return found


def test_who_was_refused_what_is_in_the_audit_log(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path, {"hello": "steps: [{command: 'true'}]"}) as here:
            assert (await here.call("GET", "/api/v1/runs", None)).status_code == 401
            assert (await here.call("POST", "/api/v1/dags/hello/runs", Role.VIEWER, body={})).status_code == 403
            assert (await here.call("GET", "/api/v1/users", Role.OPERATOR)).status_code == 403
            assert (await here.call("DELETE", "/api/v1/runs/x", None, origin="http://evil.example")).status_code == 403
            found = await audited(here)
            assert [(one["actor"], one["role"], one["action"], one["status"]) for one in found] == [
                ("", "", "run.delete", 403),
                ("operator", "operator", "user.read", 403),
                ("viewer", "viewer", "run.start", 403),
                ("", "", "run.read", 401),
            ]
            assert {one["address"] for one in found} == {"127.0.0.1"}
            assert found[-1]["target"] == "/runs"
            assert found[1]["detail"] == "this needs the role admin; you are operator"

    asyncio.run(story())


def test_a_flood_of_refused_calls_leaves_few_records(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            for _ in range(10 * REFUSALS_EACH):
                assert (await here.call("GET", "/api/v1/runs", None)).status_code == 401
            assert REFUSALS_EACH <= len(await audited(here)) <= REFUSALS_EACH + 5

    asyncio.run(story())


@pytest.mark.parametrize("known", ["", "viewer"], ids=["by address", "by token"])
def test_too_many_calls_are_told_when_to_come_again_and_others_are_not_kept(
    tmp_path: Path, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "CALLS_AT_ONCE", 20)
    monkeypatch.setattr(gate, "CALLS_PER_S", 0.01)

    async def story() -> None:
        async with served(tmp_path) as here:
            role = Role.VIEWER if known else None
            if known:
                monkeypatch.setattr(gate, "_address", lambda _scope: f"10.0.0.{len(seen)}")
            seen: list[int] = []
            while not seen or seen[-1] in {200, 401}:
                answer = await here.call("GET", "/api/v1/me", role)
                seen.append(answer.status_code)
            assert (len(seen), seen[-1], answer.json()["code"]) == (21, 429, "too_many")
            assert int(answer.headers["retry-after"]) > 1
            if known:
                assert (await here.call("GET", "/api/v1/me", Role.OPERATOR)).status_code == 200, "another user"

    asyncio.run(story())


def test_passwords_are_guessed_slowly_also_from_many_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from provisioning.api.routes import sessions

    addresses = iter(range(10_000))
    monkeypatch.setattr(sessions, "_address", lambda _request: f"10.0.{next(addresses)}")

    async def story() -> None:
        async with served(tmp_path) as here:
            here.token(Role.ADMIN)
            body = {"name": "admin", "password": "wrong horse battery"}
            codes = [(await here.call("POST", "/api/v1/login", None, body=body)).status_code for _ in range(FREE_OF_NAME + 3)]
            assert codes[:FREE_OF_NAME] == [401] * FREE_OF_NAME
            assert 429 in codes[FREE_OF_NAME:]
            right = {"name": "viewer", "password": PASSWORD}
            here.token(Role.VIEWER)
            assert (await here.call("POST", "/api/v1/login", None, body=right)).status_code == 200

    asyncio.run(story())


def test_who_comes_in_is_in_the_audit_log(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as here:
            body = {"name": "ann", "password": PASSWORD}
            made = await here.call("POST", "/api/v1/setup", None, body={**body, "token": here.people.setup_token()})
            assert made.status_code == 201
            here.client.cookies.clear()
            assert (await here.call("POST", "/api/v1/login", None, body={**body, "password": "x" * 12})).status_code == 401
            assert (await here.call("POST", "/api/v1/login", None, body=body)).status_code == 200
            here.client.cookies.clear()
            found = [(one["actor"], one["action"], one["status"]) for one in await audited(here)]
            assert found == [("ann", "session.open", 200), ("ann", "session.refuse", 401), ("ann", "server.set_up", 200)]

    asyncio.run(story())
