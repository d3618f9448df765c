"""Calls of the command line inside the test's own process, and a project that only pretends to run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from provisioning.core.declare import Dag, Formula, FormulaDep, HealthGate, Infra, Node, Profile, Server, Taskserv, Workspace
from provisioning.core.events import Event, Kind
from provisioning.core.frozen import dataclass
from provisioning.core.history import RunDetail, RunSummary, StepRecord
from provisioning.core.model import RunState, StepState
from provisioning.core.plan import Plan, Selection
from provisioning.errors import ProvisioningError
from provisioning.operations import Listener, Project, RunOptions, RunResult
from provisioning_cli.context import App
from provisioning_cli.main import NAME, call, provisioning

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a call ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed, as JSON."""
        return json.loads(self.out)


class Caller:
    """Calls the command line in one folder."""

    def __init__(self, capsys: pytest.CaptureFixture[str], root: click.Command = provisioning, name: str = NAME) -> None:
        """`project` may be set to what commands get instead of a loaded one."""
        self._root, self._name = root, name
        self.project: Project | ProvisioningError | Exception | None = None
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Answer:
        """Run one command."""
        self._capsys.readouterr()
        code = call(arguments, App(open_project=self._opener()), root=self._root, name=self._name)
        captured = self._capsys.readouterr()
        return Answer(code=code, out=captured.out, err=captured.err)

    def _opener(self) -> Callable[[Path | None, str | None], Project] | None:
        if self.project is None:
            return None

        def opened(_workspace: Path | None, _infra: str | None) -> Project:
            if isinstance(self.project, Exception):
                raise self.project
            assert self.project is not None
            return self.project

        return opened


@dataclass(slots=True)
class Script:
    """What a pretended run does, and what it was asked."""

    failure: ProvisioningError | None = None
    states: dict[str, StepState] = field(default_factory=dict)  # by step id; others succeed
    connections: dict[str, str] = field(default_factory=dict)
    selections: list[Selection] = field(default_factory=list)
    options: list[RunOptions] = field(default_factory=list)
    retried: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class PretendedProject(Project):
    """Plans for real and runs nothing."""

    script: Script

    def provision(
        self, selection: Selection, options: RunOptions, listener: Listener, show: Callable[[Plan], None]
    ) -> RunResult:
        """Pretend to run the plan."""
        self.script.selections.append(selection)
        self.script.options.append(options)
        plan = self.plan(selection)
        show(plan)
        return self._told([step.id for step in plan.steps], listener)

    def retry(self, run: str, options: RunOptions, listener: Listener) -> RunResult:
        """Pretend to run it again."""
        self.script.retried.append(run)
        self.script.options.append(options)
        return self._told(["base/redis"], listener)

    def check_connections(self, plan: Plan) -> dict[str, str]:
        """Say what the script says."""
        return {step.server: "" for step in plan.steps} | self.script.connections

    def _told(self, steps: Sequence[str], listener: Listener) -> RunResult:
        listener.on_event(Event(run="0199-run", kind=Kind.RUN_STARTED, at=START))
        listener.on_run("0199-run")
        records = []
        for number, step in enumerate(steps):
            state = self.script.states.get(step, StepState.SUCCEEDED)
            begun, ended = START + timedelta(seconds=number), START + timedelta(seconds=number + 1.5)
            listener.on_event(Event(run="r", kind=Kind.STEP_STARTED, at=begun, step=step, attempt=1))
            listener.on_output(step, "working\nnearly there\n")
            kind = Kind.STEP_SUCCEEDED if state is StepState.SUCCEEDED else Kind.STEP_FAILED
            listener.on_event(Event(run="r", kind=kind, at=ended, step=step, attempt=1, data={"exit_code": 3}))
            formula, _, name = step.partition("/")
            records.append(
                StepRecord(
                    step=step,
                    kind="gate" if name == "gate" else "node",
                    formula=formula,
                    server="s-0",
                    state=state,
                    attempts=1,
                    started_at=begun,
                    ended_at=ended,
                    position=number,
                )
            )
        summary = RunSummary(
            run_id="0199-run",
            workflow=self.infra.name,
            digest="sha256:0",
            state=RunState.FAILED if self.script.failure else RunState.SUCCEEDED,
            created_at=START,
            started_at=START,
            ended_at=START + timedelta(seconds=len(steps)),
            exit_code=self.script.failure.exit_code if self.script.failure else 0,
        )
        return RunResult(detail=RunDetail(summary=summary, steps=tuple(records)), failure=self.script.failure)


def pretended(folder: Path, script: Script | None = None) -> PretendedProject:
    """Return a project of two formulas in a row, `base` and `app`, the first of them with a gate."""
    taskserv = Taskserv(
        name="redis",
        path=str(folder),
        profiles={"default": Profile(name="default", path=str(folder), files_digest="f")},
        operations=("install", "update", "status", "remove"),
    )
    formulas = (
        Formula(
            id="base",
            server="s-0",
            nodes=(Node(id="redis", taskserv="redis"),),
            health_gate=HealthGate(check_cmd="redis-cli ping"),
        ),
        Formula(
            id="app", server="s-1", nodes=(Node(id="redis", taskserv="redis"),), depends_on=(FormulaDep(formula_id="base"),)
        ),
    )
    infra = Infra(
        workspace=Workspace(name="test", path=str(folder)),
        name="main",
        servers=(Server(hostname="s-0", address="192.0.2.1"), Server(hostname="s-1", address="192.0.2.2")),
        dag=Dag(formulas=formulas),
        taskservs={"redis": taskserv},
    )
    return PretendedProject(infra=infra, folder=folder, script=script or Script())
