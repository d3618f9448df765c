"""Everything that can be wrong in a well-formed declaration, found at once (F1).

The records come from `formats`, which has already refused what does not fit the schema. A name that could not be read is
"" here and is passed over: it has its fault already. Paths are JSON paths into the file; who calls adds file and line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from functools import cached_property

from provisioning.core.check_capabilities import check_capabilities
from provisioning.core.check_faults import cycle_fault, duplicate, name_faults, repeated_edge
from provisioning.core.check_nodes import check_nodes
from provisioning.core.cycles import cycles
from provisioning.core.declare import Dag, Formula, HealthGate, Server, Taskserv
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.health import PATTERN_MARK, pattern_fault
from provisioning.core.shown import listed, quote
from provisioning.core.suggest import Suggester

GATE_BOUNDS: Mapping[str, tuple[int, int]] = {
    "retries": (1, 100_000),
    "timeout_ms": (1, 604_800_000),
    "probe_timeout_ms": (1, 604_800_000),
    "interval_ms": (1, 604_800_000),
}


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a DAG is checked against. None for servers or taskservs: their names are not checked."""

    servers: Mapping[str, Server] | None = None
    taskservs: Mapping[str, Taskserv] | None = None
    shared_params: Collection[str] = ()  # names of params that the workspace gives to all
    broken: Collection[int] = ()  # formulas that could only be read in part
    origins: Mapping[tuple[int, str], str] = field(default_factory=dict)  # fields that stand in the composition

    @cached_property
    def server_names(self) -> Suggester:
        """Suggests hostnames."""
        return Suggester(self.servers or {})

    def path(self, formula: int, name: str) -> str:
        """Return where a field of a formula stands."""
        return self.origins.get((formula, name)) or f"$.formulas[{formula}].{name}"


def check_servers(servers: Sequence[Server]) -> list[Fault]:
    """Return what is wrong with the declared servers, in order."""
    faults: list[Fault] = []
    first: dict[str, int] = {}
    for index, server in enumerate(servers):
        name, path = server.hostname, f"$.servers[{index}].hostname"
        faults += name_faults(name, "hostname", path)
        if name and first.setdefault(name, index) != index:
            faults.append(duplicate("server", name, path, f"$.servers[{first[name]}]"))
    return faults


def check_dag(dag: Dag, around: Surroundings) -> list[Fault]:
    """Return everything that is wrong with a DAG; warnings included. O(V + E), no recursion."""
    indexes: dict[str, int] = {}
    for index, formula in enumerate(dag.formulas):
        if formula.id:
            indexes.setdefault(formula.id, index)
    return [
        *_check_formulas(dag, indexes, around),
        *_check_edges(dag, indexes, around),
        *_check_cycles(dag, indexes, around),
        *check_nodes(dag, around.taskservs, around.shared_params),
        *check_capabilities(dag, indexes, around.taskservs),
    ]


def _check_formulas(dag: Dag, indexes: Mapping[str, int], around: Surroundings) -> Iterator[Fault]:
    for index, formula in enumerate(dag.formulas):
        path = f"$.formulas[{index}]"
        yield from name_faults(formula.id, "id", f"{path}.id")
        yield from name_faults(formula.server, "server", f"{path}.server")
        if formula.id and indexes[formula.id] != index:
            yield duplicate("formula", formula.id, f"{path}.id", f"$.formulas[{indexes[formula.id]}]")
        if formula.server and around.servers is not None and formula.server not in around.servers:
            yield _unknown_server(formula, f"{path}.server", around)
        if not formula.nodes and index not in around.broken:
            message = f"formula {quote(formula.id)} has no nodes, expected at least one"
            yield Fault(code="empty_formula", message=message, path=f"{path}.nodes")
        if not 1 <= formula.max_parallel <= 10_000:
            message = f"max_parallel of {quote(formula.id)} is {formula.max_parallel}, expected 1 to 10,000"
            yield Fault(code="bounds", message=message, path=f"{path}.max_parallel")
        if formula.health_gate is not None:
            yield from _check_gate(formula, formula.health_gate, around.path(index, "health_gate"), around)


def _unknown_server(formula: Formula, path: str, around: Surroundings) -> Fault:
    servers = around.servers or {}
    hint = around.server_names.hint(formula.server) or (
        f"servers are {listed(servers)}" if servers else "no server is declared"
    )
    message = f"server of {quote(formula.id)} is {quote(formula.server)}, expected the hostname of a declared server"
    return Fault(code="unknown_server", message=message, path=path, hint=hint)


def _check_gate(formula: Formula, gate: HealthGate, path: str, around: Surroundings) -> Iterator[Fault]:
    owner = f"health gate of {quote(formula.id)}"
    for name, (least, most) in GATE_BOUNDS.items():
        value = getattr(gate, name)
        if value is not None and not least <= value <= most:
            message = f"{name} in the {owner} is {value}, expected {least:,} to {most:,}"
            yield Fault(code="gate_bounds", message=message, path=f"{path}.{name}")
    if not gate.check_cmd.strip() or "\0" in gate.check_cmd:
        message = f"check_cmd in the {owner} is {quote(gate.check_cmd)}, expected a shell command"
        yield Fault(code="bad_text", message=message, path=f"{path}.check_cmd")
    if reason := _expectation_fault(gate.expected):
        message = f"expected in the {owner} is {quote(gate.expected or '')}: {reason}"
        yield Fault(code="bad_pattern", message=message, path=f"{path}.expected")
    server = (around.servers or {}).get(formula.server)
    if gate.address and server is not None and server.address_for(gate.address) is None:
        message = f"the {owner} wants the {gate.address} address of {quote(server.hostname)}, which has none"
        hint = f"declare {gate.address}_ip of the server, or leave `address` out"
        yield Fault(code="unknown_address", message=message, path=f"{path}.address", hint=hint)


def _expectation_fault(expected: str | None) -> str:
    if expected is None:
        return ""
    if not expected.startswith(PATTERN_MARK):
        return "a line of output has no line break" if "\n" in expected.rstrip("\n") else ""
    return pattern_fault(expected)


def _check_edges(dag: Dag, indexes: Mapping[str, int], around: Surroundings) -> Iterator[Fault]:
    suggester = Suggester(indexes)
    for index, formula in enumerate(dag.formulas):
        seen: dict[str, object] = {}
        for position, dep in enumerate(formula.depends_on):
            name = dep.formula_id
            if not name or (name in indexes and name not in seen and name != formula.id):
                seen[name] = dep.condition
                continue
            path, owner = f"{around.path(index, 'depends_on')}[{position}]", quote(formula.id)
            if name == formula.id:
                yield Fault(code="self_dependency", message=f"formula {owner} depends on itself", path=path)
            elif name not in indexes:
                message = f"formula {owner} depends on {quote(name)}, expected the id of a formula"
                hint = suggester.hint(name) or f"formulas are {listed(indexes)}"
                yield Fault(code="unknown_formula", message=message, path=path, hint=hint)
            else:
                yield repeated_edge(f"formula {owner}", name, path, same=seen[name] == dep.condition)


def _check_cycles(dag: Dag, indexes: Mapping[str, int], around: Surroundings) -> Iterator[Fault]:
    graph = [
        [indexes[dep.formula_id] for dep in formula.depends_on if dep.formula_id in indexes and dep.formula_id != formula.id]
        for formula in dag.formulas
    ]
    for cycle in cycles(graph):
        names = [dag.formulas[index].id for index in cycle]
        yield cycle_fault("formulas", names, around.path(cycle[0], "depends_on"))
