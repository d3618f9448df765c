"""Graphs as documents: of a DAG file, of a run, of a workspace's formulas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from provisioning.core.analysis import critical_path, durations
from provisioning.core.dagu.declared import DagFile, Event, Step
from provisioning.core.dagu.report import SHOWN
from provisioning.core.dagu.stored import from_plain
from provisioning.core.history import StepRecord
from provisioning.core.model import Dep, Workflow
from provisioning.core.model import Step as Node
from provisioning.formats.draw.layers import layered
from provisioning.formats.draw.picture import picture
from provisioning.formats.draw.steps import kind_of, steps_document, words_for
from provisioning.operations import Project
from provisioning.operations.dagu.listing import SOURCE
from provisioning.operations.hosting.reading import Found

Document = dict[str, object]


def of_dag(dag: DagFile) -> Document:
    """Return the steps and handlers of a DAG file, and what waits for what."""
    facts = steps_document(dag)
    layers = {one["name"]: one["layer"] for one in facts["steps"]}  # type: ignore[attr-defined]
    nodes = [_declared(step, layer=layers[step.name]) for step in dag.steps]
    nodes += [_declared(dag.handlers[event], event=event) for event in Event if event in dag.handlers]
    soft = {one["name"] for one in facts["steps"] if one["continues"]}  # type: ignore[attr-defined]
    known = {step.name for step in dag.steps}
    edges = [
        {"source": name, "target": step.name, "on": "done" if name in soft else "success"}
        for step in dag.steps
        for name in dict.fromkeys(step.depends)
        if name in known
    ]
    return {"nodes": nodes, "edges": edges}


def of_run(flow: Workflow, found: Found) -> Document:
    """Return the steps of a run as they stand, and what waits for what; those on the longest path are critical."""
    dagu = found.detail.summary.source == SOURCE
    wanted = [step for step in flow.steps if not dagu or step.kind in SHOWN]
    ids = {step.id for step in wanted}
    records = {one.step: one for one in found.detail.steps}
    states = {one.record.step: one.status.value for one in found.report.steps} if found.report is not None else {}
    critical = _critical(flow, records)
    links = _links(flow.steps, ids)
    layers = _layers(wanted, links)
    nodes = [
        {
            "id": step.id,
            "label": step.id,
            "approval": bool(step.gates),
            **_doing(step),
            "state": states.get(step.id) or (records[step.id].state.value if step.id in records else ""),
            "server": step.labels.get("server", ""),
            "group": step.labels.get("formula", ""),
            "critical": step.id in critical,
            "layer": layers[step.id],
        }
        for step in wanted
    ]
    return {"nodes": nodes, "edges": [{"source": link.step, "target": id, "on": link.on.value} for id, link in links]}


def of_project(project: Project) -> Document:
    """Return the formulas of a workspace with their states, and what waits for what."""
    if project.infra.dag is None:
        return {"nodes": [], "edges": []}
    drawn = picture(project.infra.dag, None, project.book())
    layers = {index: number for number, members in enumerate(drawn.layers) for index in members}
    nodes = [
        {
            "id": box.id,
            "label": box.id,
            "kind": "formula",
            "does": ", ".join(box.nodes),
            "state": box.state,
            "server": box.server,
            "group": "",
            "approval": False,
            "layer": layers.get(index, 0),
        }
        for index, box in enumerate(drawn.boxes)
    ]
    edges = [
        {"source": drawn.boxes[edge.tail].id, "target": drawn.boxes[edge.head].id, "on": edge.condition} for edge in drawn.edges
    ]
    return {"nodes": nodes, "edges": edges}


def _declared(step: Step, *, layer: int = 0, event: Event | None = None) -> Document:
    return {
        "id": step.name if event is None else f"({event.value})",
        "label": step.name,
        "kind": kind_of(step.doing) if event is None else "handler",
        "does": words_for(step.doing),
        "line": step.line,
        "approval": step.approval is not None,
        "layer": layer,
    }


def _doing(step: Node) -> Document:
    """Return what kind of step it is, what it does in a few words, and whether a person is asked before or within it."""
    if "step" not in step.action.settings:
        return {"kind": step.kind, "does": step.labels.get("taskserv", "")}
    declared = from_plain(step.action.settings["step"], Step)
    kind = "handler" if step.kind == "handler" else kind_of(declared.doing)
    asked = bool(step.gates) or declared.approval is not None  # who is asked before it is a step of its own, not shown
    return {"kind": kind, "does": words_for(declared.doing), "line": declared.line, "approval": asked}


def _critical(flow: Workflow, records: Mapping[str, StepRecord]) -> frozenset[str]:
    """Return what decides how long the run takes: by what steps took, else by what they are expected to take."""
    took = {id: [spent] for id, one in records.items() if (spent := _spent(one.started_at, one.ended_at)) is not None}
    return frozenset(critical_path(flow, durations(flow, took)).chain)


def _spent(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start is not None and end is not None else None


def _links(steps: Iterable[Node], ids: set[str]) -> list[tuple[str, Dep]]:
    """Return what shown steps wait for: (step, dependency). Ways through steps that nobody is shown stay ways."""
    by_id = {step.id: step for step in steps}

    def shown(deps: Iterable[Dep]) -> dict[str, Dep]:
        found: dict[str, Dep] = {}
        for dep in deps:  # few hidden ones come in a row
            found |= {dep.step: dep} if dep.step in ids else shown(by_id[dep.step].deps)
        return found

    wanted = (step for step in by_id.values() if step.id in ids and step.handler is None)
    return [(step.id, dep) for step in wanted for dep in shown(step.deps).values()]


def _layers(steps: Iterable[Node], links: Iterable[tuple[str, Dep]]) -> dict[str, int]:
    index = {step.id: number for number, step in enumerate(steps)}
    found = layered(len(index), [(index[link.step], index[id]) for id, link in links])
    numbers = {member: number for number, members in enumerate(found) for member in members}
    return {id: numbers.get(at, 0) for id, at in index.items()}
