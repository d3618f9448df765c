"""Where a request over HTTP may go: what a URL means, which addresses are not the public's, what a redirect changes."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import field
from urllib.parse import quote, unquote, urlencode, urljoin, urlsplit

from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote as quoted

PORTS = {"http": 80, "https": 443}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HOST = re.compile(r"[a-z0-9_.-]{1,253}\Z")
_NUMERIC = re.compile(r"(?:.*\.)?(?:0x[0-9a-f]*|[0-9]+)\.?\Z")
_CREDENTIAL = re.compile(r"auth|cookie|token|secret|passw|session|key", re.IGNORECASE)
_PATH_CHARS = "/%:@!$&'()*+,;=~-._"

_SHARED = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598, between a provider and its customers
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052, the last 32 bits are an IPv4 address
_TRANSLATED_LOCALLY = ipaddress.ip_network("64:ff9b:1::/48")  # RFC 8215


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a URL means. `userinfo` is what stood before the @, decoded; it is never shown."""

    scheme: str
    host: str
    port: int
    target: str  # path and query, encoded
    userinfo: str = field(default="", repr=False)

    @property
    def authority(self) -> str:
        """What `Host` says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL, without what stood before the @."""
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def shown(self) -> str:
        """The URL for messages: without its query too, where secrets are often put."""
        path, mark, _ = self.target.partition("?")
        return f"{self.scheme}://{self.authority}{path if len(path) <= 100 else path[:97] + '...'}{mark and '?...'}"


def place(url: str, query: Sequence[tuple[str, str]] = ()) -> Place:
    """Return what a URL means, with `query` added to its own. Raises ValueError, with a text for people."""
    if any(ord(char) <= 32 or char in "\\\x7f" for char in url):
        raise ValueError("the URL holds a space, a control code or a backslash")
    parts = urlsplit(url)
    if parts.scheme not in PORTS:
        raise ValueError(f"the URL has to begin with http:// or https://, not with {quoted(url.partition(':')[0], 20)}")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError("the port of the URL is none") from error
    own = quote(parts.query, safe=_PATH_CHARS + "?")
    full = "&".join(piece for piece in (own, urlencode(query)) if piece)
    return Place(
        scheme=parts.scheme,
        host=_host(parts.hostname or ""),
        port=PORTS[parts.scheme] if port is None else port,
        target=(quote(parts.path, safe=_PATH_CHARS) or "/") + (f"?{full}" if full else ""),
        userinfo=unquote(parts.netloc.rpartition("@")[0]),
    )


def _host(host: str) -> str:
    try:
        if ":" in host and "%" not in host:
            return str(ipaddress.IPv6Address(host))
        name = host if host.isascii() else host.encode("idna").decode()
    except ValueError as error:
        raise ValueError(f"the URL names no host: {quoted(host)}") from error
    if not _HOST.match(name):
        raise ValueError(f"the URL names no host: {quoted(host)}")
    return name


# ---------------------------------------------------------------- addresses


def barred(address: str) -> str:
    """Return what kind of address it is that the public has no business with, or nothing for a public one.

    An IPv6 address that carries an IPv4 address (mapped, translated, 6to4, Teredo) is judged by that one.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = _carried(found)
        if inner is not None:
            return barred(str(inner))
        if found in _TRANSLATED_LOCALLY or found.is_site_local:
            return "a private address"
    return _kind(found)


def barred_name(host: str) -> str:
    """Return why a host is not asked for through a proxy, which would look it up where we cannot see it."""
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return "a loopback address"
    if ":" in name:
        return barred(name)
    if not _NUMERIC.match(name):
        return ""
    try:
        return barred(name)
    except ValueError:  # 127.1, 0x7f000001: systems read them as addresses
        return "an address in disguise"


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour


def _kind(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    kinds = {
        "an unspecified address": address.is_unspecified,
        "a loopback address": address.is_loopback,
        "a link-local address": address.is_link_local,
        "a multicast address": address.is_multicast,
        "a shared address of a provider": isinstance(address, ipaddress.IPv4Address) and address in _SHARED,
        "a private address": address.is_private and not address.is_reserved,
        "a reserved address": address.is_reserved or not address.is_global,
    }
    return next((kind for kind, right in kinds.items() if right), "")


# ---------------------------------------------------------------- redirects


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """What follows a redirect."""

    place: Place
    method: str
    keeps_body: bool
    keeps_credentials: bool


def next_hop(old: Place, method: str, status: int, location: str) -> Hop:
    """Return where a redirect leads. Raises ValueError when that is not to be followed, with a text for people."""
    new = place(urljoin(old.url, location))
    if old.scheme == "https" and new.scheme == "http":
        raise ValueError(f"{old.shown} redirects to {new.shown}, which is not encrypted")
    upgraded = (old.scheme, old.port, new.scheme, new.port) == ("http", 80, "https", 443)
    becomes_get = (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
    return Hop(
        place=new,
        method="GET" if becomes_get else method,
        keeps_body=not becomes_get,
        keeps_credentials=new.host == old.host and (new.port == old.port or upgraded),
    )


def is_credential(header: str) -> bool:
    """Whether a header is one that another host must not see: Authorization, Cookie, X-Api-Key, ..."""
    return bool(_CREDENTIAL.search(header))
