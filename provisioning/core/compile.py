"""Compile a plan into the workflow that the engine runs.

The edges are those of the plan (`core.edges`). What else a formula DAG means to the engine is decided here: keys, pools,
retries, what may start after a failure, and which failure makes the run `partial` only.
"""

from __future__ import annotations

from collections.abc import Mapping

from provisioning.core.collecting import uncollected
from provisioning.core.declare import Condition, DepKind, Formula, HealthGate, Infra, Node, OnError, Taskserv
from provisioning.core.edges import GATE, Part, conditional, in_order, step_edges, step_id
from provisioning.core.frozen import dataclass
from provisioning.core.inputs import given_params
from provisioning.core.model import ANYWHERE, Action, Dep, OnFailure, Placement, Policy, Retry, Source, Step, Workflow
from provisioning.core.plan import INSTALL, REMOVING, Plan, PlanStep
from provisioning.core.scope import formulas_of

NODE_TIMEOUT_S = 1800.0


@uncollected()
def compile_plan(plan: Plan, infra: Infra, *, keep_going: bool = False, max_parallel: int = 0) -> Workflow:
    """Return the workflow of a plan that was made for `infra`.

    A failure stops the run, or with `keep_going` only what depends on it. `max_parallel` is for the whole run, 0 is no
    limit. Deterministic: one plan, one workflow.
    """
    formulas = {formula.id: formula for formula in formulas_of(infra, plan.selection)}
    parts = _parts(plan, formulas)
    compiler = _Compiler(
        infra=infra,
        plan=plan,
        parts=parts,
        edges=step_edges(parts, backward=plan.selection.operation in REMOVING),
        places={server.hostname: Placement(target=server.site) if server.site else ANYWHERE for server in infra.servers},
        nodes={step_id(id, node.id): node for id, part in parts.items() for node in part.nodes},
        late=_late(parts),
    )
    return Workflow(
        name=infra.name,
        steps=tuple(compiler.step(step) for step in plan.steps),
        pools={_pool(id): part.formula.max_parallel for id, part in parts.items() if part.formula.parallel and part.nodes},
        policy=Policy(on_failure=OnFailure.SKIP_DOWNSTREAM if keep_going else OnFailure.FAIL, max_parallel=max_parallel),
        labels={"workspace": infra.workspace.name, "infra": infra.name},
        source=Source(kind="formula", uri=f"{infra.workspace.name}/{infra.name}"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiler:
    infra: Infra
    plan: Plan
    parts: Mapping[str, Part]
    edges: Mapping[str, tuple[Dep, ...]]
    places: Mapping[str, Placement]
    nodes: Mapping[str, Node]
    late: frozenset[str]  # steps that may start while the run halts

    def step(self, planned: PlanStep) -> Step:
        formula = self.parts[planned.formula].formula
        if planned.kind == "gate" and formula.health_gate:
            return self._gate(planned, formula.health_gate)
        return self._node(planned, formula, self.nodes[planned.id])

    def _gate(self, planned: PlanStep, gate: HealthGate) -> Step:
        return Step(
            id=planned.id,
            kind="gate",
            action=Action(type="probe", settings=_gate_settings(planned, gate)),
            deps=self.edges[planned.id],
            after_failure=planned.id in self.late,
            placement=self.places.get(planned.server, ANYWHERE),
            labels={"formula": planned.formula, "server": planned.server},
        )

    def _node(self, planned: PlanStep, formula: Formula, node: Node) -> Step:
        taskserv = self.infra.taskservs[node.taskserv]
        timeout_s = node.timeout_s or taskserv.timeout_s or NODE_TIMEOUT_S
        return Step(
            id=planned.id,
            kind="node",
            action=Action(type="taskserv", settings=self._settings(planned, node, taskserv, timeout_s)),
            deps=self.edges[planned.id],
            optional=node.on_error is OnError.CONTINUE,
            after_failure=planned.id in self.late,
            unchanged=not planned.runs,
            retry=Retry(attempts=node.max_retries + 1) if node.on_error is OnError.RETRY else None,
            timeout_s=timeout_s,
            placement=self.places.get(planned.server, ANYWHERE),
            pools=(_pool(formula.id),) if formula.parallel else (),
            keys=() if node.parallel else (f"server:{planned.server}",),
            labels=self._labels(planned),
        )

    def _settings(self, planned: PlanStep, node: Node, taskserv: Taskserv, timeout_s: float) -> dict[str, object]:
        return {
            "server": planned.server,
            "formula": planned.formula,
            "taskserv": planned.taskserv,
            "profile": planned.profile,
            "operation": planned.operation,
            "digest": planned.digest,
            "timeout_s": timeout_s,
            "idempotent": taskserv.idempotent or planned.again,
            "fresh": planned.again or planned.operation != INSTALL,
            "upload_only": self.plan.selection.upload,
            "params": given_params(taskserv, node, self.infra.workspace.params),
            "resumes": planned.resumes,
        }

    def _labels(self, planned: PlanStep) -> dict[str, str]:
        """Return what the records of a step go by. What was only delivered must not be recorded as installed."""
        return {
            "formula": planned.formula,
            "server": planned.server,
            "taskserv": planned.taskserv or "",
            "profile": planned.profile or "",
            "operation": "upload" if self.plan.selection.upload else planned.operation or "",
            "digest": planned.digest or "",
        }


def _gate_settings(planned: PlanStep, gate: HealthGate) -> dict[str, object]:
    return {
        "server": planned.server,
        "formula": planned.formula,
        "check_cmd": gate.check_cmd,
        "retries": gate.retries,
        "timeout_ms": gate.timeout_ms,
        "probe_timeout_ms": gate.probe_timeout_ms,
        "interval_ms": gate.interval_ms,
        "expected": gate.expected,
        "address": gate.address,
    }


def _pool(formula: str) -> str:
    return f"formula:{formula}"


def _parts(plan: Plan, formulas: Mapping[str, Formula]) -> dict[str, Part]:
    """Return what of each formula is in the plan, in declaration order, as the planner had it."""
    planned = {step.id: step for step in plan.steps}
    used = {step.formula for step in plan.steps}
    parts: dict[str, Part] = {}
    for formula in formulas.values():
        if formula.id not in used:
            continue
        steps = [(node, planned.get(step_id(formula.id, node.id))) for node in formula.nodes]
        nodes = tuple([node for node, step in steps if step is not None])
        idle = frozenset([node.id for node, step in steps if step is not None and not step.runs])
        last = planned.get(step_id(formula.id, GATE))
        parts[formula.id] = Part(formula=formula, nodes=nodes, gate=last is not None and last.kind == "gate", idle=idle)
    return parts


def _late(parts: Mapping[str, Part]) -> frozenset[str]:
    """Return the steps that may start although the run is halting: made for failure, or waiting for any outcome."""
    late: set[str] = set()
    for id, part in parts.items():
        if any(dep.condition is Condition.FINISHED and dep.formula_id in parts for dep in part.formula.depends_on):
            late.update(step_id(id, node.id) for node in part.nodes)
            late.update([step_id(id, GATE)] if part.gate else [])
            continue
        if not any(node.depends_on for node in part.nodes):
            continue
        maybe = conditional(in_order(part.formula, part.nodes))
        for node in part.nodes:
            if node.id in maybe or any(dep.kind is not DepKind.ON_SUCCESS for dep in node.depends_on):
                late.add(step_id(id, node.id))
    return frozenset(late)
