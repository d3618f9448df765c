"""Where the action `http` goes when an answer sends it elsewhere, and what it takes along."""

from __future__ import annotations

import pytest
from support.acting import Heard
from support.asking import NAMES, SECRET, URL, answer, ask, web_of

from provisioning.adapters.memory.fetch import FakeFetch


def redirecting(*hops: tuple[str, str, int], proxy: str = "") -> FakeFetch:
    """Return a web of redirects (from, to, status), the last of which leads to an answer."""
    web = FakeFetch(dict(NAMES), proxy=proxy)
    for old, new, status in hops:
        for method in ("GET", "POST"):
            web.on(method, old, answer(status, Location=new))
    for method in ("GET", "POST"):
        web.on(method, hops[-1][1], answer(body=b"there"))
    return web


async def test_A42_redirects_are_followed_when_wanted() -> None:  # noqa: N802 - the case's id
    web = redirecting((URL, "https://b.example/y", 302), ("https://b.example/y", "https://b.example/z", 307))
    context = Heard()

    assert (await ask(web, context, follow_redirects=True)).output == "there"
    assert [exchange.addresses for exchange in web.asked] == [("8.8.8.8", "2606:4700::1"), ("9.9.9.9",), ("9.9.9.9",)]
    assert len(context.notes) == 3


async def test_every_host_on_the_way_is_judged() -> None:
    web = redirecting((URL, "https://inner.example/", 302))
    result = await ask(web, follow_redirects=True)

    assert (result.error_kind, len(web.asked)) == ("refused", 1)
    assert result.error.startswith("inner.example is 10.0.0.5, a private address")


async def test_credentials_do_not_go_to_another_host_and_do_not_come_back() -> None:
    web = redirecting((URL, "https://b.example/y", 307), ("https://b.example/y", "https://a.example/z", 307))
    headers = {"Authorization": f"Bearer {SECRET}", "Cookie": f"a={SECRET}", "X-Api-Key": SECRET, "X-Other": "stays"}
    await ask(web, follow_redirects=True, headers=headers, method="POST", body="data")
    names = [{name for name, _ in exchange.headers} for exchange in web.asked]

    assert set(headers) <= names[0]
    assert names[1] & set(headers) == names[2] & set(headers) == {"X-Other"}
    assert [exchange.body for exchange in web.asked] == [b"data"] * 3


async def test_a_redirect_that_asks_for_a_question_drops_the_body() -> None:
    web = redirecting((URL, "https://a.example/y", 303))
    await ask(web, follow_redirects=True, method="POST", body={"a": 1})

    assert (web.asked[1].method, web.asked[1].body) == ("GET", b"")
    assert "Content-Type" not in dict(web.asked[1].headers)


async def test_a_redirect_out_of_encryption_is_refused() -> None:
    web = redirecting((URL, "http://a.example/", 302))
    result = await ask(web, follow_redirects=True)

    assert (result.error_kind, len(web.asked)) == ("refused", 1)


@pytest.mark.parametrize(("most", "asked"), [(None, 6), (0, 1), (2, 3)])
async def test_redirects_that_go_round_and_round_end(most: int | None, asked: int) -> None:
    web = web_of(answer(302, Location=URL))
    result = await ask(web, follow_redirects=True, max_redirects=most)

    assert (result.error_kind, len(web.asked)) == ("redirects", asked)
    assert result.error == f"GET https://a.example/x: more than {asked - 1} redirects"


async def test_a_redirect_that_leads_nowhere_is_an_answer() -> None:
    assert (await ask(web_of(answer(302)), follow_redirects=True)).error_kind == "http_302"
