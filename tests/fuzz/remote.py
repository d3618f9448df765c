"""Targets: what comes from servers, and the files of OpenSSH."""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from pathlib import Path

from fuzz.target import Check, Target
from fuzz.words import damaged, hostile, noise
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from provisioning.adapters.remote.frames import FrameReader, verdict_of
from provisioning.adapters.ssh.config import Resolver, SshConfig
from provisioning.adapters.ssh.hostkeys import HostKey, KnownHosts, parse
from provisioning.core.declare import Server, SshLogin
from provisioning.errors import HostError

Chunk = tuple[bool, bytes]
"""Whether it came from standard error, and bytes."""
Reads = Callable[[Sequence[Chunk]], Hashable]
"""Takes what a server sent, in the pieces in which it came; returns all that was understood, or raises an error of our own."""


def from_server(name: str, reads: Reads, streams: SearchStrategy[bytes], *, quick: int = 60) -> Target:
    """Return the target of any reader of a server's bytes: what it understands does not depend on where they were cut."""

    def check(example: tuple[bytes, bytes, list[int]]) -> str:
        out, err, cuts = example
        whole = reads([(False, out), (True, err)])
        assert reads([*((False, one) for one in _pieces(out, cuts)), *((True, one) for one in _pieces(err, cuts))]) == whole
        return "accepted"

    examples = st.tuples(streams, streams, st.lists(st.integers(0, 6000), max_size=6))
    return Target(name=name, examples=examples, prepare=lambda _folder: check, quick=quick, refuses=False)


# ---------------------------------------------------------------- answers

NONCE = "0123456789abcdef"
READY = b"\x1e@" + NONCE.encode() + b" ready\n"
FRAMES = (
    *(b"begin 1 0\n", b"begin 1 6\nunit-1", b"out 1 3\nabc", b"err 2 5\n\xff\x00abc", b"gap 1 2\n77", b"waits 1 1\nx"),
    *(b"end 1 6\nexit 0", b"end 2 8\nexit \xc2\xb2", b"end 9 11\nsignal 9 x", b"end 1 5006\nexit " + b"9" * 5001),
    *(b"want 1 0\n", b"out 1 5000\n"),
    *(READY, b"\x1e@", b"out", b"out 1", b"out 1 \n", b"OUT 1 1\nx", b"out 1 99999999999\n", b"\n", b"\xff", b"x" * 5000),
)  # fmt: skip
answered = st.lists(st.sampled_from(FRAMES), max_size=6).map(lambda frames: READY + b"".join(frames))
streams = answered | damaged(answered, FRAMES) | st.tuples(noise, answered).map(b"".join) | noise


def answers(chunks: Sequence[Chunk]) -> Hashable:
    """Read what a wrapper sent, up to what is no answer."""
    reader = FrameReader(NONCE)
    found: list[Hashable] = []
    try:
        for error, data in chunks:
            for frame in () if error else reader.feed(data):
                found.append((frame.word, frame.id, frame.payload, verdict_of(frame.text) if frame.word == "end" else None))
    except HostError as nonsense:
        found.append(nonsense.message)
    assert len(reader.before) <= 4096
    return tuple(found)


def _pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    at = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[one:two] for one, two in pairwise(at)]


# ---------------------------------------------------------------- host keys

KEY = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + b"k" * 36).decode()
OTHER = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + b"o" * 36).decode()
known_names = st.sampled_from(
    ("cp-0", "[cp-0]:2222", "*", "!cp-0,*", "cp-?", "|1|c2FsdA==|aGFzaA==", "|1|x|y|z", "|1|", "[", "CP-0", "x" * 5000)
)
known_lines = st.tuples(
    st.sampled_from(("", "@revoked ", "@cert-authority ", "@", "#")),
    known_names | hostile,
    st.sampled_from(("ssh-ed25519", "ssh-rsa", "x")) | hostile,
    st.sampled_from((KEY, OTHER, KEY + " comment", "AAAA", "=", "A", "\u0661")) | hostile,
).map(lambda parts: f"{parts[0]}{parts[1]} {parts[2]} {parts[3]}".encode("utf-8", "replace"))
good_line = st.sampled_from((f"cp-0,[cp-0]:2222 ssh-ed25519 {KEY}".encode(), f"* ssh-ed25519 {KEY} x".encode()))
known_files = (
    damaged(st.tuples(st.lists(known_lines, max_size=2).map(b"\n".join), good_line).map(b"\n".join))
    | damaged(st.lists(known_lines, max_size=4).map(b"\n".join))
    | noise
)


def known_hosts(folder: Path) -> Check:
    """known_hosts: a key is accepted only where it stands in the file."""
    count = 0

    def check(example: tuple[bytes, str]) -> str:
        nonlocal count
        count += 1
        data, name = example
        path = folder / f"known_hosts-{count % 1000}"
        path.write_bytes(data)
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            for entry in parse(line, place=f"x:{number}"):
                assert entry.key.fingerprint.startswith("SHA256:")
        hosts = KnownHosts([path])
        hosts.types(name)
        hosts.check(name, HostKey(type="ssh-ed25519", base64=KEY), server="cp-0")
        assert KEY.encode() in data
        return "accepted"

    return check


# ---------------------------------------------------------------- ssh_config

KEYWORDS = (
    *("Host *", "Host cp-0 !x", 'Host "a b"', "Host", "Match all", "Match originalhost cp-0", "Match host cp-0", "Match"),
    *("HostName %h", "HostName x"),
    *("HostName %%%n", "Port 22", "Port x", "Port 99999999999", "Port", "User me", "IdentityFile ~/.ssh/key"),
    *("IdentityFile none", "Include extra"),
    *("Include *.conf", "Include config", "Include", 'Include "', "ProxyJump a,b", "ProxyJump none"),
    *("ProxyJump me@[::1]:99999", "ProxyJump ,"),
    *("ProxyCommand nc %h", "ConnectTimeout 5", "ConnectTimeout \u0665", "ConnectTimeout -1", "UserKnownHostsFile none /x"),
    *('UserKnownHostsFile "',),
    *("IdentitiesOnly yes", "HostKeyAlias x", "Port=2222", "# comment", "\u2028", 'Host "', "Host a'b"),
    *("CanonicalizeHostname yes", "User %u%"),
)  # fmt: skip
config_lines = st.sampled_from(KEYWORDS) | st.tuples(st.sampled_from(KEYWORDS), hostile).map(" ".join)
config_files = st.lists(config_lines, max_size=7).map(lambda lines: "\n".join(lines).encode("utf-8", "replace"))
logins = st.builds(
    SshLogin,
    user=st.none() | st.just("me"),
    port=st.none() | st.just(22),
    proxy_jump=st.none() | st.sampled_from(("cp-0", "web-0", "a@b:1,c", "[::1]", "x,,y", ":", "cp-0,cp-0")),
)


def ssh_config(folder: Path) -> Check:
    """`~/.ssh/config` of the user: where it leads, or one error that says what is wrong in it."""
    (folder / "extra").write_text("Host *\nUser extra\n", "utf-8")

    def check(example: tuple[bytes, SshLogin]) -> str:
        data, login = example
        path = folder / "config"
        path.write_bytes(data)
        servers = [Server(hostname="cp-0", address="192.0.2.1", ssh=login), Server(hostname="web-0", address="192.0.2.2")]
        target = Resolver(SshConfig([path]), servers=servers).target(servers[0])
        assert target.host
        assert target.user
        return "accepted"

    return check


TARGETS = (
    from_server("answers", answers, streams),
    Target(
        name="known-hosts",
        examples=st.tuples(known_files, st.sampled_from(("cp-0", "[cp-0]:2222"))),
        prepare=known_hosts,
        quick=50,
    ),
    Target(name="ssh-config", examples=st.tuples(damaged(config_files) | noise, logins), prepare=ssh_config, quick=50),
)
