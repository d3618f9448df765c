"""Capabilities: what a taskserv requires must be there before it, and what conflicts must not meet on a server.

A taskserv provides what it declares, and its own name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from provisioning.core.cycles import in_order
from provisioning.core.declare import Dag, Formula, Taskserv
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import listed, quote

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Used:
    taskserv: Taskserv
    offers: frozenset[str]


def check_capabilities(dag: Dag, indexes: Mapping[str, int], taskservs: Mapping[str, Taskserv] | None) -> Iterator[Fault]:
    """Yield unmet requirements and conflicts. Formulas in or behind a cycle are passed over: they have their fault."""
    used = _used(dag, taskservs or {})
    if any(one.taskserv.requires for one in used.values()):
        yield from _check_requirements(dag, indexes, used)
    if any(one.taskserv.conflicts_with for one in used.values()):
        yield from _check_conflicts(dag, used)


def _used(dag: Dag, taskservs: Mapping[str, Taskserv]) -> dict[str, _Used]:
    known = frozenset(taskservs)
    names = {node.taskserv for formula in dag.formulas for node in formula.nodes} & known
    found = ((name, taskservs.get(name)) for name in names)
    return {name: _Used(taskserv=one, offers=frozenset({*one.provides, name})) for name, one in found if one is not None}


def _check_requirements(dag: Dag, indexes: Mapping[str, int], used: Mapping[str, _Used]) -> Iterator[Fault]:
    graph = [[indexes[dep.formula_id] for dep in formula.depends_on if dep.formula_id in indexes] for formula in dag.formulas]
    offered = [_offers(formula, used) for formula in dag.formulas]
    reached: list[frozenset[str]] = [NOTHING] * len(graph)  # by prerequisites, transitively
    shared: dict[frozenset[str], frozenset[str]] = {}  # equal sets are kept once: there are few, and formulas are many
    for index in in_order(graph):
        before = NOTHING.union(*(reached[edge] | offered[edge] for edge in set(graph[index])))
        reached[index] = shared.setdefault(before, before)
    beside = _by_server(dag, offered)
    for index in sorted(in_order(graph)):
        yield from _unmet(dag.formulas[index], index, reached[index], beside, used)


def _offers(formula: Formula, used: Mapping[str, _Used]) -> frozenset[str]:
    return NOTHING.union(*(used[node.taskserv].offers for node in formula.nodes if node.taskserv in used))


def _by_server(dag: Dag, offered: list[frozenset[str]]) -> dict[str, dict[str, tuple[int, int]]]:
    """Server -> capability -> (a formula that offers it, how many do)."""
    servers: dict[str, dict[str, tuple[int, int]]] = {}
    for index, formula in enumerate(dag.formulas):
        counts = servers.setdefault(formula.server, {})
        for name in offered[index]:
            counts[name] = (index, counts.get(name, (0, 0))[1] + 1)
    return servers


def _unmet(
    formula: Formula,
    index: int,
    reached: frozenset[str],
    beside: Mapping[str, Mapping[str, tuple[int, int]]],
    used: Mapping[str, _Used],
) -> Iterator[Fault]:
    if not any(used[node.taskserv].taskserv.requires for node in formula.nodes if node.taskserv in used):
        return
    counts = beside[formula.server]
    before = _before(formula, used)
    for position, node in enumerate(formula.nodes):
        one = used.get(node.taskserv)
        for name in () if one is None else one.taskserv.requires:
            offerer, count = counts.get(name, (index, 1))
            on_server = count > 1 or offerer != index  # by another formula
            if not (on_server or name in reached or name in before[position] or name in used[node.taskserv].taskserv.provides):
                yield _unmet_fault(formula, node.taskserv, name, f"$.formulas[{index}].nodes[{position}]", used)


def _before(formula: Formula, used: Mapping[str, _Used]) -> list[frozenset[str]]:
    """For each node what the nodes before it offer: those it depends on and, where nodes run in order, all above it."""
    offers = [used[node.taskserv].offers if node.taskserv in used else NOTHING for node in formula.nodes]
    indexes = {node.id: position for position, node in reversed(list(enumerate(formula.nodes)))}
    graph = [[indexes[dep.node_id] for dep in node.depends_on if dep.node_id in indexes] for node in formula.nodes]
    before = [NOTHING] * len(graph)
    for position in in_order(graph):
        before[position] = NOTHING.union(*(before[edge] | offers[edge] for edge in graph[position]))
    if formula.parallel:
        return before
    above: frozenset[str] = NOTHING
    for position, offer in enumerate(offers):
        before[position] |= above
        above |= offer
    return before


def _unmet_fault(formula: Formula, taskserv: str, name: str, path: str, used: Mapping[str, _Used]) -> Fault:
    message = (
        f"taskserv {quote(taskserv)} in formula {quote(formula.id)} requires {quote(name)}, which nothing before it provides"
    )
    providers = sorted(other for other, one in used.items() if name in one.offers)
    hint = f"add a taskserv that provides {quote(name)} before it"
    if providers:
        hint = f"{listed(providers)} provides it: put it earlier in the formula, or depend on its formula"
    return Fault(code="unmet_capability", message=message, path=path, hint=hint)


def _check_conflicts(dag: Dag, used: Mapping[str, _Used]) -> Iterator[Fault]:
    places: dict[str, dict[str, str]] = {}
    for index, formula in enumerate(dag.formulas):
        for position, node in enumerate(formula.nodes):
            if node.taskserv in used and formula.server:
                places.setdefault(formula.server, {}).setdefault(node.taskserv, f"$.formulas[{index}].nodes[{position}]")
    for server, names in places.items():
        for name, path in names.items():
            enemies = frozenset(used[name].taskserv.conflicts_with)
            others = [other for other in names if other != name and enemies & used[other].offers] if enemies else []
            for other in others:
                if name in used[other].taskserv.conflicts_with and other < name:
                    continue  # said of the pair already, from the other side
                message = f"taskserv {quote(name)} conflicts with {quote(other)}, both on server {quote(server)}"
                yield Fault(code="conflict", message=message, path=path, hint=f"the other one is {names[other]}")
