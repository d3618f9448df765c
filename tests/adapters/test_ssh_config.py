"""Where a server is and as whom we log in: its own fields, then the OpenSSH configuration, then the defaults."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from provisioning.adapters.ssh.config import Resolver, SshConfig, Target
from provisioning.core.declare import Become, Server, SshLogin
from provisioning.errors import ConfigError, HostError


def resolver(tmp_path: Path, text: str, *servers: Server, known_hosts: tuple[Path, ...] = ()) -> Resolver:
    path = tmp_path / "config"
    path.write_text(text)
    return Resolver(SshConfig([path]), servers=servers, known_hosts=known_hosts)


def target(tmp_path: Path, text: str = "", address: str = "10.0.0.1", *servers: Server, **login: object) -> Target:
    server = Server(hostname="cp-0", address=address, ssh=SshLogin(**login))  # type: ignore[arg-type]
    return resolver(tmp_path, text, *servers).target(server)


def test_without_any_setting_it_is_what_openssh_would_do(tmp_path: Path, clean_environment: Path) -> None:
    one = target(tmp_path)

    assert (one.host, one.port, one.user, one.jumps) == ("10.0.0.1", 22, getpass.getuser(), ())
    assert one.key_paths == ()
    assert not one.only_these
    assert one.host_key_name == "10.0.0.1"
    assert clean_environment / ".ssh" / "known_hosts" in one.known_hosts
    assert Path("/etc/ssh/ssh_known_hosts") in one.known_hosts


@pytest.mark.parametrize("pattern", ["10.0.0.1", "10.0.*", "cp-0", "cp-*", "other cp-0", "*"])
def test_a_block_applies_by_address_or_by_hostname(tmp_path: Path, pattern: str) -> None:
    one = target(tmp_path, f"Host {pattern}\n  User deploy\n  Port 2222\n  IdentityFile ~/.ssh/deploy\n  IdentitiesOnly yes\n")

    assert (one.user, one.port, one.only_these) == ("deploy", 2222, True)
    assert one.key_paths == (Path("~/.ssh/deploy").expanduser(),)
    assert one.host_key_name == "[10.0.0.1]:2222"


@pytest.mark.parametrize("pattern", ["10.0.0.2", "cp-1", "* !cp-0", "!10.0.0.1 10.0.*"])
def test_a_block_for_somebody_else_does_not(tmp_path: Path, pattern: str) -> None:
    assert target(tmp_path, f"Host {pattern}\n  User deploy\n").user == getpass.getuser()


def test_the_first_value_wins_as_in_openssh(tmp_path: Path) -> None:
    assert target(tmp_path, "Host cp-0\n User first\nHost 10.0.0.1\n User second\nHost *\n User third\n").user == "first"


def test_the_servers_own_fields_win(tmp_path: Path) -> None:
    text = "Host *\n User theirs\n Port 1\n IdentityFile /theirs\n ProxyJump theirs\n"

    one = target(tmp_path, text, user="ours", port=2, key_path="/ours", proxy_jump="none", become=Become())

    assert (one.user, one.port, one.key_paths, one.only_these, one.jumps) == ("ours", 2, (Path("/ours"),), True, ())
    assert one.become == Become()


def test_an_alias_as_address_is_resolved(tmp_path: Path) -> None:
    assert target(tmp_path, "Host prod\n HostName 203.0.113.9\n", "prod").host == "203.0.113.9"


def test_an_address_that_we_were_given_is_not_moved_by_the_name_of_the_server(tmp_path: Path) -> None:
    one = target(tmp_path, "Host cp-0\n HostName 203.0.113.9\n User deploy\n")

    assert (one.host, one.user) == ("10.0.0.1", "deploy")


def test_a_host_key_alias_is_the_name_in_known_hosts(tmp_path: Path) -> None:
    assert target(tmp_path, "Host *\n Port 2222\n HostKeyAlias cluster\n").host_key_name == "cluster"


def test_known_hosts_files_are_those_of_the_configuration_after_our_own(tmp_path: Path) -> None:
    server = Server(hostname="cp-0", address="10.0.0.1")
    config = "Host *\n UserKnownHostsFile ~/a /b\n GlobalKnownHostsFile none\n StrictHostKeyChecking no\n"

    one = resolver(tmp_path, config, known_hosts=(Path("/ours"),)).target(server)

    assert one.known_hosts == (Path("/ours"), Path("~/a").expanduser(), Path("/b"))


def test_includes_are_read_and_the_block_goes_on_after_them(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10.conf").write_text("Host 10.0.0.1\n  User included\n")
    (tmp_path / "conf.d" / "20.conf").write_text("Host elsewhere\n  Port 9\n")

    one = target(tmp_path, "Host cp-0\n  Include conf.d/*.conf\n  Port 2222\n")

    assert (one.user, one.port) == ("included", 2222)


def test_an_include_of_itself_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="includes itself"):
        target(tmp_path, "Include config\n")


def test_a_line_that_nobody_understands_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ssh configuration"):
        target(tmp_path, "!!!\n")


def test_what_a_distribution_brings_says_nothing_and_needs_no_reader_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("# ProxyCommand ssh -W %h:%p gateway\n\nHost *\n    SendEnv LANG LC_*\n    HashKnownHosts yes\n")
    ask = f"""if True:
        import sys
        from pathlib import Path
        from provisioning.adapters.ssh.config import SshConfig
        print(SshConfig([Path({str(path)!r})]).lookup("10.0.0.1", "cp-0"), "paramiko" in sys.modules)
    """

    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)

    assert said.stdout == "{} False\n"


def test_match_blocks_are_honoured(tmp_path: Path) -> None:
    assert target(tmp_path, "Match host 10.0.0.1\n  User matched\n").user == "matched"


@pytest.mark.parametrize(
    ("jump", "hops"),
    [
        pytest.param("bastion", [("bastion", 22)], id="one"),
        pytest.param("me@bastion:2222", [("bastion", 2222)], id="with user and port"),
        pytest.param("ssh://me@bastion:2222/", [("bastion", 2222)], id="as a URI"),
        pytest.param("[fe80::1]:2222", [("fe80::1", 2222)], id="an IPv6 address"),
        pytest.param("first,second:2", [("first", 22), ("second", 2)], id="a chain, outward"),
    ],
)
def test_jumps_are_hops_in_order(tmp_path: Path, jump: str, hops: list[tuple[str, int]]) -> None:
    from_field = target(tmp_path, proxy_jump=jump)
    from_config = target(tmp_path, f"Host cp-0\n  ProxyJump {jump}\n")

    assert [(hop.host, hop.port) for hop in from_field.jumps] == hops
    assert from_config.jumps == from_field.jumps


def test_a_jump_host_has_settings_and_jumps_of_its_own(tmp_path: Path) -> None:
    text = "Host bastion\n  HostName 203.0.113.1\n  User gate\n  ProxyJump outer\nHost outer\n  Port 2200\n"

    one = target(tmp_path, text, proxy_jump="bastion")

    assert [(hop.name, hop.host, hop.port) for hop in one.jumps] == [("outer", "outer", 2200), ("bastion", "203.0.113.1", 22)]
    assert one.jumps[1].user == "gate"


def test_a_jump_may_name_another_server(tmp_path: Path) -> None:
    gate = Server(hostname="gate", address="203.0.113.1", ssh=SshLogin(user="gate", port=2200))

    one = target(tmp_path, "", "10.0.0.1", gate, proxy_jump="gate")

    assert [(hop.name, hop.host, hop.port, hop.user) for hop in one.jumps] == [("gate", "203.0.113.1", 2200, "gate")]


def test_jumps_in_a_circle_end_in_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="jumps"):
        target(tmp_path, "Host a\n ProxyJump b\nHost b\n ProxyJump a\n", proxy_jump="a")


def test_a_jump_that_makes_no_sense_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="jump host"):
        target(tmp_path, proxy_jump="a:b:c")


def test_a_proxy_command_is_refused_and_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ProxyCommand"):
        target(tmp_path, "Host *\n  ProxyCommand nc %h %p\n")


def test_an_address_of_a_kind_that_the_server_does_not_have_is_an_error(tmp_path: Path) -> None:
    server = Server(hostname="cp-0", public_ip="203.0.113.9")

    assert resolver(tmp_path, "").target(server, address="public").host == "203.0.113.9"
    with pytest.raises(HostError, match="no private address"):
        resolver(tmp_path, "").target(server, address="private")


@pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH's client is not installed")
@pytest.mark.parametrize(
    "text",
    [
        "Host cp-0\n User a\n Port 7\nHost *\n User b\n Port 8\n",
        "Host cp-? !cp-1\n HostName 192.0.2.%h\n",
        "User=eq\nPort = 44\n",
        'Host *\n User "quoted"\n',
        "Host CP-0\n User upper\n",
        "Match host cp-0\n User m\nHost *\n Port 9\n",
        "Include extra\nHost *\n User late\n",
        "Host other\n Include extra\nHost *\n User late\n",
    ],
)
def test_it_agrees_with_openssh(tmp_path: Path, text: str) -> None:
    (tmp_path / "extra").write_text("User early\n")
    text = text.replace("Include extra", f"Include {tmp_path}/extra")
    ours = target(tmp_path, text, "cp-0")
    said = subprocess.run(["ssh", "-G", "-F", tmp_path / "config", "cp-0"], check=True, capture_output=True, text=True).stdout
    theirs = dict(row.split(" ", 1) for row in said.splitlines() if " " in row)

    assert (ours.host, ours.user, ours.port) == (theirs["hostname"], theirs["user"], int(theirs["port"]))


@pytest.mark.parametrize(
    ("text", "addresses", "expected"),
    [
        ("Host web-*\n HostName 192.0.2.7\n", ("web-1", "db", "web-2"), ["192.0.2.7", "db", "192.0.2.7"]),
        ("Host *\n HostName %h.example.org\n", ("a", "b"), ["a.example.org", "b.example.org"]),
        ("Host *\n HostName a\n", ("a", "b"), ["a", "a"]),
        ("Host *\n Port 9\n", ("a", "b", "a"), ["a", "b", "a"]),
    ],
)
def test_no_host_gets_the_name_of_one_that_was_asked_for_before(
    tmp_path: Path, text: str, addresses: tuple[str, ...], expected: list[str]
) -> None:
    of_all = resolver(tmp_path, text)
    servers = [Server(hostname=f"cp-{number}", address=address) for number, address in enumerate(addresses)]

    assert [of_all.target(server).host for server in servers] == expected
