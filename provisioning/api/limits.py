"""How often somebody may try to prove who they are, call at all, and be written down. Pure: times come from outside."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

from provisioning.errors import ProvisioningError

FREE = 10  # tries, one after the other
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 300.0
FORGOTTEN_S = 900.0
FREE_OF_NAME, LONGEST_WAIT_OF_NAME_S = 30, 60.0  # whoever guesses from many addresses must not lock a user out for long
KNOWN_MOST = 10_000  # keys
REFUSALS_EACH, REFUSALS_PER_S = 20, 1 / 60  # records of refused calls: of one address, ten times that of all


class TooMany(ProvisioningError):
    """Too many tries. `wait_s` is how long to wait."""

    code = "too_many"
    retryable = True

    def __init__(self, wait_s: float, what: str = "tries") -> None:
        super().__init__(f"too many {what}", hint=f"try again in {ceil(wait_s)} s")
        self.wait_s = wait_s


class Tries:
    """Counts the tries of each key since the last that went well; past the free ones each waits twice as long."""

    def __init__(self, free: int = FREE, longest_wait_s: float = LONGEST_WAIT_S) -> None:
        """A key is an address, or a user's name."""
        self._free, self._longest_wait_s = free, longest_wait_s
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()  # key -> tries, when the last was

    def may_try(self, key: str, now_s: float) -> None:
        """Count a try. Raises TooMany, which is not counted."""
        tries, last_s = self._known.get(key, (0, float("-inf")))
        if now_s - last_s > FORGOTTEN_S:
            tries = 0
        if tries >= self._free:
            until_s = last_s + min(FIRST_WAIT_S * 2.0 ** (tries - self._free), self._longest_wait_s)
            if now_s < until_s:
                raise TooMany(until_s - now_s)
        self._known[key] = (tries + 1, now_s)
        self._known.move_to_end(key)
        _forget_oldest(self._known)

    def passed(self, key: str) -> None:
        """Forget the tries of a key: one went well."""
        self._known.pop(key, None)


class Buckets:
    """For each key a bucket of calls that is filled again as time goes by."""

    def __init__(self, per_s: float, burst: int) -> None:
        """`burst` calls may come at once, `per_s` for ever."""
        self._per_s, self._burst = per_s, float(burst)
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> calls left, when that was

    def take(self, key: str, now_s: float) -> float:
        """Take a call out; return 0, or the seconds until there is one."""
        left, at_s = self._known.get(key, (self._burst, now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_s)
        self._known[key] = (left - 1 if left >= 1 else left, now_s)
        self._known.move_to_end(key)
        _forget_oldest(self._known)
        return 0.0 if left >= 1 else (1 - left) / self._per_s


class Sparing:
    """Says which of many alike things are worth a record, and how many before it were not."""

    def __init__(self) -> None:
        self._each, self._all = Buckets(REFUSALS_PER_S, REFUSALS_EACH), Buckets(REFUSALS_PER_S * 10, REFUSALS_EACH * 10)
        self._left_out = 0

    def worth(self, key: str, now_s: float) -> int | None:
        """Return how many were left out since the last that was worth it; None for one that is not."""
        if self._each.take(key, now_s) or self._all.take("", now_s):
            self._left_out += 1
            return None
        left_out, self._left_out = self._left_out, 0
        return left_out


def _forget_oldest(known: OrderedDict[str, tuple[int, float]] | OrderedDict[str, tuple[float, float]]) -> None:
    while len(known) > KNOWN_MOST:
        known.popitem(last=False)
