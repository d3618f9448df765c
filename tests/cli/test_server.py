"""`server check` and `server trust` against real OpenSSH daemons."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import ThrowawayServers
from support.calls import Caller

pytestmark = pytest.mark.sshd


@pytest.fixture
def reachable(sample: Path, throwaway_servers: Callable[..., ThrowawayServers]) -> tuple[Path, ThrowawayServers]:
    """Return a workspace whose two servers really listen; their keys are not trusted."""
    servers = throwaway_servers("s-0", "s-1")
    (sample / "infra/main/servers.json").write_text(json.dumps(servers.servers_json()))
    return sample, servers


def test_a_key_is_trusted_only_by_its_fingerprint(cli: Caller, reachable: tuple[Path, ThrowawayServers]) -> None:
    folder = str(reachable[0])
    refused = cli("-w", folder, "server", "check", "s-0", "-o", "json")
    assert refused.code == 7
    assert "not known" in refused.json["servers"][0]["problem"]
    assert "server trust s-0" in refused.json["servers"][0]["hint"]

    unasked = cli("-w", folder, "server", "trust", "s-0")
    assert unasked.code == 2
    assert "SHA256:" in unasked.err
    wrong = cli("-w", folder, "server", "trust", "s-0", "--fingerprint", "SHA256:other")
    assert wrong.code == 7
    assert cli("-w", folder, "server", "check", "s-0").code == 7

    fingerprint = unasked.err.split("the key ")[1].split()[0]
    added = cli("-w", folder, "server", "trust", "s-0", "--fingerprint", fingerprint, "-o", "json")
    assert (added.code, added.json["added"], added.json["fingerprint"]) == (0, True, fingerprint)
    assert cli("-w", folder, "server", "check", "s-0", "-o", "json").json["servers"][0]["ok"]
    assert cli("-w", folder, "server", "trust", "s-0", "-o", "json").json["added"] is False


def test_a_changed_key_is_refused_even_with_yes(cli: Caller, reachable: tuple[Path, ThrowawayServers]) -> None:
    folder, servers = str(reachable[0]), reachable[1]
    assert cli("-w", folder, "server", "trust", "s-0", "--yes").code == 0
    servers.rekey("s-0")
    answer = cli("-w", folder, "server", "trust", "s-0", "--yes", "-o", "json")
    assert (answer.code, answer.json["error"]["code"]) == (7, "host_key")
    assert "has changed" in answer.json["error"]["message"]


def test_check_tells_good_servers_from_bad_ones(cli: Caller, reachable: tuple[Path, ThrowawayServers]) -> None:
    folder, servers = str(reachable[0]), reachable[1]
    for name in ("s-0", "s-1"):
        assert cli("-w", folder, "server", "trust", name, "--yes").code == 0
    assert cli("-w", folder, "server", "check").code == 0
    servers.stop_one("s-1")
    answer = cli("-w", folder, "server", "check", "-o", "json")
    assert answer.code == 7
    assert [row["ok"] for row in answer.json["servers"]] == [True, False]
