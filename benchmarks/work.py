"""The work W(H): on each of H servers five taskservs in order, then a gate; and whether it was done.

A taskserv is a bundle of three small files, two of them rendered for the server, and its script. The script writes below the
server's DEMO_ROOT, so whatever a contestant claims, the effect is looked at afterwards.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

from servers import ThrowawayServers

TASKSERVS = ("base", "certificates", "storage", "database", "web")
GATE = f"""test "$(tail -n 1 "$DEMO_ROOT/installed")" = {TASKSERVS[-1]} && echo open >>"$DEMO_ROOT/gate\""""

SCRIPT = Template("""\
#!/usr/bin/env bash
# Puts the configuration in its place, checks it, and notes that it was here.
set -euo pipefail
. ./env-$name
mkdir -p "$$DEMO_ROOT/etc/$name"
install -m 644 $name.conf "$$DEMO_ROOT/etc/$name/$name.conf"
grep -q "^listen = $$SERVICE_ADDRESS:$port\\$$" "$$DEMO_ROOT/etc/$name/$name.conf"
echo $name >>"$$DEMO_ROOT/installed"
echo "$name is installed on $$SERVICE_HOST"
""")
ENVIRONMENT = Template("SERVICE_NAME=$name\nSERVICE_HOST={{ server.hostname }}\nSERVICE_ADDRESS={{ server.address }}\n")
CONFIGURATION = Template("""\
# $name on {{ server.hostname }}
[service]
name = $name
listen = {{ server.address }}:$port
workers = 4
log = /var/log/$name/{{ server.hostname }}.log
{% for number in range(8) %}
[peer.{{ number }}]
name = {{ server.hostname }}-{{ number }}
weight = {{ number + 1 }}
{% endfor %}
""")


class WorkError(RuntimeError):
    """A contestant failed, or did not do what it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One server, as every contestant is told of it."""

    hostname: str
    address: str
    port: int
    user: str
    root: str  # its DEMO_ROOT
    home: str  # where the program keeps claims on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a contestant has to do. `folder` is its own, fresh for each run."""

    folder: Path
    machines: tuple[Machine, ...]
    key: Path
    known_hosts: Path

    @property
    def bundles(self) -> Path:
        """Has a folder per taskserv, with its three files as they are before rendering."""
        return self.folder / "bundles"


def machines(servers: ThrowawayServers, count: int) -> tuple[Machine, ...]:
    """Return the first `count` of the running servers."""
    some = [servers.server(name) for name in servers.names[:count]]
    return tuple(
        Machine(hostname=one.name, address=one.address, port=one.port, user=one.user, root=str(one.root), home=str(one.home))
        for one in some
    )


def prepare(folder: Path, servers: ThrowawayServers, count: int) -> Job:
    """Give the servers empty folders and lay out a job for a contestant: `bundles/` and `job.json`.

    What was there before is put aside and deleted with the servers, for the reason that `rounds.spread` gives.
    """
    job = Job(
        folder=folder,
        machines=machines(servers, count),
        key=servers.client_key,
        known_hosts=servers.folder / "known_hosts",
    )
    for machine in job.machines:
        for place in (machine.root, machine.home):
            _put_aside(Path(place), servers.folder / "aside")
        Path(machine.root).mkdir(parents=True)
    for number, name in enumerate(TASKSERVS):
        (job.bundles / name).mkdir(parents=True)
        for file, text in bundle(name, 7000 + number).items():
            (job.bundles / name / file).write_text(text, "utf-8")
    (folder / "job.json").write_text(json.dumps(_facts(job)), "utf-8")
    return job


def _put_aside(place: Path, aside: Path) -> None:
    if place.exists():
        aside.mkdir(exist_ok=True)
        place.rename(Path(tempfile.mkdtemp(dir=aside)) / place.name)


def bundle(name: str, port: int) -> Mapping[str, str]:
    """Return a taskserv's files by name; those that end in .j2 are templates."""
    return {
        f"install-{name}.sh": SCRIPT.substitute(name=name, port=port),
        f"env-{name}.j2": ENVIRONMENT.substitute(name=name),
        f"{name}.conf.j2": CONFIGURATION.substitute(name=name, port=port),
    }


def verify(job: Job) -> None:
    """Raise WorkError unless every server has all five, each once and in order, its configuration, and a gate that opened."""
    from jinja2 import Template as Jinja

    templates = {name: Jinja((job.bundles / name / f"{name}.conf.j2").read_text("utf-8")) for name in TASKSERVS}
    for machine in job.machines:
        root = Path(machine.root)
        _same(f"{machine.hostname}: installed", _words(root / "installed"), TASKSERVS)
        _same(f"{machine.hostname}: gate", _words(root / "gate")[:1], ("open",))
        for name, template in templates.items():
            there = _words(root / "etc" / name / f"{name}.conf")
            _same(f"{machine.hostname}: {name}.conf", there, _split(template.render(server=asdict(machine))))


def _facts(job: Job) -> dict[str, object]:
    return {
        "machines": [asdict(machine) for machine in job.machines],
        "taskservs": TASKSERVS,
        "gate": GATE,
        "bundles": str(job.bundles),
        "key": str(job.key),
        "known_hosts": str(job.known_hosts),
    }


def _same(what: str, found: Sequence[str], wanted: Sequence[str]) -> None:
    if tuple(found) != tuple(wanted):
        raise WorkError(f"{what}: expected {' '.join(wanted)[:200]!r}, found {' '.join(found)[:200]!r}")


def _words(path: Path) -> tuple[str, ...]:
    return _split(path.read_text("utf-8")) if path.is_file() else ()


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())
