"""The DAG document: a parsed `dag.json` or evaluated `dag.ncl` to records, with every fault."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field

from provisioning.core.check import Surroundings, check_dag
from provisioning.core.composition import Part, Place, merge
from provisioning.core.declare import (
    EMPTY,
    Condition,
    Dag,
    DepKind,
    FormulaDep,
    HealthGate,
    Node,
    NodeDep,
    OnError,
    Server,
    Taskserv,
)
from provisioning.core.faults import Fault, Severity
from provisioning.core.frozen import dataclass
from provisioning.formats.explain import explain
from provisioning.formats.reader import NO_FIELDS, Fields, Item, Reader

_DOCUMENT = frozenset({"$schema", "formulas", "composition"})
_FORMULA = frozenset({"id", "server", "nodes", "max_parallel", "depends_on", "parallel", "health_gate"})
_NODE = frozenset({"taskserv", "component", "id", "depends_on", "parallel", "on_error", "max_retries", "timeout_s", "params"})
_ENTRY = frozenset({"formula_id", "depends_on", "parallel", "health_gate"})
_GATE = frozenset({"check_cmd", "retries", "timeout_ms", "probe_timeout_ms", "interval_ms", "expected", "address"})
_REQUIRED_OF_FORMULA = frozenset({"id", "server", "nodes"})
_FORMULAS, _FORMULA_ID, _NODE_ID, _NAME, _CHECK_CMD = map(
    frozenset, (("formulas",), ("formula_id",), ("node_id",), ("name",), ("check_cmd",))
)
_FORMULA_DEP = _FORMULA_ID | {"condition"}
_NODE_DEP = _NODE_ID | {"kind"}
_WHAT = _NAME | {"profile"}
_COMMAND = re.compile(r"(?=[^\0]*[^\s\0])[^\0]{1,65536}")
_EXPECTED = re.compile(r"(?s:.{1,4096})")
_ADDRESSES = ("public", "private")


@dataclass(frozen=True, slots=True, kw_only=True)
class DagDocument:
    """A DAG as far as it could be read, and every fault; usable only without errors."""

    dag: Dag
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    parts: tuple[Part, ...]
    entries: tuple[Place, ...]
    deviations: Mapping[Item, None] = field(default_factory=dict)


def read_dag(
    value: object,
    *,
    servers: Mapping[str, Server] | None = None,
    taskservs: Mapping[str, Taskserv] | None = None,
    shared_params: Collection[str] = (),
) -> DagDocument:
    """Return the DAG of a parsed document with all its faults, which have paths but no file and no line yet.

    Without `servers` or `taskservs` their names are not checked.
    """
    draft = _draft(value)
    merged = merge(draft.parts, draft.entries)
    broken = {item[1] for item in draft.deviations if item[:1] == ("formulas",)}
    around = Surroundings(
        servers=servers,
        taskservs=taskservs,
        shared_params=shared_params,
        origins=merged.origins,
        broken={index for index in broken if isinstance(index, int)},
    )
    faults = [*explain("dag", value, draft.deviations, _definition), *merged.faults, *check_dag(merged.dag, around)]
    if not draft.parts and not faults:
        message = "found no formulas, expected at least one"
        faults.append(Fault(code="empty_dag", message=message, path="$.formulas", severity=Severity.WARNING))
    return DagDocument(dag=merged.dag, faults=tuple(faults))


def _definition(item: Item) -> str:
    return {1: "", 2: "formula", 3: "entry"}.get(len(item), "")


def _draft(value: object) -> _Draft:
    reader = Reader()
    fields = reader.record(value, _DOCUMENT, _FORMULAS)
    if "$schema" in fields and not isinstance(fields["$schema"], str):
        reader.note()
    formulas = reader.items(fields, "formulas")
    composition = reader.record(fields["composition"], _FORMULAS) if "composition" in fields else NO_FIELDS
    entries = reader.items(composition, "formulas")
    return _Draft(
        parts=tuple(_read_each(reader, ("formulas",), formulas)),
        entries=tuple(_read_entries(reader, entries)),
        deviations=reader.deviations,
    )


def _read_each(reader: Reader, where: Item, values: Sequence[object]) -> list[Part]:
    parts = []
    for index, value in enumerate(values):
        reader.item = (*where, index)
        parts.append(_formula(reader, value))
    return parts


def _read_entries(reader: Reader, values: Sequence[object]) -> list[Place]:
    entries = []
    for index, value in enumerate(values):
        reader.item = ("composition", "formulas", index)
        fields = reader.record(value, _ENTRY, _FORMULA_ID)
        entries.append(_place(reader, fields, reader.text(fields, "formula_id")))
    return entries


def _formula(reader: Reader, value: object) -> Part:
    fields = reader.record(value, _FORMULA, _REQUIRED_OF_FORMULA)
    name = reader.text(fields, "id")
    max_parallel = reader.whole(fields, "max_parallel")
    return Part(
        id=name,
        server=reader.text(fields, "server"),
        nodes=tuple(_node(reader, node) for node in reader.items(fields, "nodes")),
        max_parallel=4 if max_parallel is None else max_parallel,
        place=_place(reader, fields, name),
    )


def _place(reader: Reader, fields: Fields, name: str) -> Place:
    return Place(
        formula_id=name,
        depends_on=_formula_deps(reader, fields) if "depends_on" in fields else None,
        parallel=reader.flag(fields, "parallel"),
        health_gate=_gate(reader, fields["health_gate"]) if "health_gate" in fields else None,
    )


def _formula_deps(reader: Reader, fields: Fields) -> tuple[FormulaDep, ...]:
    return tuple(_formula_dep(reader, item) for item in reader.items(fields, "depends_on"))


def _formula_dep(reader: Reader, value: object) -> FormulaDep:
    if isinstance(value, str) and value:
        return FormulaDep(formula_id=value)
    fields = reader.record(value, _FORMULA_DEP, _FORMULA_ID)
    condition = reader.choice(fields, "condition", Condition)
    return FormulaDep(formula_id=reader.text(fields, "formula_id"), condition=condition or Condition.HEALTHY)


def _node(reader: Reader, value: object) -> Node:
    fields = reader.record(value, _NODE)
    component = "component" in fields
    if component == ("taskserv" in fields):
        reader.note()
    name, profile = _what(reader, fields.get("component" if component else "taskserv"))
    max_retries = reader.whole(fields, "max_retries")
    return Node(
        id=(reader.text(fields, "id") if "id" in fields else name),
        taskserv=name,
        profile=profile,
        component=component,
        depends_on=tuple(_node_dep(reader, item) for item in reader.items(fields, "depends_on")),
        parallel=reader.flag(fields, "parallel") or False,
        on_error=reader.choice(fields, "on_error", OnError) or OnError.STOP,
        max_retries=0 if max_retries is None else max_retries,
        timeout_s=reader.number(fields, "timeout_s"),
        params=reader.mapping(fields, "params") or EMPTY,
    )


def _what(reader: Reader, value: object) -> tuple[str, str]:
    if isinstance(value, str) and value:
        return value, "default"
    fields = reader.record(value, _WHAT, _NAME)
    return reader.text(fields, "name"), reader.text(fields, "profile") if "profile" in fields else "default"


def _node_dep(reader: Reader, value: object) -> NodeDep:
    if isinstance(value, str) and value:
        return NodeDep(node_id=value)
    fields = reader.record(value, _NODE_DEP, _NODE_ID)
    return NodeDep(node_id=reader.text(fields, "node_id"), kind=reader.choice(fields, "kind", DepKind) or DepKind.ON_SUCCESS)


def _gate(reader: Reader, value: object) -> HealthGate | None:
    fields = reader.record(value, _GATE, _CHECK_CMD)
    check_cmd, address = reader.matching(fields, "check_cmd", _COMMAND), reader.optional_text(fields, "address")
    if address is not None and address not in _ADDRESSES:
        reader.note()
        address = None
    retries, timeout_ms = reader.whole(fields, "retries"), reader.whole(fields, "timeout_ms")
    gate = HealthGate(
        check_cmd=check_cmd or "true",
        retries=6 if retries is None else retries,
        timeout_ms=60_000 if timeout_ms is None else timeout_ms,
        probe_timeout_ms=reader.whole(fields, "probe_timeout_ms"),
        interval_ms=reader.whole(fields, "interval_ms"),
        expected=reader.matching(fields, "expected", _EXPECTED),
        address=address,
    )
    return gate if fields else None
