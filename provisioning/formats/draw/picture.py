"""What is drawn: formulas with their states, the edges between them, and their order by layers. Steps of Dagu files too.

A picture is made from a DAG and, where there is one, from what the plan and the state file say. It never fails: edges to
formulas that do not exist are left out and cycles are cut, because a broken DAG is reported elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from types import MappingProxyType

from provisioning.core.declare import Condition, Dag, Formula
from provisioning.core.frozen import dataclass
from provisioning.core.plan import Plan, StepAction
from provisioning.core.resources import ResourceBook, ResourceState
from provisioning.formats.draw.layers import layered

SYMBOLS: Mapping[str, str] = MappingProxyType(
    {
        "completed": "✔",
        "changed": "≠",
        "failed": "✘",
        "blocked": "⊘",
        "interrupted": "!",
        "running": "▶",
        "pending": "○",
        "": "●",
    }
)
"""The mark of every state a formula can be shown in; the empty state is for DAGs that are not part of a workspace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One formula or step as it is drawn."""

    id: str
    server: str  # of a step: what kind it is
    nodes: tuple[str, ...]  # of a step: what it does
    gated: bool
    state: str = ""
    completed: int = 0  # nodes whose resource state is completed, changed ones included
    blocker: str = ""

    @property
    def symbol(self) -> str:
        """The mark of its state."""
        return SYMBOLS.get(self.state, "○")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`head` waits for `tail`; both are indexes of boxes."""

    tail: int
    head: int
    condition: str = Condition.HEALTHY.value

    @property
    def label(self) -> str:
        """The condition, where it is not the usual one: such an edge is drawn as a soft one."""
        return "" if self.condition == Condition.HEALTHY else self.condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A DAG ready to be drawn."""

    boxes: tuple[Box, ...]  # in declaration order
    edges: tuple[Edge, ...]  # by head, in declaration order
    layers: tuple[tuple[int, ...], ...] = field(default=())  # indexes of boxes, what is needed first on top
    apart: tuple[int, ...] = ()  # boxes without edges that are drawn below all others, the handlers of a DAG
    title: str = "formulas and what they wait for"

    def needs(self) -> list[list[int]]:
        """Return for every box the boxes it waits for."""
        tails: list[list[int]] = [[] for _ in self.boxes]
        for edge in self.edges:
            tails[edge.head].append(edge.tail)
        return tails


def picture(dag: Dag, plan: Plan | None = None, book: ResourceBook | None = None) -> Picture:
    """Return the picture of `dag`. `plan`, over the whole DAG, and `book` give the states; without them there are none."""
    index = {formula.id: position for position, formula in enumerate(dag.formulas)}
    edges = _edges(dag.formulas, index)
    changed = _changed(plan)
    boxes = tuple(_box(formula, changed, book) for formula in dag.formulas)
    return Picture(boxes=boxes, edges=edges, layers=layered(len(boxes), [(edge.tail, edge.head) for edge in edges]))


def _edges(formulas: Iterable[Formula], index: Mapping[str, int]) -> tuple[Edge, ...]:
    seen: dict[tuple[int, int], Edge] = {}
    for head, formula in enumerate(formulas):
        for dep in formula.depends_on:
            tail = index.get(dep.formula_id)
            if tail is not None and tail != head:
                seen.setdefault((tail, head), Edge(tail=tail, head=head, condition=dep.condition.value))
    return tuple(seen.values())


def _changed(plan: Plan | None) -> frozenset[tuple[str, str]]:
    steps = plan.steps if plan else ()
    return frozenset((step.formula, step.taskserv or "") for step in steps if step.action is StepAction.CHANGED)


def _box(formula: Formula, changed: frozenset[tuple[str, str]], book: ResourceBook | None) -> Box:
    nodes = tuple(node.taskserv for node in formula.nodes)
    plain = Box(id=formula.id, server=formula.server, nodes=nodes, gated=formula.health_gate is not None)
    if book is None:
        return plain
    found = [book.get(formula.server, name) for name in nodes]
    states = ["pending" if one is None else one.state.value for one in found]
    is_changed = any((formula.id, name) in changed for name in nodes)
    return Box(
        id=plain.id,
        server=plain.server,
        nodes=nodes,
        gated=plain.gated,
        state=formula_state(states, changed=is_changed),
        completed=states.count("completed"),
        blocker=next((one.blocker for one in found if one is not None and one.blocker), ""),
    )


def formula_state(states: Iterable[str], *, changed: bool = False) -> str:
    """Return the state of a formula from the resource states of its nodes: the one that most needs attention."""
    present = set(states)
    for state in (ResourceState.FAILED, ResourceState.INTERRUPTED, ResourceState.RUNNING, ResourceState.BLOCKED):
        if state.value in present:
            return state.value
    if present == {ResourceState.COMPLETED.value}:
        return "changed" if changed else ResourceState.COMPLETED.value
    return ResourceState.PENDING.value
