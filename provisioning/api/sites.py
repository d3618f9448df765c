"""Which names of this server are real: what keeps other sites' pages from talking to it through a browser."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit


class Sites:
    """Addresses, `localhost`, the machine's own name and the names that were allowed. A name that only points here is none."""

    def __init__(self, allowed: Collection[str] = ()) -> None:
        """`allowed` are host names."""
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in allowed)}

    def knows(self, host: str) -> bool:
        """Whether the header Host names this server. No page can have an address as its name unless it came from there."""
        try:
            found = urlsplit(f"//{host}")
            name, _port = found.hostname or "", found.port
        except ValueError:
            return False
        if found.netloc != host or "@" in host:
            return False
        return name.lower().rstrip(".") in self._names or _is_address(name)

    def same(self, origin: str, host: str) -> bool:
        """Whether a page of this origin is one of ours."""
        try:
            found = urlsplit(origin)
        except ValueError:
            return False
        return found.scheme in {"http", "https"} and found.netloc.lower() == host.lower()


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
