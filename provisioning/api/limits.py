"""How often somebody may try to prove who they are. Pure: times come from outside."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

from provisioning.errors import ProvisioningError

FREE = 10  # tries, one after the other
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 300.0
FORGOTTEN_S = 900.0
KNOWN_MOST = 10_000  # addresses


class TooMany(ProvisioningError):
    """Too many tries. `wait_s` is how long to wait."""

    code = "too_many"
    retryable = True

    def __init__(self, wait_s: float) -> None:
        super().__init__("too many tries", hint=f"try again in {ceil(wait_s)} s")
        self.wait_s = wait_s


class Tries:
    """Counts the tries of each address since the last that went well; past the free ones each waits twice as long."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()  # address -> tries, when the last was

    def may_try(self, address: str, now_s: float) -> None:
        """Count a try. Raises TooMany, which is not counted."""
        tries, last_s = self._known.get(address, (0, float("-inf")))
        if now_s - last_s > FORGOTTEN_S:
            tries = 0
        if tries >= FREE:
            until_s = last_s + min(FIRST_WAIT_S * 2.0 ** (tries - FREE), LONGEST_WAIT_S)
            if now_s < until_s:
                raise TooMany(until_s - now_s)
        self._known[address] = (tries + 1, now_s)
        self._known.move_to_end(address)
        while len(self._known) > KNOWN_MOST:
            self._known.popitem(last=False)

    def passed(self, address: str) -> None:
        """Forget the tries of an address: one went well."""
        self._known.pop(address, None)
