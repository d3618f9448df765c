"""Where a server is and as whom we log in: its own `ssh` fields, else `~/.ssh/config`, else OpenSSH's defaults."""

from __future__ import annotations

import getpass
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.adapters.ssh.lean import allow_commands, load_paramiko
from provisioning.core.declare import Become, Server, SshLogin
from provisioning.core.frozen import dataclass
from provisioning.errors import ConfigError, HostError

if TYPE_CHECKING:
    from paramiko import SSHConfig

DEFAULT_KEYS = ("id_rsa", "id_ecdsa", "id_ed25519")  # OpenSSH's order, without hardware keys
_INCLUDE_DEPTH = 16  # as OpenSSH
_JUMPS = 8
_NOT_OURS = frozenset({"host", "sendenv", "hashknownhosts", "gssapiauthentication"})  # of whom nobody here asks
_BY_NAME = frozenset({"match", "hostname", "canonicalizehostname"})
_JUMP = re.compile(r"^(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d+))?/?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One hop, resolved."""

    name: str  # as the user calls it
    host: str
    port: int
    user: str
    host_key_name: str  # what known_hosts calls it
    key_paths: tuple[Path, ...] = ()  # asked for by name; empty: the default ones
    only_these: bool = False  # no key but `key_paths`, wherever it is kept
    known_hosts: tuple[Path, ...] = ()
    jumps: tuple[Target, ...] = ()  # from our side outward
    become: Become | None = None
    connect_timeout_s: float | None = None
    password: str | None = field(default=None, repr=False)  # for the login, besides keys


class SshConfig:
    """The OpenSSH client configuration, read once. Files that do not exist are empty; a damaged one is a ConfigError."""

    def __init__(self, paths: Sequence[Path] | None = None) -> None:
        self.home = Path("~/.ssh").expanduser()
        self._parsed: dict[tuple[bool, ...], SSHConfig] = {}
        files = paths or (self.home / "config", Path("/etc/ssh/ssh_config"))
        lines = (line for path in files for line in _read(path, path.parent))
        self._lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        options = [_option(line) for line in self._lines]
        self._says_nothing = all(word in _NOT_OURS and rest for word, rest in options)
        self._blocks = [_words(rest) for word, rest in options if word == "host"]
        self._has_match = any(word == "match" for word, _ in options)
        self._same_for_all = not any("%" in rest or word in _BY_NAME for word, rest in options)
        self._found: dict[tuple[bool, ...], Mapping[str, object]] = {}

    def lookup(self, *names: str) -> Mapping[str, object]:
        """Return the options, keys in lower case, for a host known by any of `names`; the first is %h and %n."""
        if self._says_nothing:  # as where nobody has changed what the distribution brings
            return {}
        load_paramiko()
        from paramiko.ssh_exception import ConfigParseError

        try:
            return self._options(tuple(_matches(patterns, names) for patterns in self._blocks), names[0])
        except ConfigParseError as wrong:
            raise ConfigError(f"the ssh configuration cannot be read: {wrong}") from wrong

    def _options(self, chosen: tuple[bool, ...], name: str) -> Mapping[str, object]:
        """Return the options that the chosen blocks have, looked up once for all hosts where no line depends on the name."""
        if not self._same_for_all:
            return dict(self._parse(chosen).lookup(name))
        if chosen not in self._found:
            self._found[chosen] = dict(self._parse(chosen).lookup(name))
        return {**self._found[chosen], "hostname": name}

    def _parse(self, chosen: tuple[bool, ...]) -> SSHConfig:
        """Parse, once for all hosts that the same blocks are for."""
        from paramiko import SSHConfig

        if self._has_match:
            allow_commands()
        if chosen not in self._parsed:
            self._parsed[chosen] = SSHConfig.from_text("\n".join(_decided(self._lines, chosen)))
        return self._parsed[chosen]


class Resolver:
    """Turns servers into targets. `servers` are those that a jump may name."""

    def __init__(self, config: SshConfig, *, servers: Sequence[Server] = (), known_hosts: Sequence[Path] = ()) -> None:
        self._config = config
        self._servers = {server.hostname: server for server in servers}
        self._known_hosts = tuple(known_hosts)
        self._named: dict[str, tuple[Path, ...]] = {}  # files by how the configuration names them: nearly always the same

    def target(self, server: Server, *, address: str | None = None) -> Target:
        """Return the target of a server. Raises HostError when it has no such address."""
        return self._server(server, address, depth=0)

    def _server(self, server: Server, address: str | None, *, depth: int) -> Target:
        where = server.address_for(address)
        if not where:
            raise HostError(
                f"server {server.hostname} has no {address or ''} address".replace("  ", " "),
                hint="give it one in servers.ncl or servers.json",
                server=server.hostname,
            )
        return self._resolve(server.hostname, where, server.ssh, depth=depth)

    def _resolve(self, name: str, where: str, login: SshLogin, *, depth: int) -> Target:
        if depth > _JUMPS:
            raise HostError(f"more than {_JUMPS} jumps on the way to {name}", server=name)
        options = self._config.lookup(where, name) if name != where else self._config.lookup(where)
        host = str(self._config.lookup(where).get("hostname", where))  # `Host NAME` may not move an address that we were given
        jump = login.proxy_jump if login.proxy_jump is not None else str(options.get("proxyjump", ""))
        if login.proxy_jump is None and not jump and options.get("proxycommand"):
            raise ConfigError(f"{name}: ProxyCommand is not supported", hint="use ProxyJump, or ssh.proxy_jump of the server")
        port = login.port or _number("Port", str(options.get("port", 22)), most=65535)
        timeout = options.get("connecttimeout")
        return Target(
            name=name,
            host=host,
            port=port,
            user=login.user or str(options.get("user", "")) or getpass.getuser(),
            host_key_name=str(options.get("hostkeyalias", "")) or known_name(host, port),
            key_paths=(Path(login.key_path).expanduser(),) if login.key_path else tuple(_identities(options)),
            only_these=bool(login.key_path) or options.get("identitiesonly") == "yes",
            known_hosts=(*self._known_hosts, *self._files_of_keys(options)),
            jumps=self._jumps(jump, depth=depth),
            become=login.become,
            connect_timeout_s=_number("ConnectTimeout", str(timeout), most=86400) if timeout not in {None, "none"} else None,
        )

    def _files_of_keys(self, options: Mapping[str, object]) -> Iterator[Path]:
        """Yield the files that OpenSSH would read. `none` and /dev/null are empty, not a reason to accept anything."""
        home = self._config.home
        for key, default in (
            ("userknownhostsfile", f"{home}/known_hosts {home}/known_hosts2"),
            ("globalknownhostsfile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"),
        ):
            text = str(options.get(key, default))
            if text not in self._named:
                self._named[text] = tuple(Path(name).expanduser() for name in _words(text) if name != "none")
            yield from self._named[text]

    def _jumps(self, text: str, *, depth: int) -> tuple[Target, ...]:
        """Return the hops. Only the first may bring jumps of its own, as in OpenSSH: the others are reached through it."""
        if text in {"", "none"}:
            return ()
        first, *rest = [self._hop(part.strip(), depth=depth + 1) for part in text.split(",")]
        return (*first.jumps, first, *rest)

    def _hop(self, text: str, *, depth: int) -> Target:
        match = _JUMP.match(text)
        if match is None:
            raise ConfigError(f"jump host {text!r} is not [user@]host[:port]")
        where = match["v6"] or match["host"]
        if where in self._servers and not match["user"] and not match["port"]:
            return self._server(self._servers[where], None, depth=depth)
        login = SshLogin(user=match["user"], port=int(match["port"]) if match["port"] else None)
        return self._resolve(where, where, login, depth=depth)


def _number(option: str, text: str, *, most: int) -> int:
    """Return a number of the configuration. Raises ConfigError."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= most:
        raise ConfigError(f"the ssh configuration has {option} {text[:40]!r}; expected a number from 1 to {most}")
    return int(text)


def _words(text: str) -> list[str]:
    """Return the words of a line, quotes removed. Raises ConfigError."""
    try:
        return shlex.split(text)
    except ValueError as wrong:
        raise ConfigError(f"the ssh configuration has {text[:60]!r}: {str(wrong).lower()}") from wrong


def known_name(host: str, port: int) -> str:
    """Return what known_hosts calls a host on a port."""
    return host if port == 22 else f"[{host}]:{port}"


def _identities(options: Mapping[str, object]) -> Iterator[Path]:
    value = options.get("identityfile", ())
    for path in value if isinstance(value, list) else ():
        if path != "none":
            yield Path(os.path.expandvars(path)).expanduser()


def _read(path: Path, base: Path, depth: int = 0) -> Iterator[str]:
    """Yield the lines with Include replaced by what it names; a block goes on after it."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as wrong:
        raise ConfigError(f"{path} cannot be read: {wrong}") from wrong
    block = "Host *"
    for line in lines:
        word, rest = _option(line)
        if word in {"host", "match"}:
            block = line
        if word != "include":
            yield line
            continue
        if depth >= _INCLUDE_DEPTH:
            raise ConfigError(f"{path} includes itself, or too deeply")
        for pattern in _words(rest):
            where = Path(pattern).expanduser()
            for found in sorted(where.parent.glob(where.name) if where.is_absolute() else base.glob(pattern)):
                yield from _read(found, base, depth + 1)
        yield block


def _option(line: str) -> tuple[str, str]:
    word, _, rest = line.strip().replace("=", " ", 1).partition(" ")
    return word.lower(), rest.strip()


def _decided(lines: Sequence[str], chosen: Sequence[bool]) -> Iterator[str]:
    """Yield the lines with each `Host` line replaced by whether it was chosen; paramiko knows one name per host only."""
    whether = iter(chosen)
    for line in lines:
        yield line if _option(line)[0] != "host" else "Host *" if next(whether) else "Host !*"


def _matches(patterns: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a pattern means one of the names, and no pattern forbids one."""
    if any(pattern.startswith("!") and fnmatchcase(name, pattern[1:]) for pattern in patterns for name in names):
        return False
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)
