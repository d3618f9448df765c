"""Write a DAG back as a canonical document: formulas in order, their places in the composition, defaults left out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

from provisioning.core.declare import Condition, Dag, DepKind, Formula, FormulaDep, HealthGate, Node, NodeDep, OnError
from provisioning.core.shown import step
from provisioning.core.suggest import nearest
from provisioning.errors import ConfigError, UsageError

FORMATS = ("json", "toml", "yaml", "nickel")
_GATE_DEFAULT = HealthGate(check_cmd="")
_GATE_FIELDS = ("retries", "timeout_ms", "probe_timeout_ms", "interval_ms", "expected", "address")
_NICKEL_NAME = re.compile(r"_*[A-Za-z][A-Za-z0-9_'-]*")
_NICKEL_WORDS = frozenset(
    {"let", "in", "fun", "if", "then", "else", "true", "false", "null", "import", "match", "forall", "rec", "default", "doc"}
    | {"optional", "priority", "force", "not_exported", "include", "as", "Dyn", "Number", "Bool", "String", "Array"}
)


def dump_dag(dag: Dag, format: str) -> str:
    """Return the document as json, toml, yaml or nickel text, which reads back to an equal Dag.

    Raises UsageError for another format, ConfigError where TOML cannot hold a null in a node's params.
    """
    writers: Mapping[str, Callable[[dict[str, object]], str]] = {
        "json": _json,
        "toml": _toml,
        "yaml": _yaml,
        "nickel": _nickel,
    }
    writer = writers.get(format)
    if writer is None:
        found = nearest(format, FORMATS)
        hint = f"did you mean {found}?" if found else f"there are {', '.join(FORMATS)}"
        raise UsageError(f"no format is called {format!r}", hint=hint)
    return writer(document(dag))


def document(dag: Dag) -> dict[str, object]:
    """Return the canonical document as plain JSON values."""
    places = [place for formula in dag.formulas if len(place := _place(formula)) > 1]
    whole: dict[str, object] = {"formulas": [_formula(formula) for formula in dag.formulas]}
    return {**whole, "composition": {"formulas": places}} if places else whole


def _formula(formula: Formula) -> dict[str, object]:
    fields: dict[str, object] = {"id": formula.id, "server": formula.server}
    if formula.max_parallel != Formula(id="", server="").max_parallel:
        fields["max_parallel"] = formula.max_parallel
    return {**fields, "nodes": [_node(node) for node in formula.nodes]}


def _place(formula: Formula) -> dict[str, object]:
    fields: dict[str, object] = {"formula_id": formula.id}
    if formula.depends_on:
        fields["depends_on"] = [_formula_dep(dep) for dep in formula.depends_on]
    if formula.parallel:
        fields["parallel"] = True
    if formula.health_gate:
        fields["health_gate"] = _gate(formula.health_gate)
    return fields


def _formula_dep(dep: FormulaDep) -> dict[str, object]:
    condition = {} if dep.condition is Condition.HEALTHY else {"condition": dep.condition.value}
    return {"formula_id": dep.formula_id, **condition}


def _gate(gate: HealthGate) -> dict[str, object]:
    changed = {name: getattr(gate, name) for name in _GATE_FIELDS if getattr(gate, name) != getattr(_GATE_DEFAULT, name)}
    return {"check_cmd": gate.check_cmd, **changed}


def _node(node: Node) -> dict[str, object]:
    what: dict[str, object] = {"name": node.taskserv}
    if node.profile != "default":
        what["profile"] = node.profile
    optional: dict[str, object] = {
        "id": node.id if node.id != node.taskserv else None,
        "depends_on": [_node_dep(dep) for dep in node.depends_on] or None,
        "parallel": node.parallel or None,
        "on_error": node.on_error.value if node.on_error is not OnError.STOP else None,
        "max_retries": node.max_retries or None,
        "timeout_s": node.timeout_s,
        "params": dict(node.params) or None,
    }
    chosen = {name: value for name, value in optional.items() if value is not None}
    return {"component" if node.component else "taskserv": what, **chosen}


def _node_dep(dep: NodeDep) -> dict[str, object]:
    kind = {} if dep.kind is DepKind.ON_SUCCESS else {"kind": dep.kind.value}
    return {"node_id": dep.node_id, **kind}


def _json(whole: dict[str, object]) -> str:
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _toml(whole: dict[str, object]) -> str:
    import tomli_w

    if path := next(_nulls(whole), ""):
        raise ConfigError(f"toml has no null, found one at {path}", hint="export to json, yaml or nickel")
    return tomli_w.dumps(whole)


def _nulls(whole: object) -> Iterator[str]:
    work = [(whole, "$")]
    while work:
        value, path = work.pop()
        if value is None:
            yield path
        elif isinstance(value, dict):
            work += [(inner, path + step(key)) for key, inner in value.items()]
        elif isinstance(value, list):
            work += [(inner, path + step(index)) for index, inner in enumerate(value)]


def _yaml(whole: dict[str, object]) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    dumper = type("_NoAliases", (dumper,), {"ignore_aliases": lambda _self, _data: True})
    return str(yaml.dump(whole, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120))


def _nickel(whole: dict[str, object]) -> str:
    return f'let provisioning = import "provisioning/dag.ncl" in\n{_nickel_value(whole, "")} | provisioning.Dag\n'


def _nickel_value(value: object, indent: str) -> str:
    """Return a value in Nickel's notation. Depth is bounded by what a document may have (100 levels)."""
    inner = f"{indent}  "
    if isinstance(value, dict) and value:
        fields = "".join(f"{inner}{_nickel_key(key)} = {_nickel_value(one, inner)},\n" for key, one in value.items())
        return f"{{\n{fields}{indent}}}"
    if isinstance(value, list) and value:
        items = "".join(f"{inner}{_nickel_value(one, inner)},\n" for one in value)
        return f"[\n{items}{indent}]"
    return _nickel_text(value) if isinstance(value, str) else json.dumps(value)


def _nickel_key(key: str) -> str:
    plain = _NICKEL_NAME.fullmatch(key) and key not in _NICKEL_WORDS
    return key if plain else _nickel_text(key)


def _nickel_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%{", "\\%{")
    marks = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(marks.get(char) or _nickel_char(char) for char in escaped) + '"'


def _nickel_char(char: str) -> str:
    return char if char.isprintable() else f"\\u{{{ord(char):x}}}"
