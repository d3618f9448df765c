"""Whether a test may have a lab here."""

from __future__ import annotations

from functools import cache

import pytest
from lab.base import is_built
from lab.needs import missing
from lab.shell import LabError


def lab_reason(item: pytest.Item) -> str:
    """Return why a test cannot have its lab, blank when it can.

    Without `--lab` or `--soak` the base is not built, which takes a minute or two, and the long tests are left out.
    """
    asked = item.config.getoption("--lab") or item.config.getoption("--soak")
    if reason := cannot():
        return reason
    if not asked and item.get_closest_marker("slow"):
        return "takes minutes: make test-lab"
    return "" if asked or there() else "the lab's base is not built yet: make test-lab"


@cache
def cannot() -> str:
    """Return why this machine can have no lab."""
    if reason := missing():
        return reason
    try:
        there()
    except LabError as wrong:
        return str(wrong)
    return ""


@cache
def there() -> bool:
    """Whether the base is built."""
    return is_built()
