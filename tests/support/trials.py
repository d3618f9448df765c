"""Workspaces installed on servers that are being disturbed, run again, and judged."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.hosts import Host
from lab.laboratory import Lab
from support.clusters import SHIPPED, LabWorkspace
from support.real import Ended, formula
from support.strikes import Strike, strike_all
from support.verdicts import Judged, Trial, judge, read_notes

import provisioning

NOTES = "/var/lib/notes"
NOTING = f"""#!/usr/bin/env bash
# Notes on the disk when the taskserv's own script begins and how it ends. That one needs provisioning-lib.sh.
note() {{
    local boot
    boot=$(</proc/sys/kernel/random/boot_id)
    printf '%s\\n' "$1 $PROVISIONING_STEP $PROVISIONING_RUN_ID $PROVISIONING_ATTEMPT $boot${{2:+ $2}}" >>{NOTES}
    sync {NOTES} "$(dirname {NOTES})"
}}
note begin
code=0
bash ./noted.sh "$@" || code=$?
note end "$code"
exit "$code"
"""
CHAIN = 8
TASKSERVS = Path(provisioning.__file__).parent / "taskservs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of one trial. `wrong` is what must not be; `story` is everything there is to know about it."""

    wrong: Sequence[str]
    judged: Judged
    struck: Sequence[Strike]
    took_s: float
    story: str

    @property
    def hits(self) -> int:
        """Faults that met a connection in use."""
        return sum(strike.hit for strike in self.struck)


class Trials:
    """A workspace on a lab whose scripts take notes; each trial starts from nothing."""

    def __init__(self, lab: Lab, workspace: LabWorkspace) -> None:
        self.lab, self.workspace = lab, workspace

    def run(self, strikes: Sequence[Strike], *, heals: bool = True) -> Report:
        """Install under these faults, heal, run again, judge. Raises AssertionError when a run does not end."""
        began_s = time.monotonic()
        self.settle(heals)
        child = self.workspace.start("taskserv", "create", "-o", "json", "--all")
        with ThreadPoolExecutor(1) as threads:
            ending = threads.submit(self.workspace.finish, child, timeout_s=900)
            struck = strike_all(self.lab.hosts, strikes, child)
        first, took_s, states = ending.result(), time.monotonic() - began_s, self.workspace.states()
        self.settle(True)
        second = self.workspace.create("--all", timeout_s=400)
        texts = [host.execute("cat", NOTES, check=False) for host in self.lab.hosts]
        notes = [note for text in texts for note in read_notes(text)]
        judged = judge(Trial(first=facts(first), second=facts(second), notes=notes, states=states, heals=heals))
        wrong = [*judged.wrong, *(f"late: {strike}" for strike in struck if strike.late), *self.ill()]
        story = "\n".join([*map(str, struck), *texts, first.err, brief(first), second.err, brief(second), str(states)])
        return Report(wrong=wrong, judged=judged, struck=struck, took_s=took_s, story=story)

    def wipe(self) -> None:
        """Back to where nothing ever ran."""
        with ThreadPoolExecutor(len(self.lab.hosts)) as threads:
            list(threads.map(Host.wipe, self.lab.hosts))
        shutil.rmtree(self.workspace.folder / ".provisioning")
        self.workspace.trust()

    def settle(self, heals: bool) -> None:  # noqa: FBT001
        """Set how long a run waits: less where it waits in vain."""

    def ill(self) -> list[str]:
        """Return what does not work at the end, though it was installed."""
        return []


class ChainTrials(Trials):
    """On each server a chain of scripts that do nothing for a while, and a gate that counts them."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        super().__init__(lab, LabWorkspace(folder / "workspace", lab))
        for number in range(CHAIN):
            self.workspace.taskserv(f"link-{number}", "echo working; sleep 1.5")
            take_notes(f"link-{number}", self.workspace.folder / "taskservs" / f"link-{number}")
        names = [f"link-{number}" for number in range(CHAIN)]
        gate = {"check_cmd": f"test $(grep --count '^end .* 0$' {NOTES}) -ge {CHAIN}"}
        self.workspace.dag(*(formula(name, name, *names, health_gate=gate) for name in self.workspace.names))


class EtcdTrials(Trials):
    """The workspace `etcd`."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        super().__init__(lab, LabWorkspace.shipped("etcd", folder / "workspace", lab))
        for name in ("os", "etcd"):
            copied = self.workspace.folder / "taskservs" / name
            shutil.copytree(TASKSERVS / name, copied)
            take_notes(name, copied)

    def settle(self, heals: bool) -> None:  # noqa: FBT001
        """See Trials."""
        dag = (SHIPPED / "etcd" / "dag.ncl").read_text("utf-8")
        assert "timeout_ms = 180000" in dag
        if not heals:
            dag = dag.replace("timeout_ms = 180000", "timeout_ms = 45000")
        (self.workspace.folder / "dag.ncl").write_text(dag, "utf-8")
        settings = "" if heals else "\n[settings.ssh]\nreconnect_s = 8\nconnect_timeout_s = 5\n"
        text = (SHIPPED / "etcd" / "workspace.toml").read_text("utf-8")
        (self.workspace.folder / "workspace.toml").write_text(text + settings, "utf-8")

    def ill(self) -> list[str]:
        """Return the members that do not find all healthy."""
        found = {host: healthy_members(host) for host in self.lab.hosts}
        return [f"{host} finds {count} healthy members" for host, count in found.items() if count != len(found)]


def take_notes(name: str, taskserv: Path) -> None:
    """Let a taskserv's script be called by one that notes its begin and its end."""
    script = taskserv / "default" / f"install-{name}.sh"
    script.rename(script.with_name("noted.sh"))
    script.write_text(NOTING, "utf-8")


def healthy_members(host: Host) -> int:
    """Return how many members one of them finds healthy."""
    said = host.execute("etcd-local", "endpoint", "health", "--cluster", "-w", "json", check=False)
    return sum(member["health"] for member in json.loads(said)) if said.strip() else 0


def facts(ended: Ended) -> Mapping[str, Any]:
    """Return what a run printed; one that was refused has no steps."""
    return {"run_id": "", "steps": [], **json.loads(ended.out), "exit_code": ended.code}


def brief(ended: Ended) -> str:
    """Return a run's steps, one line each."""
    keys = ("id", "state", "attempts", "exit_code", "started_at", "ended_at", "reason", "error")
    lines = [" ".join(f"{step.get(key)}" for key in keys) for step in facts(ended)["steps"]]
    return "\n".join([f"exit {ended.code}", *lines])
