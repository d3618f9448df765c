"""When a failed attempt is followed by another one, and after how long."""

from __future__ import annotations

from provisioning.core.model import Retry, Strategy

HOPELESS = frozenset({"host_key", "login_refused", "become_refused", "fenced"})
"""Error kinds that another attempt meets again: never retried, unless a policy names them in `only`."""


def may_retry(retry: Retry, attempt: int, error_kind: str) -> bool:
    """Whether `attempt` (from 1), which failed with `error_kind`, is followed by another one."""
    allowed = error_kind in retry.only if retry.only else error_kind not in HOPELESS
    return allowed and error_kind not in retry.never and attempt < retry.attempts


def delay_s(retry: Retry, attempt: int, roll: float) -> float:
    """Return the seconds to wait after `attempt` (from 1) failed. `roll` in [0, 1) takes off up to `jitter` of them."""
    wait = min(_grown(retry, attempt), retry.max_s)
    return max(0.0, wait * (1 - retry.jitter * roll))


def _grown(retry: Retry, attempt: int) -> float:
    if retry.strategy is Strategy.FIXED:
        return retry.base_s
    if retry.strategy is Strategy.LINEAR:
        return retry.base_s + retry.increment_s * (attempt - 1)
    try:
        return retry.base_s * retry.factor ** (attempt - 1)
    except OverflowError:
        return retry.max_s
