"""All raw figures in one file, with the machine and the versions they belong to."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.cluster import Clustered
from benchmarks.contestants import PEERS
from benchmarks.dagfiles import Ran
from benchmarks.figures import Timed
from benchmarks.planning import Planned
from benchmarks.server import Served
from benchmarks.workflows import Flowed

PACKAGES = ("pyinfra", "ansible-core", "mitogen")
ASK = "import importlib.metadata as m, json, sys; print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What one call of the benchmarks found. A part that was not asked for is empty."""

    machine: Mapping[str, str]
    versions: Mapping[str, str]
    planning: tuple[Planned, ...] = ()
    startup: tuple[Timed, ...] = ()
    ssh: tuple[Timed, ...] = ()
    workflows: tuple[Flowed, ...] = ()
    dagfiles: tuple[Ran, ...] = ()
    cluster: tuple[Clustered, ...] = ()
    server: tuple[Served, ...] = ()
    measured_on: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())


def write(record: Record, path: Path) -> None:
    """Write it as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(record), indent=1) + "\n", "utf-8")


def read(path: Path) -> Record:
    """Read what `write` wrote."""
    facts: dict[str, Any] = json.loads(path.read_text("utf-8"))
    planning = tuple(Planned(**one) for one in facts.pop("planning"))
    startup = tuple(Timed(**one) for one in facts.pop("startup"))
    ssh = tuple(Timed(**one) for one in facts.pop("ssh"))
    workflows = tuple(Flowed(**one) for one in facts.pop("workflows", ()))
    ran = tuple(Ran(**one) for one in facts.pop("dagfiles", ()))
    served = tuple(Served(**one) for one in facts.pop("server", ()))
    clustered = tuple(Clustered(**one) for one in facts.pop("cluster", ()))
    facts |= {"dagfiles": ran, "cluster": clustered, "server": served}
    return Record(planning=planning, startup=startup, ssh=ssh, workflows=workflows, **facts)


def machine() -> dict[str, str]:
    """Return its class; nothing that would name it. The load is from before the first run."""
    return {
        "processors": f"{os.cpu_count()} x {_line('/proc/cpuinfo', 'model name', ':') or platform.machine()}",
        "memory": f"{int(_line('/proc/meminfo', 'MemTotal', ':').split()[0]) / 1e6:.0f} GB",
        "system": _line("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def versions(checkout: Path) -> dict[str, str]:
    """Return what took part, by name."""
    openssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr
    return {
        "provisioning": f"{version('provisioning')} ({_revision(checkout)})",
        "Python": platform.python_version(),
        "OpenSSH": openssh.partition(" ")[0].removeprefix("OpenSSH_").rstrip(","),
        "paramiko": version("paramiko"),
        **_peers(),
    }


def _peers() -> dict[str, str]:
    python = PEERS / "python"
    if not python.exists():
        return {}
    said = subprocess.run([python, "-c", ASK, *PACKAGES], capture_output=True, text=True, check=False)
    found: dict[str, str] = json.loads(said.stdout) if said.returncode == 0 else {}
    return found


def _revision(checkout: Path) -> str:
    said = subprocess.run(
        ["git", "-C", checkout, "describe", "--always", "--dirty=, changed"], capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "no revision"


def _line(path: str, key: str, separator: str) -> str:
    """Return the value of the first line that has this key, blank where there is none."""
    for line in Path(path).read_text("utf-8").splitlines():
        name, _, value = line.partition(separator)
        if name.strip() == key:
            return value.strip()
    return ""
