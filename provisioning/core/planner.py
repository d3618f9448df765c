"""Make a plan: what a selection means for an infrastructure in the state that the book records. Pure.

Rules F2-F8, F10, F12 and F13. What was not written down anywhere else:

- A step that `--cmd OP` or `--upload` asks for runs whatever its state: as `reset` when it is completed, else as `create`.
  Prerequisites are installed first, except for operations that need none (`plan.ALONE`): those act on the targets alone,
  without gates. For `plan.REMOVING`, dependents go before what they depend on.
- `update` is for every changed node of the plan, prerequisites too: the plan shows which.
- Nothing recorded, pending, failed, blocked, or removed is `create`; so is running or interrupted, with `resumes`.
- A gate is in when every node of its formula is either completed or in the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from provisioning.core.collecting import uncollected
from provisioning.core.declare import Infra, Node, Taskserv
from provisioning.core.edges import GATE, Part, step_edges, step_id
from provisioning.core.frozen import dataclass
from provisioning.core.graph import make_graph, order
from provisioning.core.inputs import input_digest
from provisioning.core.plan import ALONE, INSTALL, REMOVING, Plan, PlanStep, Selection, StepAction, resumes_text
from provisioning.core.resources import Resource, ResourceBook, ResourceState
from provisioning.core.scope import Chosen, select, suggestion
from provisioning.core.suggest import nearest
from provisioning.errors import NotFoundError

NOTED = 5  # formulas that a note names
_OPEN = frozenset({ResourceState.RUNNING, ResourceState.INTERRUPTED})  # nobody recorded how it ended


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    action: StepAction
    runs: bool
    told: str = ""  # what the book says, in words


@uncollected()
def make_plan(infra: Infra, selection: Selection, book: ResourceBook | None) -> Plan:
    """Return the plan for `selection`. `book` None means that nothing was ever recorded.

    Raises UsageError when the selection contradicts itself, NotFoundError for a taskserv, server or operation that nothing
    has, ConfigError when the DAG cannot be ordered.
    """
    planner = _Planner(infra=infra, selection=selection, book=book)
    return planner.plan(select(infra, selection))


def check_selection(infra: Infra, selection: Selection) -> None:
    """Raise what `make_plan` raises for a selection, before anything is opened or written for it."""
    planner = _Planner(infra=infra, selection=selection, book=None)
    for chosen in select(infra, selection):
        for node in chosen.nodes:
            planner.taskserv(node, selection.operation if node.id in chosen.targets else INSTALL)


@dataclass(slots=True, kw_only=True)
class _Planner:
    infra: Infra
    selection: Selection
    book: ResourceBook | None
    digests: dict[tuple[str, str], str] = field(default_factory=dict)  # of nodes without params of their own
    steps: dict[str, PlanStep] = field(default_factory=dict)  # in declaration order, without edges
    incomplete: list[str] = field(default_factory=list)  # formulas whose gate is left out

    def plan(self, chosen: Sequence[Chosen]) -> Plan:
        parts = {one.formula.id: self._part(one) for one in chosen}
        edges = step_edges(parts, backward=self.selection.operation in REMOVING)
        needs = {id: tuple(dep.step for dep in edges[id]) for id in self.steps}
        return Plan(
            infra=self.infra.name,
            selection=self.selection,
            steps=tuple(_linked(self.steps[id], needs[id]) for id in order(make_graph(needs))),
            has_dag=self.infra.dag is not None,
            notes=tuple(self._notes(chosen)),
        )

    # ------------------------------------------------------------ steps

    def _part(self, chosen: Chosen) -> Part:
        for node in chosen.nodes:
            step = self._node_step(chosen, node)
            self.steps[step.id] = step
        gate = self._has_gate(chosen)
        if gate:
            step = _gate_step(chosen)
            self.steps[step.id] = step
        idle = frozenset(node.id for node in chosen.nodes if not self.steps[step_id(chosen.formula.id, node.id)].runs)
        return Part(formula=chosen.formula, nodes=chosen.nodes, gate=gate, idle=idle)

    def _node_step(self, chosen: Chosen, node: Node) -> PlanStep:
        server, target = chosen.formula.server, node.id in chosen.targets
        operation = self.selection.operation if target else INSTALL
        taskserv = self.taskserv(node, operation)
        digest = self._digest(taskserv, node)
        resource = self.book.get(server, node.taskserv) if self.book else None
        verdict = self._verdict(resource, digest, target=target)
        because = self._because(chosen, target=target)
        return PlanStep(
            id=step_id(chosen.formula.id, node.id),
            formula=chosen.formula.id,
            server=server,
            kind="node",
            action=verdict.action,
            because=f"{because}; {verdict.told}" if verdict.told else because,
            runs=verdict.runs,
            taskserv=node.taskserv,
            profile=node.profile,
            operation=operation,
            digest=digest,
            resumes=_resumes(resource),
            again=self._reset(target=target),
        )

    def _has_gate(self, chosen: Chosen) -> bool:
        if chosen.formula.health_gate is None or self.selection.upload or self.selection.operation in ALONE:
            return False
        planned = {node.id for node in chosen.nodes}
        server = chosen.formula.server
        rest = [node for node in chosen.formula.nodes if node.id not in planned]
        if all(_completed(self.book.get(server, node.taskserv) if self.book else None) for node in rest):
            return True
        self.incomplete.append(chosen.formula.id)
        return False

    # ------------------------------------------------------------ facts about a node

    def taskserv(self, node: Node, operation: str) -> Taskserv:
        taskserv = self.infra.taskservs.get(node.taskserv)
        if taskserv is None:
            raise NotFoundError(f"no taskserv is called {node.taskserv}", hint=suggestion(node.taskserv, self.infra.taskservs))
        if operation not in (INSTALL, *taskserv.operations):
            near = nearest(operation, taskserv.operations)
            hint = (f"did you mean {near}?; " if near else "") + f"operations: {', '.join(taskserv.operations)}"
            raise NotFoundError(f"taskserv {taskserv.name} has no operation {operation}", hint=hint)
        return taskserv

    def _digest(self, taskserv: Taskserv, node: Node) -> str:
        if node.params:
            return input_digest(taskserv, node, self.infra.workspace.params)
        key = (taskserv.name, node.profile)
        if key not in self.digests:
            self.digests[key] = input_digest(taskserv, node, self.infra.workspace.params)
        return self.digests[key]

    def _verdict(self, resource: Resource | None, digest: str, *, target: bool) -> _Verdict:
        asked = self._asked() if target else ""
        if asked:
            return _Verdict(action=StepAction.RESET if _completed(resource) else StepAction.CREATE, runs=True, told=asked)
        if resource is None or not _completed(resource):
            return _Verdict(action=StepAction.CREATE, runs=True, told=_tried(resource))
        if self._reset(target=target):
            return _Verdict(action=StepAction.RESET, runs=True, told="completed, reset requested")
        return _settled(resource, digest, update=self.selection.update)

    def _reset(self, *, target: bool) -> bool:
        return self.selection.reset if target else self.selection.reset_prerequisites

    def _asked(self) -> str:
        if self.selection.upload:
            return "upload requested"
        return f"operation {self.selection.operation} requested" if self.selection.operation != INSTALL else ""

    # ------------------------------------------------------------ words

    def _because(self, chosen: Chosen, *, target: bool) -> str:
        if target:
            return "target"
        if chosen.needed_by:
            return f"prerequisite of {chosen.needed_by}"
        return f"needed by {self.selection.name} in {chosen.formula.id}"

    def _notes(self, chosen: Sequence[Chosen]) -> list[str]:
        name, operation, notes = self.selection.name or "everything", self.selection.operation, []
        if self.infra.dag is None:
            doing = f"installing {name}" if operation == INSTALL else f"running {operation} of {name}"
            notes.append(f"no dag file: {doing} directly, without ordering or gates")
        if self.selection.upload:
            notes.append(f"upload: bundles of {name} are delivered and not run, prerequisites are left out")
        elif operation in ALONE:
            notes.append(f"{operation}: {name} alone, prerequisites and gates are left out")
        elif self.selection.only:
            notes.append(f"only {name}: prerequisites are left out")
        if missing := sorted(self.selection.servers.difference(one.formula.server for one in chosen if one.targets)):
            notes.append(f"nothing to do on {', '.join(missing)}")
        if self.incomplete:
            more = ", ..." if len(self.incomplete) > NOTED else ""
            notes.append(f"gate left out, formula not complete afterwards: {', '.join(self.incomplete[:NOTED])}{more}")
        return notes


def _completed(resource: Resource | None) -> bool:
    return resource is not None and resource.state is ResourceState.COMPLETED and resource.operation not in REMOVING


def _settled(resource: Resource, digest: str, *, update: bool) -> _Verdict:
    """Judge a completed node: an empty recorded digest was imported, and is taken at its word."""
    if not resource.digest:
        return _Verdict(action=StepAction.UNCHANGED, runs=False, told="completed, inputs not recorded")
    if resource.digest == digest:
        return _Verdict(action=StepAction.UNCHANGED, runs=False, told="completed, inputs unchanged")
    told = "installed again" if update else "left as it is without --update"
    return _Verdict(action=StepAction.CHANGED, runs=update, told=f"completed, inputs changed since, {told}")


def _tried(resource: Resource | None) -> str:
    if resource is None:
        return ""
    where = f" in run {resource.run_id}" if resource.run_id else ""
    if resource.state in _OPEN:
        return f"interrupted{where}, run again"
    if resource.state is ResourceState.FAILED:
        return f"failed{where}, tried again"
    if resource.state is ResourceState.BLOCKED:
        return f"blocked{where}{f' by {resource.blocker}' if resource.blocker else ''}, tried again"
    return f"removed{where}" if resource.state is ResourceState.COMPLETED else ""


def _resumes(resource: Resource | None) -> str | None:
    if resource is None or resource.state not in _OPEN or not (resource.run_id and resource.step):
        return None
    return resumes_text(resource.run_id, resource.attempt, resource.step)


def _gate_step(chosen: Chosen) -> PlanStep:
    why = f"prerequisite of {chosen.needed_by}" if chosen.needed_by and not chosen.targets else "target"
    return PlanStep(
        id=step_id(chosen.formula.id, GATE),
        formula=chosen.formula.id,
        server=chosen.formula.server,
        kind="gate",
        action=StepAction.VERIFY,
        because=f"gate of {chosen.formula.id}, {why}",
        runs=True,
    )


def _linked(step: PlanStep, depends_on: tuple[str, ...]) -> PlanStep:
    """Return the step with its edges. Written out because `dataclasses.replace` costs more than all the rest of planning."""
    return PlanStep(
        id=step.id,
        formula=step.formula,
        server=step.server,
        kind=step.kind,
        action=step.action,
        because=step.because,
        runs=step.runs,
        taskserv=step.taskserv,
        profile=step.profile,
        operation=step.operation,
        digest=step.digest,
        resumes=step.resumes,
        again=step.again,
        depends_on=depends_on,
    )
