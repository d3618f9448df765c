"""N09: one DAG as formulas in JSON and as Python code is one workflow, and runs through the same events.

A Dagu file has steps of its own kind, which decide more when they run; the graph is the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.engine import engine
from support.faked import FakedWorkspace

from provisioning import wiring
from provisioning.adapters.memory.hosts import Answer
from provisioning.builder import Workflow, acts
from provisioning.codec import canonical, digest
from provisioning.core import model
from provisioning.core.compile import compile_plan
from provisioning.core.dagu.compile import compile_dag
from provisioning.core.events import Event
from provisioning.core.plan import Plan, Selection
from provisioning.formats.dagu.files import read_dag
from provisioning.operations import Project

GATE = {"check_cmd": "ready", "retries": 3, "timeout_ms": 2000}


@pytest.fixture
def workspace(tmp_path: Path) -> FakedWorkspace:
    made = FakedWorkspace(tmp_path / "shop")
    made.dag(
        {"id": "etcd", "server": "etcd-0", "nodes": [{"taskserv": {"name": "etcd"}}], "health_gate": GATE},
        {
            "id": "cp",
            "server": "cp-0",
            "nodes": [{"taskserv": {"name": "os"}}, {"taskserv": {"name": "kubernetes"}}],
            "depends_on": ["etcd"],
            "health_gate": GATE,
        },
        {"id": "web", "server": "web-0", "nodes": [{"taskserv": {"name": "nginx"}}], "depends_on": ["etcd"]},
    )
    return made


def written_in_python(plan: Plan) -> model.Workflow:
    """The same as `workspace`. What is installed has the content that the plan has found."""
    content = {step.id: step.digest or "" for step in plan.steps}
    wf = Workflow("default", on_failure="fail", max_parallel=1, labels={"workspace": "test", "infra": "default"})
    etcd = wf.step("etcd/etcd", acts.taskserv("etcd-0", "etcd", formula="etcd", digest=content["etcd/etcd"]))
    healthy = wf.step("etcd/gate", acts.probe("etcd-0", "ready", formula="etcd", retries=3, timeout_ms=2000), after=etcd)
    base = wf.step("cp/os", acts.taskserv("cp-0", "os", formula="cp", digest=content["cp/os"]), after=healthy)
    control = acts.taskserv("cp-0", "kubernetes", formula="cp", digest=content["cp/kubernetes"])
    last = wf.step("cp/kubernetes", control, after=base)
    wf.step("cp/gate", acts.probe("cp-0", "ready", formula="cp", retries=3, timeout_ms=2000), after=last)
    wf.step("web/nginx", acts.taskserv("web-0", "nginx", formula="web", digest=content["web/nginx"]), after=healthy)
    return wf.build()


def both(workspace: FakedWorkspace) -> tuple[Project, model.Workflow, model.Workflow]:
    project = workspace.project()
    plan = project.plan(Selection(everything=True))
    compiled = compile_plan(plan, project.infra, max_parallel=1)  # one after the other: only then is there one order
    return project, compiled, written_in_python(plan)


def test_n09_formulas_and_python_code_compile_to_one_workflow(workspace: FakedWorkspace) -> None:
    _project, compiled, written = both(workspace)

    assert canonical(replace(compiled, source=None)) == canonical(replace(written, source=None))
    assert digest(compiled) == digest(written)
    assert (compiled.source, written.source) != (None, None)


async def test_n09_formulas_and_python_code_run_through_the_same_events(workspace: FakedWorkspace) -> None:
    project, compiled, written = both(workspace)
    workspace.hosts.on_start("kubernetes", Answer(code=3, output=b"no\n"))

    def told(events: list[Event]) -> list[object]:
        return [(one.seq, one.kind, one.step, one.attempt, one.epoch, dict(one.data)) for one in events]

    runs = []
    for flow in (compiled, written):
        actions = wiring.actions(project.infra, project.folder, workspace.hosts, lineage="l", token=1)
        it = engine(actions, slots=1)
        await it.run(flow)
        runs.append(told(it.seen.events))

    assert runs[0] == runs[1]
    assert len(runs[0]) > 15


def test_n09_a_dagu_file_has_the_same_graph(workspace: FakedWorkspace) -> None:
    _project, compiled, _written = both(workspace)
    text = "".join(
        f"  - {{name: {step.id}, command: x, depends: {[dep.step for dep in step.deps]}}}\n" for step in compiled.steps
    )
    read = read_dag(f"name: default\ntype: graph\nsteps:\n{text}".encode(), file="default.yaml")
    assert read.dag is not None, read.faults

    flow = compile_dag(read.dag)

    setup, *steps = flow.steps
    assert setup.kind == "setup"
    edges = {step.id: {dep.step: dep.on for dep in step.deps if dep.step != setup.id} for step in steps}
    assert edges == {step.id: {dep.step: dep.on for dep in step.deps} for step in compiled.steps}
    assert (flow.name, list(edges)) == (compiled.name, [step.id for step in compiled.steps])
