"""known_hosts as OpenSSH reads it: known, unknown, changed, revoked, hashed, on a port."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from support.cost import counted

from provisioning.adapters.ssh.config import known_name
from provisioning.adapters.ssh.hostkeys import HostKey, KnownHosts, add_known_host
from provisioning.errors import ConfigError, HostKeyError


def key(text: str, kind: str = "ssh-ed25519") -> HostKey:
    return HostKey(type=kind, base64=base64.b64encode(text.encode()).decode())


ONE, TWO, RSA = key("one"), key("two"), key("rsa", "ssh-rsa")


def line(names: str, of: HostKey = ONE) -> str:
    return f"{names} {of.type} {of.base64}\n"


def known(tmp_path: Path, text: str) -> KnownHosts:
    path = tmp_path / "known_hosts"
    path.write_text(text)
    return KnownHosts([path, tmp_path / "missing"])


@pytest.mark.parametrize(
    ("names", "host", "port"),
    [
        pytest.param("web-0", "web-0", 22, id="a name"),
        pytest.param("WEB-0", "web-0", 22, id="letter case does not matter"),
        pytest.param("db-0,web-0", "web-0", 22, id="one of several"),
        pytest.param("[10.0.0.1]:2222", "10.0.0.1", 2222, id="a port"),
        pytest.param("[fe80::1]:2222", "fe80::1", 2222, id="a port behind an IPv6 address"),
        pytest.param("*.example.com", "a.example.com", 22, id="a pattern"),
        pytest.param("10.0.0.?", "10.0.0.7", 22, id="a pattern of one letter"),
        pytest.param("10.0.0.1", "10.0.0.1", 2222, id="a port of a host that is known without one"),
        pytest.param("[*.example.com]:2222", "a.example.com", 2222, id="a pattern on a port"),
    ],
)
def test_a_known_key_is_accepted(tmp_path: Path, names: str, host: str, port: int) -> None:
    known(tmp_path, line(names)).check(known_name(host, port), ONE, server="web-0")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="an empty file"),
        pytest.param(line("db-0"), id="another host"),
        pytest.param(line("[web-0]:2222"), id="another port"),
        pytest.param(line("[web-0]:22"), id="the usual port, written out"),
        pytest.param("# " + line("web-0"), id="a comment"),
        pytest.param(line("*,!web-0"), id="a pattern that leaves it out"),
        pytest.param("@cert-authority " + line("*"), id="an authority, which we do not check"),
        pytest.param("web-0 ssh-ed25519 !!!\n", id="a damaged line"),
        pytest.param("web-0 ssh-ed25519\n", id="half a line"),
        pytest.param("|1|bad|bad " + line("").strip() + "\n", id="a damaged hash"),
    ],
)
def test_an_unknown_key_is_refused_with_its_fingerprint_and_a_way_out(tmp_path: Path, text: str) -> None:
    with pytest.raises(HostKeyError) as caught:
        known(tmp_path, text).check("web-0", ONE, server="cp-0")

    assert "is not known" in caught.value.message
    assert ONE.fingerprint in caught.value.message
    assert "provisioning server trust cp-0" in caught.value.hint
    assert caught.value.server == "cp-0"
    assert not caught.value.retryable


def test_a_changed_key_is_refused_and_both_fingerprints_are_told(tmp_path: Path) -> None:
    with pytest.raises(HostKeyError, match="has changed") as caught:
        known(tmp_path, line("db-0") + line("web-0")).check("web-0", TWO, server="web-0")

    assert ONE.fingerprint in caught.value.message
    assert TWO.fingerprint in caught.value.message
    assert "known_hosts:2" in caught.value.message


def test_a_key_of_another_type_is_not_taken_for_an_unknown_host(tmp_path: Path) -> None:
    with pytest.raises(HostKeyError, match="another type"):
        known(tmp_path, line("web-0", RSA)).check("web-0", ONE, server="web-0")


def test_a_revoked_key_is_refused_even_if_it_is_known(tmp_path: Path) -> None:
    with pytest.raises(HostKeyError, match="revoked"):
        known(tmp_path, line("web-0") + "@revoked " + line("*")).check("web-0", ONE, server="web-0")


def test_one_of_several_known_keys_is_enough(tmp_path: Path) -> None:
    hosts = known(tmp_path, line("web-0", RSA) + line("web-0", TWO) + line("web-0"))

    hosts.check("web-0", ONE, server="web-0")
    assert hosts.types("web-0") == ("ssh-rsa", "ssh-ed25519")


def test_hashed_names_are_found_as_openssh_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(line("web-0") + line("[10.0.0.1]:2222", TWO))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=False, capture_output=True)
    text = path.read_text()
    if "|1|" not in text:
        pytest.skip("ssh-keygen cannot hash here")

    hosts = KnownHosts([path])

    assert "web-0" not in text
    hosts.check("web-0", ONE, server="web-0")
    hosts.check("[10.0.0.1]:2222", TWO, server="web-0")
    with pytest.raises(HostKeyError):
        hosts.check("web-1", ONE, server="web-1")


def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    kind, blob = path.with_suffix(".pub").read_text().split()[:2]

    shown = subprocess.run(["ssh-keygen", "-l", "-f", path], check=True, capture_output=True, text=True).stdout

    assert HostKey(type=kind, base64=blob).fingerprint in shown.split()


def test_a_file_that_cannot_be_read_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        KnownHosts([tmp_path])


def test_a_key_is_added_at_the_end_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "private" / "known_hosts"
    path.parent.mkdir()
    path.write_text("# no end of line")

    add_known_host(path, "[10.0.0.1]:2222", ONE)
    add_known_host(path, "web-0", TWO)

    assert path.read_text() == "# no end of line\n" + line("[10.0.0.1]:2222") + line("web-0", TWO)
    KnownHosts([path]).check("web-0", TWO, server="web-0")


def test_a_new_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "known_hosts"

    add_known_host(path, "web-0", ONE)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_what_was_added_is_seen_by_the_next_reading(tmp_path: Path) -> None:
    hosts = known(tmp_path, "")
    with pytest.raises(HostKeyError):
        hosts.check("web-0", ONE, server="web-0")

    add_known_host(tmp_path / "known_hosts", "web-0", ONE)

    KnownHosts([tmp_path / "known_hosts"]).check("web-0", ONE, server="web-0")


def test_the_lines_that_speak_of_a_host_keep_their_order_whatever_they_look_like(tmp_path: Path) -> None:
    text = (
        line("*", RSA) + line("web-0", TWO) + line("db-0") + line("other,web-0,!db-*", ONE) + line("WEB-0", key("x", "ecdsa"))
    )

    assert known(tmp_path, text).types("web-0") == ("ssh-rsa", "ssh-ed25519", "ecdsa")
    assert known(tmp_path, text).types("db-0") == ("ssh-rsa", "ssh-ed25519")


def test_finding_a_host_among_ten_times_as_many_takes_no_longer(tmp_path: Path) -> None:
    lines = []
    for size in (100, 1000):
        book = known(tmp_path, "".join(line(f"[10.0.{n // 250}.{n % 250}]:2222") for n in range(size)))
        with counted() as cost:
            book.check("[10.0.0.7]:2222", ONE, server="web-7")
        lines.append(cost.lines)

    assert lines[0] == lines[1]
