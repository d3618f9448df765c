"""URLs, addresses and redirects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.web import barred, barred_name, is_credential, next_hop, place


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "a loopback address"),
        ("127.255.255.254", "a loopback address"),
        ("::1", "a loopback address"),
        ("10.0.0.1", "a private address"),
        ("172.16.0.1", "a private address"),
        ("172.31.255.255", "a private address"),
        ("192.168.1.1", "a private address"),
        ("fc00::1", "a private address"),
        ("fd12:3456::1", "a private address"),
        ("fec0::1", "a private address"),
        ("64:ff9b:1::1", "a private address"),
        ("169.254.169.254", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("fe80::1%eth0", "a link-local address"),
        ("0.0.0.0", "an unspecified address"),
        ("::", "an unspecified address"),
        ("0.1.2.3", "a private address"),
        ("100.64.0.1", "a shared address of a provider"),
        ("100.127.255.255", "a shared address of a provider"),
        ("224.0.0.1", "a multicast address"),
        ("ff02::1", "a multicast address"),
        ("240.0.0.1", "a reserved address"),
        ("255.255.255.255", "a reserved address"),
        ("192.0.2.1", "a private address"),
        ("198.18.0.1", "a private address"),
        ("::ffff:10.0.0.1", "a private address"),
        ("::ffff:169.254.169.254", "a link-local address"),
        ("::127.0.0.1", "a reserved address"),
        ("64:ff9b::7f00:1", "a loopback address"),
        ("64:ff9b::a9fe:a9fe", "a link-local address"),
        ("2002:7f00:1::", "a loopback address"),
        ("2002:a00:1::1", "a private address"),
        ("2001:0:1:2:3:4:80ff:fffe", "a loopback address"),
        ("2001:db8::1", "a private address"),
    ],
)
def test_addresses_that_are_not_the_public_s_are_barred(address: str, kind: str) -> None:
    assert barred(address) == kind


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "172.32.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "169.253.0.1",
        "2606:4700::1",
        "64:ff9b::808:808",
        "::ffff:8.8.8.8",
    ],
)
def test_public_addresses_are_not(address: str) -> None:
    assert barred(address) == ""


@given(st.ip_addresses(v=4))
def test_an_address_carried_by_another_is_judged_like_itself(address: object) -> None:
    assert barred(f"::ffff:{address}") == barred(f"64:ff9b::{address}") == barred(str(address))


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("localhost", "a loopback address"),
        ("a.localhost.", "a loopback address"),
        ("10.1.2.3", "a private address"),
        ("::1", "a loopback address"),
        ("127.1", "an address in disguise"),
        ("2130706433", "an address in disguise"),
        ("0x7f000001", "an address in disguise"),
        ("0177.0.0.1", "an address in disguise"),
        ("8.8.8.8", ""),
        ("example.org", ""),
        ("1.example.org", ""),
    ],
)
def test_a_proxy_is_not_asked_for_addresses_that_are_barred(host: str, kind: str) -> None:
    assert barred_name(host) == kind


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://Example.ORG", ("http", "example.org", 80, "/")),
        ("HTTPS://example.org:444/a?b=c#d", ("https", "example.org", 444, "/a?b=c")),
        ("http://[::1]:8080/", ("http", "::1", 8080, "/")),
        ("http://example.org/ä/%2F?q=ü", ("http", "example.org", 80, "/%C3%A4/%2F?q=%C3%BC")),
        ("http://bücher.example/", ("http", "xn--bcher-kva.example", 80, "/")),
        ("http://example.org?x", ("http", "example.org", 80, "/?x")),
    ],
)
def test_a_url_means_a_place(url: str, found: tuple[str, str, int, str]) -> None:
    there = place(url)

    assert (there.scheme, there.host, there.port, there.target) == found


def test_a_query_is_added_to_the_one_of_the_url() -> None:
    assert place("http://a/x?b=1", [("c", "d e"), ("c", "&")]).target == "/x?b=1&c=d+e&c=%26"


def test_what_stands_before_the_at_is_never_shown() -> None:
    there = place("http://me:s%40cret@example.org:81/a?token=x")

    assert there.userinfo == "me:s@cret"
    assert (there.authority, there.url) == ("example.org:81", "http://example.org:81/a?token=x")
    assert there.shown == "http://example.org:81/a?..."
    assert "s@cret" not in repr(there)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org/",
        "ftp://a/",
        "file:///etc/passwd",
        "gopher://a",
        "http://",
        "http:///a",
        "http://a b/",
        "http://a\n/",
        "http://a\\@b/",
        "http://a:b/",
        "http://a:99999/",
        "http://[fe80::1%25eth0]/",
        "http://[x]/",
        "http://a,b/",
        "http://" + "ä" * 300,
    ],
)
def test_what_is_no_url_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        place(url)


@given(st.text())
def test_any_text_means_a_place_or_is_refused(text: str) -> None:
    try:
        there = place(f"http://{text}")
    except ValueError:
        return
    assert there.target.isascii()
    assert there.host.isascii()


OLD = place("https://a.example/x/y?z")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "https://a.example/b"),
        ("b", "https://a.example/x/b"),
        ("?q", "https://a.example/x/y?q"),
        ("https://b.example", "https://b.example/"),
        ("//c.example/d", "https://c.example/d"),
    ],
)
def test_a_redirect_leads_to_a_place_of_its_own_or_one_beside(location: str, url: str) -> None:
    assert next_hop(OLD, "GET", 302, location).place.url == url


@pytest.mark.parametrize("location", ["http://a.example/", "ftp://a.example/", "file:///etc/passwd", "javascript:x"])
def test_a_redirect_to_somewhere_unsafe_is_refused(location: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        next_hop(OLD, "GET", 302, location)


@pytest.mark.parametrize(
    ("status", "method", "then", "keeps"),
    [
        (301, "GET", "GET", True),
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (302, "PUT", "PUT", True),
        (303, "PUT", "GET", False),
        (303, "HEAD", "HEAD", True),
        (307, "POST", "POST", True),
        (308, "POST", "POST", True),
    ],
)
def test_a_redirect_may_turn_a_request_into_a_question(status: int, method: str, then: str, *, keeps: bool) -> None:
    hop = next_hop(OLD, method, status, "/b")

    assert (hop.method, hop.keeps_body) == (then, keeps)


@pytest.mark.parametrize(
    ("old", "new", "keeps"),
    [
        ("https://a.example", "https://a.example/b", True),
        ("https://a.example", "https://b.example", False),
        ("https://a.example", "https://a.example:444", False),
        ("https://a.example", "https://sub.a.example", False),
        ("http://a.example", "https://a.example", True),
        ("http://a.example:8080", "https://a.example", False),
    ],
)
def test_credentials_stay_with_the_host_they_were_given_for(old: str, new: str, *, keeps: bool) -> None:
    assert next_hop(place(old), "GET", 302, new).keeps_credentials is keeps


@pytest.mark.parametrize(
    "name", ["Authorization", "Cookie", "cookie2", "X-Api-Key", "X-Auth-Token", "X-Secret", "Proxy-Authorization"]
)
def test_headers_with_credentials_are_known(name: str) -> None:
    assert is_credential(name)
    assert not is_credential("Accept-Language")
