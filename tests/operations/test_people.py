"""Who may use the server: how long a refusal takes says nothing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provisioning import wiring
from provisioning.core.access import Role
from provisioning.operations.people import People, Refused


class Counted:
    """Passwords that are their own hashes; counts what takes long."""

    def __init__(self) -> None:
        self.work: Counter[str] = Counter()

    def hash(self, password: str) -> str:
        self.work["hash"] += 1
        return f"hash of {password}"

    def matches(self, stored: str, password: str) -> bool:
        self.work["matches"] += 1
        return stored == f"hash of {password}"


def test_whether_the_name_or_the_password_is_wrong_the_same_work_is_done(tmp_path: Path) -> None:
    passwords = Counted()
    people = People(wiring.people_store(tmp_path), passwords, lambda: datetime.now(UTC))
    people.add_user("ann", "her long password", Role.VIEWER)
    with pytest.raises(Refused):
        people.check_password("nobody", "first")  # the first of all makes a hash to compare with
    costs = []
    for name, password in (("ann", "wrong"), ("nobody", "wrong"), ("nobody", "her long password"), ("", ""), ("ann", "")):
        passwords.work.clear()
        with pytest.raises(Refused):
            people.check_password(name, password)
        costs.append(dict(passwords.work))
    assert costs == [{"matches": 1}] * 5
    assert people.check_password("ann", "her long password").name == "ann"
    people.close()
