"""Checks of nodes: what they install, in which order, with which parameters and retries."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from provisioning.core.check_faults import cycle_fault, duplicate, name_faults, repeated_edge
from provisioning.core.cycles import cycles
from provisioning.core.declare import Dag, Formula, Node, OnError, Taskserv
from provisioning.core.faults import Fault, Severity
from provisioning.core.params import param_faults
from provisioning.core.shown import listed, quote
from provisioning.core.suggest import Suggester

MAX_RETRIES = 1_000
MAX_TIMEOUT_S = 604_800.0


def check_nodes(dag: Dag, taskservs: Mapping[str, Taskserv] | None, shared_params: Collection[str] = ()) -> Iterator[Fault]:
    """Yield what is wrong inside the formulas. Without `taskservs` their names, profiles and params are not checked.

    `shared_params` are given by the workspace, so nodes need not give them.
    """
    known = None if taskservs is None else _Known(taskservs, shared_params)
    for index, formula in enumerate(dag.formulas):
        path = f"$.formulas[{index}].nodes"
        yield from _check_ids(formula, path)
        yield from _check_order(formula, path)
        for position, node in enumerate(formula.nodes):
            yield from _check_limits(node, f"{path}[{position}]")
            if known is not None and node.taskserv:
                yield from _check_taskserv(node, known, f"{path}[{position}]")
    yield from _check_doubles(dag)


class _Known:
    """Taskservs by name, each looked up once; None is one that is there but broken, and has its own faults."""

    def __init__(self, taskservs: Mapping[str, Taskserv], shared_params: Collection[str]) -> None:
        self.all = taskservs
        self.shared_params = shared_params
        self.names = frozenset(taskservs)
        self.suggester = Suggester(self.names)
        self._found: dict[str, Taskserv | None] = {}

    def get(self, name: str) -> Taskserv | None:
        if name not in self._found:
            self._found[name] = self.all.get(name)
        return self._found[name]


def _check_ids(formula: Formula, path: str) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for position, node in enumerate(formula.nodes):
        where = f"{path}[{position}]"
        yield from name_faults(node.taskserv, _key(node), f"{where}.{_key(node)}")
        yield from name_faults(node.profile, "profile", f"{where}.{_key(node)}.profile")
        if node.id != node.taskserv:
            yield from name_faults(node.id, "id", f"{where}.id")
        if node.id and first.setdefault(node.id, position) != position:
            yield duplicate("node", node.id, f"{where}.id", f"{path}[{first[node.id]}]")


def _key(node: Node) -> str:
    return "component" if node.component else "taskserv"


def _check_order(formula: Formula, path: str) -> Iterator[Fault]:
    if not any(node.depends_on for node in formula.nodes):
        return
    indexes = {node.id: position for position, node in reversed(list(enumerate(formula.nodes))) if node.id}
    for position, node in enumerate(formula.nodes):
        yield from _check_edges(node, indexes, f"{path}[{position}].depends_on")
    graph = [
        [indexes[dep.node_id] for dep in node.depends_on if dep.node_id in indexes and dep.node_id != node.id]
        for node in formula.nodes
    ]
    for cycle in cycles(graph):
        names = [formula.nodes[position].id for position in cycle]
        yield cycle_fault(f"nodes of formula {quote(formula.id)}", names, f"{path}[{cycle[0]}].depends_on")


def _check_edges(node: Node, indexes: Mapping[str, int], path: str) -> Iterator[Fault]:
    seen: dict[str, object] = {}
    for position, dep in enumerate(node.depends_on):
        name, where, owner = dep.node_id, f"{path}[{position}]", f"node {quote(node.id)}"
        if not name:
            continue
        if name == node.id:
            yield Fault(code="self_dependency", message=f"{owner} depends on itself", path=where)
        elif name not in indexes:
            message = f"{owner} depends on {quote(name)}, expected the id of a node of the same formula"
            hint = Suggester(indexes).hint(name) or f"its nodes are {listed(indexes)}"
            yield Fault(code="unknown_node", message=message, path=where, hint=hint)
        elif name in seen:
            yield repeated_edge(owner, name, where, same=seen[name] == dep.kind)
        seen.setdefault(name, dep.kind)


def _check_limits(node: Node, path: str) -> Iterator[Fault]:
    owner = f"node {quote(node.id)}"
    if not 0 <= node.max_retries <= MAX_RETRIES:
        message = f"max_retries of {owner} is {node.max_retries}, expected 0 to {MAX_RETRIES:,}"
        yield Fault(code="bounds", message=message, path=f"{path}.max_retries")
    elif node.on_error is OnError.RETRY and node.max_retries == 0:
        message = f"on_error of {owner} is retry, expected max_retries of at least 1"
        yield Fault(code="no_effect", message=message, path=f"{path}.on_error", hint="set max_retries, or on_error to stop")
    elif node.on_error is not OnError.RETRY and node.max_retries > 0:
        message = f"max_retries of {owner} is {node.max_retries}, but on_error is {node.on_error}, expected retry"
        yield Fault(code="no_effect", message=message, path=f"{path}.max_retries", hint='set on_error to "retry"')
    if node.timeout_s is not None and not 0 < node.timeout_s <= MAX_TIMEOUT_S:
        message = f"timeout_s of {owner} is {node.timeout_s}, expected more than 0 and at most {MAX_TIMEOUT_S:,.0f}"
        yield Fault(code="bounds", message=message, path=f"{path}.timeout_s")


def _check_taskserv(node: Node, known: _Known, path: str) -> Iterator[Fault]:
    if node.taskserv not in known.names:
        message = f"found {quote(node.taskserv)}, expected the name of a taskserv"
        hint = known.suggester.hint(node.taskserv) or "`provisioning taskserv list` shows all"
        yield Fault(code="unknown_taskserv", message=message, path=f"{path}.{_key(node)}", hint=hint)
        return
    taskserv = known.get(node.taskserv)
    if taskserv is None:
        return
    if node.profile and node.profile not in taskserv.profiles:
        message = f"found profile {quote(node.profile)}, expected a profile of taskserv {quote(node.taskserv)}"
        hint = Suggester(taskserv.profiles).hint(node.profile) or f"it has {listed(taskserv.profiles) or 'none'}"
        yield Fault(code="unknown_profile", message=message, path=f"{path}.{_key(node)}.profile", hint=hint)
    yield from param_faults(node.taskserv, taskserv.params, node.params, f"{path}.params", known.shared_params)


def _check_doubles(dag: Dag) -> Iterator[Fault]:
    """The state file knows a taskserv once per server, so a second node of it shares its record with the first."""
    first: dict[tuple[str, str], tuple[int, str]] = {}
    for index, formula in enumerate(dag.formulas):
        for position, node in enumerate(formula.nodes):
            key = (formula.server, node.taskserv)
            if not all(key) or first.setdefault(key, (index, node.id)) in {(index, node.id)}:
                continue
            other = quote(dag.formulas[first[key][0]].id)
            message = f"taskserv {quote(node.taskserv)} is on server {quote(formula.server)} already, by formula {other}"
            path = f"$.formulas[{index}].nodes[{position}].{_key(node)}"
            hint = "they share one state: what the first completed, the second finds done"
            yield Fault(code="duplicate_taskserv", message=message, path=path, severity=Severity.WARNING, hint=hint)
