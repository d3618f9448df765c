"""What the client itself costs, SSH aside: `taskserv create --all` on servers that only pretend, `python -m benchmarks.engine`.

Everything but the connections is real: loading, planning, rendering and packing, journal, state file, logs, output. Each
figure is processor time of a process of its own, the best of three. Units take 50 to 250 ms of pretended work, so that
reports trickle in as they do from real servers.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import process_time

from provisioning.adapters.memory.hosts import Answer, FakeHosts
from provisioning.core.declare import Server
from provisioning.operations import open_project
from provisioning.operations.records import find_run
from provisioning_cli.context import App
from provisioning_cli.main import call

SHAPES = ((10, 5), (100, 5), (200, 5), (20, 50))  # servers, taskservs on each; a gate comes on top
ROUNDS = 3
GATE = "test -e ready"
SCRIPT = "#!/usr/bin/env bash\n. ./env-{name}\ninstall -m 0644 config /etc/{name}.conf\n" + "# a line of work\n" * 30
ENV = "HOST={{ server.hostname | sh }}\nADDRESS={{ server.address }}\n"
CONFIG = "{% for n in range(10) %}\nmember{{ n }}={{ server.hostname }}\n{% endfor %}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run took. Seconds are of the processor, start-up included; peak is of resident memory."""

    servers: int
    steps: int
    until_connecting_s: float
    total_s: float
    peak_mb: float
    state_writes: int
    turns: int  # of the runner: the moments at which steps started or ended

    def line(self) -> str:
        """Return a row of the table."""
        per_server, per_step = (1000 * self.total_s / count for count in (self.servers, self.steps))
        return (
            f"{self.servers:7} {self.steps:6} {1000 * self.until_connecting_s:13.0f} {per_server:14.2f} {per_step:12.2f}"
            f" {self.peak_mb:8.0f} {self.state_writes:13} {self.turns:6}"
        )


HEAD = "servers  steps  start-up, ms  ms per server  ms per step  peak MB  state writes  turns"


class TimedHosts(FakeHosts):
    """Servers that only pretend, and the moment at which they were first connected to."""

    connected_s = 0.0

    async def warm(self, servers: Sequence[Server]) -> Mapping[str, Exception | None]:
        """Connect to all."""
        self.connected_s = process_time()
        return await super().warm(servers)


def write_workspace(folder: Path, servers: int, taskservs: int) -> None:
    """Write a workspace in which every server gets every taskserv, then a gate."""
    names = [f"t{number}" for number in range(taskservs)]
    for name in names:
        profile = folder / "taskservs" / name / "default"
        profile.mkdir(parents=True)
        files = {f"install-{name}.sh": SCRIPT.format(name=name), f"env-{name}.j2": ENV, "config.j2": CONFIG}
        for file, text in files.items():
            (profile / file).write_text(text, "utf-8")
    nodes = [{"taskserv": {"name": name}} for name in names]
    gate = {"check_cmd": GATE}
    formulas = [{"id": f"f{n}", "server": f"s{n}", "nodes": nodes, "health_gate": gate} for n in range(servers)]
    hosts = [{"hostname": f"s{n}", "address": "192.0.2.1"} for n in range(servers)]
    (folder / "workspace.toml").write_text('name = "bench"\n', "utf-8")
    (folder / "servers.json").write_text(json.dumps({"servers": hosts}), "utf-8")
    (folder / "dag.json").write_text(json.dumps({"formulas": formulas}), "utf-8")


def pretending(servers: int, taskservs: int) -> TimedHosts:
    """Return servers whose units and gates take a while and print a little."""
    dice, hosts = random.Random(1), TimedHosts()
    for number in range(servers):
        for name in [f"t{each}" for each in range(taskservs)]:
            hosts.on_start(name, Answer(seconds=dice.uniform(0.05, 0.25), output=b"installed\n"), server=f"s{number}")
        hosts.on_probe(GATE, Answer(seconds=dice.uniform(0.05, 0.25)), server=f"s{number}")
    return hosts


def run_once(folder: Path, servers: int, taskservs: int) -> Cost:
    """Run the command line in this process. Start-up of Python and imports count, what the benchmark itself does not."""
    before_s = process_time()
    write_workspace(folder, servers, taskservs)
    hosts = pretending(servers, taskservs)
    own_s = process_time() - before_s
    app = App(open_project=lambda _folder, _infra: replace(open_project(folder, None), connect=lambda *_: hosts))
    code = call(["-w", str(folder), "taskserv", "create", "--all"], app)
    ended_s = process_time()
    if code != 0:
        raise SystemExit(f"the run ended with {code}")
    state = json.loads((folder / ".provisioning" / "state.json").read_text("utf-8"))
    steps = find_run(folder, "last").steps
    return Cost(
        servers=servers,
        steps=len(steps),
        until_connecting_s=hosts.connected_s - own_s,
        total_s=ended_s - own_s,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        state_writes=state["serial"],
        turns=len({at for step in steps for at in (step.started_at, step.ended_at)}),
    )


def measure(servers: int, taskservs: int) -> Cost:
    """Run in processes of their own; return the cheapest."""
    return min((_in_child(servers, taskservs) for _ in range(ROUNDS)), key=lambda cost: cost.total_s)


def _in_child(servers: int, taskservs: int) -> Cost:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [sys.executable, "-m", "benchmarks.engine", folder, str(servers), str(taskservs)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return Cost(**json.loads(Path(folder, "cost.json").read_text("utf-8")))


def main(arguments: Sequence[str]) -> None:
    """Measure every shape and print the table; with a folder and a shape, run that here and leave its cost in the folder."""
    if arguments:
        folder, servers, taskservs = arguments
        cost = run_once(Path(folder), int(servers), int(taskservs))
        Path(folder, "cost.json").write_text(json.dumps(asdict(cost)), "utf-8")
        return
    print(HEAD)
    for shape in SHAPES:
        print(measure(*shape).line(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
