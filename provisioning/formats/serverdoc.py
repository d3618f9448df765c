"""The servers document: a parsed `servers.json` or evaluated `servers.ncl` to records, with every fault."""

from __future__ import annotations

import re
from typing import cast

from provisioning.core.check import check_servers
from provisioning.core.declare import NAME_PATTERN, Become, Server, SshLogin
from provisioning.core.faults import Fault, Severity
from provisioning.core.frozen import dataclass
from provisioning.formats.explain import explain
from provisioning.formats.reader import Fields, Item, Reader

_DOCUMENT = frozenset({"$schema", "servers"})
_SERVERS, _HOSTNAME, _METHOD = map(frozenset, (("servers",), ("hostname",), ("method",)))
_BECOME = _METHOD | {"password"}
# the same rules as in `servers.schema.json`, which words the fault; a test holds the two together
_ADDRESS = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,254}")
_NAME = re.compile(NAME_PATTERN)
# What a shell would act on is refused: `server ssh` hands both to OpenSSH, whose -J goes through a shell.
_USER = re.compile(r"""(?!-)[^\s\x00-\x1f\x7f'"`;&<>|(){}]{1,255}""")
_JUMP = re.compile(r"""(?!-)[^\s\x00-\x1f\x7f'"`;&<>|(){}$\\]{1,1024}""")
_KEY_PATH = re.compile(r"[^\x00-\x1f]{1,4096}")
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f]+")
_ADDRESSES = ("address", "public_ip", "private_ip")
_SERVER = frozenset({"hostname", *_ADDRESSES, "ssh", "site", "labels"})
_SSH = frozenset({"user", "port", "key_path", "proxy_jump", "become"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServersDocument:
    """The servers as far as they could be read, and every fault; usable only without errors."""

    servers: tuple[Server, ...]
    faults: tuple[Fault, ...] = ()


def read_servers(value: object) -> ServersDocument:
    """Return the servers of a parsed document with all its faults, which have paths but no file and no line yet."""
    reader = Reader()
    fields = reader.record(value, _DOCUMENT, _SERVERS)
    if "$schema" in fields and not isinstance(fields["$schema"], str):
        reader.note()
    servers = []
    for index, item in enumerate(reader.items(fields, "servers")):
        reader.item = ("servers", index)
        servers.append(_server(reader, item))
    faults = [*explain("servers", value, reader.deviations, _definition), *check_servers(servers)]
    if not servers and not faults:
        message = "found no servers, expected at least one"
        faults.append(Fault(code="no_servers", message=message, path="$.servers", severity=Severity.WARNING))
    return ServersDocument(servers=tuple(servers), faults=tuple(faults))


def _definition(item: Item) -> str:
    return "server" if item else ""


def _server(reader: Reader, value: object) -> Server:
    fields = reader.record(value, _SERVER, _HOSTNAME)
    if isinstance(value, dict) and not any(name in fields for name in _ADDRESSES):
        reader.note()
    return Server(
        hostname=reader.text(fields, "hostname"),
        address=reader.matching(fields, "address", _ADDRESS),
        public_ip=reader.matching(fields, "public_ip", _ADDRESS),
        private_ip=reader.matching(fields, "private_ip", _ADDRESS),
        ssh=_ssh(reader, fields["ssh"]) if "ssh" in fields else SshLogin(),
        site=reader.matching(fields, "site", _NAME),
        labels=_labels(reader, fields),
    )


def _ssh(reader: Reader, value: object) -> SshLogin:
    fields = reader.record(value, _SSH)
    port = reader.whole(fields, "port")
    if port is not None and not 1 <= port <= 65_535:
        reader.note()
    return SshLogin(
        user=reader.matching(fields, "user", _USER),
        port=port,
        key_path=reader.matching(fields, "key_path", _KEY_PATH),
        proxy_jump=reader.matching(fields, "proxy_jump", _JUMP),
        become=_become(reader, fields["become"]) if "become" in fields else None,
    )


def _become(reader: Reader, value: object) -> Become | None:
    if value == "sudo":
        return Become()
    fields = reader.record(value, _BECOME, _METHOD)
    if fields.get("method") != "sudo":
        reader.note()
        return None
    return Become(password=reader.matching(fields, "password", _REFERENCE))


def _labels(reader: Reader, fields: Fields) -> dict[str, str]:
    labels = reader.mapping(fields, "labels")
    if not all(isinstance(value, str) for value in labels.values()):
        reader.note()
        return {}
    return cast("dict[str, str]", dict(labels))
