"""What every step of a formula DAG waits for: the one place where nodes, gates and the composition become edges.

Three sets of edges stand for a formula towards what comes after it:

    complete    every node has succeeded; one that may fail (`continue`) or may never be called for (`on_failure`) has ended
    healthy     the same, and the gate has passed
    finished    everything has ended, whatever came of it

They are kept small while the formula is walked: a node that succeeded vouches for all it waited for, so a chain is stood
for by its last node. Two kinds of node vouch for less. One that may fail or be skipped ends even when what it waited for
went wrong, so that stays in the set beside it. And one that is unchanged has ended before the run begins, so whatever it
would have waited for is passed on: a prerequisite's gate is awaited by the first step that really runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from provisioning.core.declare import Condition, DepKind, Formula, Node, OnError
from provisioning.core.frozen import dataclass
from provisioning.core.graph import make_graph, order
from provisioning.core.model import Dep, On
from provisioning.errors import ConfigError

GATE = "gate"

Edges = dict[str, On]  # what must become of each step

_ON = {DepKind.ON_SUCCESS: On.SUCCESS, DepKind.ALWAYS: On.DONE, DepKind.ON_FAILURE: On.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What of a formula is in a plan."""

    formula: Formula
    nodes: tuple[Node, ...]  # in declaration order
    gate: bool  # whether its health gate is in
    idle: frozenset[str] = frozenset()  # ids of nodes that will not be executed: they are completed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ends:
    complete: Edges
    healthy: Edges
    last: tuple[str, ...]  # once these have ended, all has


def step_id(formula: str, node: str) -> str:
    """Return the id of a node's step; `GATE` as the node is the formula's gate."""
    return f"{formula}/{node}"


def step_edges(parts: Mapping[str, Part], *, backward: bool = False) -> dict[str, tuple[Dep, ...]]:
    """Return the edges into every step, by step id, formulas after their prerequisites.

    `parts` are by formula id; prerequisites that are not among them are left out. `backward` turns every edge round, as for
    removing, where dependents go first. Raises ConfigError for a cycle, and for two steps of one id.
    """
    needs = {id: [dep.formula_id for dep in part.formula.depends_on if dep.formula_id in parts] for id, part in parts.items()}
    edges: dict[str, Edges] = {}
    idle: set[str] = set()
    ends: dict[str, _Ends] = {}
    for id in order(make_graph(needs)):
        ends[id] = _Walk(part=parts[id], entry=_entry(parts[id].formula, ends), edges=edges, idle=idle).run()
    if backward:
        edges = _reversed(edges)
    return {id: tuple([Dep(step=step, on=on) for step, on in into.items()]) for id, into in edges.items()}


def in_order(formula: Formula, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Return the nodes in the order of a sequential formula: as declared, unless `depends_on` says otherwise.

    Raises ConfigError for a cycle.
    """
    if not any(node.depends_on for node in nodes):
        return nodes
    by_id = {node.id: node for node in nodes}
    needs = {node.id: [dep.node_id for dep in node.depends_on if dep.node_id in by_id] for node in nodes}
    try:
        return tuple(by_id[id] for id in order(make_graph(needs)))
    except ConfigError as error:
        raise ConfigError(f"formula {formula.id}: {error.message}", hint=error.hint) from None


def conditional(nodes: tuple[Node, ...]) -> frozenset[str]:
    """Return the ids of nodes that run only after a failure: by `on_failure`, or because they need the success of such a one.

    `nodes` come after what they depend on.
    """
    found: set[str] = set()
    for node in nodes:
        if any(
            dep.kind is DepKind.ON_FAILURE or (dep.kind is DepKind.ON_SUCCESS and dep.node_id in found)
            for dep in node.depends_on
        ):
            found.add(node.id)
    return frozenset(found)


def _entry(formula: Formula, ends: Mapping[str, _Ends]) -> Edges:
    """Return the edges that a formula begins with. Not to be changed: those of a single prerequisite are its own."""
    awaited = [_awaited(end, dep.condition) for dep in formula.depends_on if (end := ends.get(dep.formula_id))]
    if len(awaited) == 1:
        return awaited[0]
    entry: Edges = {}
    for some in awaited:
        _merge(entry, some)
    return entry


def _awaited(end: _Ends, condition: Condition) -> Edges:
    if condition is Condition.FINISHED:
        return dict.fromkeys(end.last, On.DONE)
    return end.complete if condition is Condition.COMPLETED else end.healthy


def _merge(into: Edges, more: Mapping[str, On]) -> None:
    """Add edges; of two to one step the one that asks for more stays."""
    for step, on in more.items():
        have = into.get(step)
        if have is None or have is On.DONE:
            into[step] = on
        elif on is not On.DONE and on is not have:
            raise ConfigError(f"a step waits for both success and failure of {step}", hint="it could never run")


def _reversed(edges: Mapping[str, Edges]) -> dict[str, Edges]:
    turned: dict[str, Edges] = {id: {} for id in edges}
    for id, into in edges.items():
        for step, on in into.items():
            turned[step][id] = On.SUCCESS if on is On.SUCCESS else On.DONE
    return turned


@dataclass(slots=True)
class _Walk:
    """One pass over a formula's steps, each after what it depends on."""

    part: Part
    entry: Edges
    edges: dict[str, Edges]  # of all formulas walked so far
    idle: set[str]  # steps of all formulas walked so far that have ended before the run begins
    open: Edges = field(default_factory=dict)  # together: `complete` of what has been walked, and the entry satisfied
    loose: dict[str, Edges] = field(default_factory=dict)  # steps that may be running when all walked later have ended

    def run(self) -> _Ends:
        self.open = dict(self.entry)
        nodes = in_order(self.part.formula, self.part.nodes)
        maybe = conditional(nodes)
        for node in nodes:
            lenient = node.on_error is OnError.CONTINUE or node.id in maybe
            self._add(step_id(self.part.formula.id, node.id), self._into(node), lenient=lenient, idle=node.id in self.part.idle)
        complete = self.open
        if self.part.gate:
            self.open = dict(complete)
            self._add(step_id(self.part.formula.id, GATE), complete, lenient=False, idle=False)
        return _Ends(complete=complete, healthy=self.open, last=tuple(self.loose or self.entry))

    def _into(self, node: Node) -> Edges:
        """Return the edges into a node: its own `depends_on`, else its place in the order, else the formula's entry."""
        own = self._declared(node)
        if not own:
            return self._implied(node)
        if not self.part.formula.parallel:
            _merge(own, dict.fromkeys(self.loose, On.DONE))
        vouched = any(on is not On.DONE and step not in self.idle for step, on in own.items())
        if not vouched:
            _merge(own, self.entry)
        return own

    def _implied(self, node: Node) -> Edges:
        if self.part.formula.parallel or not self.loose:  # the first one
            return self.entry
        idle = {step: on for step, on in self.open.items() if step in self.loose and step in self.idle}
        # it waits for nothing any more, so it need not repeat what is passed on: its place in the order is enough
        return idle if idle and node.id in self.part.idle else dict(self.open)

    def _declared(self, node: Node) -> Edges:
        own: Edges = {}
        for dep in node.depends_on:
            step = step_id(self.part.formula.id, dep.node_id)
            if step in self.edges:
                _merge(own, {step: _ON[dep.kind]})
        return own

    def _add(self, step: str, into: Edges, *, lenient: bool, idle: bool) -> None:
        if step in self.edges:
            raise ConfigError(f"two steps are called {step}", hint="give the node another id")
        self.edges[step] = into
        for before in self._vouched(into, lenient=lenient, idle=idle):
            self.open.pop(before, None)
        for before in [before for before in into if before in self.loose and self._ended_before(before, into, idle=idle)]:
            del self.loose[before]
        self.open[step] = On.DONE if lenient and not idle else On.SUCCESS
        self.loose[step] = into
        if idle:
            self.idle.add(step)

    def _vouched(self, into: Edges, *, lenient: bool, idle: bool) -> list[str]:
        """Return the steps whose edge in `open` says nothing more, once this step's own edge is there."""
        if idle:
            return [step for step in into if step in self.idle]
        if not lenient:
            return [step for step, on in into.items() if on is On.SUCCESS or self.open.get(step) is On.DONE]
        if all(on is On.DONE or self.open.get(step) is on for step, on in into.items()):
            # it cannot have been skipped while the successes it waited for, which stay open, are there
            return [step for step, on in into.items() if on is On.DONE and self.open.get(step) is On.DONE]
        return []

    def _ended_before(self, before: str, into: Edges, *, idle: bool) -> bool:
        """Whether `before` has surely ended when a step with the edges `into` has, be it by being skipped.

        A step is skipped as soon as one of its edges cannot be satisfied any more, while others may still be running; not
        so when the same edge skips `before` too.
        """
        if idle:
            return before in self.idle
        edges = self.loose[before]
        return all(on is On.DONE or step == before or edges.get(step) is on for step, on in into.items())
