from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.declared import CATALOGUE, the_servers
from support.examples import examples

from provisioning.core.faults import Fault
from provisioning.formats.dagdoc import read_dag
from provisioning.formats.schemas import validator
from provisioning.formats.serverdoc import read_servers
from provisioning.formats.source import has_errors

FULL_DAG = {
    "formulas": [
        {
            "id": "cp",
            "server": "cp-0",
            "max_parallel": 4,
            "parallel": True,
            "nodes": [
                {"taskserv": {"name": "containerd", "profile": "default"}, "timeout_s": 1.5, "parallel": False},
                {"component": "etcd", "id": "store", "on_error": "retry", "max_retries": 2, "params": {"a": [1, None]}},
                {"taskserv": "os", "depends_on": ["store", {"node_id": "containerd", "kind": "always"}]},
            ],
        },
        {"id": "wk", "server": "wk-0", "nodes": [{"taskserv": "os"}], "depends_on": ["cp"], "health_gate": {"check_cmd": "a"}},
    ],
    "composition": {
        "formulas": [
            {
                "formula_id": "cp",
                "depends_on": [],
                "health_gate": {
                    "check_cmd": "kubectl get --raw=/readyz",
                    "retries": 10,
                    "timeout_ms": 180000,
                    "probe_timeout_ms": 1,
                    "interval_ms": 1,
                    "expected": "re:ok",
                    "address": "public",
                },
            },
            {"formula_id": "wk", "parallel": False, "depends_on": [{"formula_id": "cp", "condition": "healthy"}]},
        ]
    },
}
FULL_SERVERS = {
    "servers": [
        {
            "hostname": "cp-0",
            "address": "192.0.2.1",
            "public_ip": "2001:db8::1",
            "private_ip": "cp-0.lan",
            "ssh": {"user": "admin", "port": 22, "key_path": "~/.ssh/key", "proxy_jump": "jump,x@y:1", "become": "sudo"},
            "site": "edge",
            "labels": {"rack": "a 1"},
        },
        {"hostname": "wk-0", "address": "x", "ssh": {"become": {"method": "sudo", "password": "env:SUDO"}}},
    ]
}
SCHEMA_CODES = {
    *("unknown_field", "missing_field", "wrong_type", "node_shape", "unknown_word", "bad_name", "bad_text", "bad_address"),
    *("bad_reference", "bounds", "gate_bounds", "empty_formula", "invalid"),
}
LEAVES = (
    None,
    True,
    0,
    -1,
    1,
    2.0,
    1.5,
    10**400,
    "",
    "x",
    "a b",
    "a..b",
    "-x",
    "x\n",
    "\0",
    "retry",
    "sudo",
    "hunter2",
    "re:(",
    "ü" * 70_000,
)
ODD = st.one_of(
    st.sampled_from(LEAVES),
    st.sampled_from(LEAVES).map(lambda leaf: [leaf]),
    st.sampled_from(LEAVES).map(lambda leaf: {"name": leaf}),
    st.sampled_from(({}, [], [[]], [{}], {"formula_id": "cp"}, {"method": "sudo"})),
    st.text(max_size=3),
)  # fmt: skip


def spots(value: Any, found: list[tuple[Any, Any]] | None = None) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a document."""
    found = [] if found is None else found
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        found.append((value, key))
        spots(value[key], found)
    return found


@st.composite
def mutations(draw: st.DrawFn, document: Any) -> Any:
    """A document with one to three changes: a value replaced, a field dropped, doubled under another name, or added."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(spots(changed) or [(changed, None)]))
        kind = draw(st.sampled_from(("replace", "replace", "drop", "add", "swap")))
        if key is None or key not in (container if isinstance(container, dict) else range(len(container))):
            continue
        if kind == "replace":
            container[key] = copy.deepcopy(draw(ODD))
        elif kind == "drop":
            del container[key]
        elif kind == "swap":
            other, name = draw(st.sampled_from(spots(changed)))
            container[key] = copy.deepcopy(other[name])
        elif isinstance(container, dict):
            name = draw(st.sampled_from(("component", "taskserv", "retires", "$schema", "a\x1b[31m")))
            container[name] = copy.deepcopy(draw(ODD))
        else:
            container.insert(key, copy.deepcopy(draw(ODD)))
    return changed


def agrees(name: str, document: Any, read: Callable[[Any], tuple[Fault, ...]]) -> None:
    """Assert that our reading and the published schema find a document good or bad alike."""
    faults = read(document)
    found = {fault.code for fault in faults} & SCHEMA_CODES

    assert "invalid" not in found, "refused without a reason that the schema knows"
    if validator(name).is_valid(document):
        assert not found
    else:
        assert has_errors(faults)


def read_dag_faults(document: Any) -> tuple[Fault, ...]:
    return read_dag(document, servers=the_servers("cp-0", "wk-0"), taskservs=CATALOGUE).faults


def read_server_faults(document: Any) -> tuple[Fault, ...]:
    return read_servers(document).faults


def test_documents_with_every_field_are_valid() -> None:
    assert read_dag_faults(FULL_DAG) == ()
    assert read_server_faults(FULL_SERVERS) == ()


@examples(6)
@given(mutations(FULL_DAG))
def test_the_dag_reader_and_the_schema_agree(document: Any) -> None:
    agrees("dag", document, read_dag_faults)


@examples(3)
@given(mutations(FULL_SERVERS))
def test_the_server_reader_and_the_schema_agree(document: Any) -> None:
    agrees("servers", document, read_server_faults)


@given(ODD)
def test_documents_that_are_something_else_altogether_are_faults(document: Any) -> None:
    agrees("dag", document, read_dag_faults)
    agrees("servers", document, read_server_faults)


def test_a_password_in_the_clear_is_never_repeated() -> None:
    login = {"become": {"method": "sudo", "password": "hunter2"}}
    faults = read_server_faults({"servers": [{"hostname": "a", "address": "x", "ssh": login}]})

    assert [fault.code for fault in faults] == ["bad_reference"]
    assert "hunter2" not in repr(faults)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    document = {"formulas": [{"id": "a", "server": "cp-0", "nodes": [{"taskserv": "os"}], "max_parallel": 2.0}]}

    assert read_dag_faults(document) == ()
    assert read_dag(document).dag.formulas[0].max_parallel == 2


def test_formulas_by_the_ten_thousand_are_read_in_seconds() -> None:
    formulas = [
        {"id": f"f{number}", "server": "s", "nodes": [{"taskserv": "os"}], "depends_on": [f"f{number - 1}"] if number else []}
        for number in range(20_000)
    ]
    start = time.process_time()

    document = read_dag(json.loads(json.dumps({"formulas": formulas})))

    assert len(document.dag.formulas) == 20_000
    assert time.process_time() - start < 3


def test_ten_thousand_faulty_formulas_are_explained_up_to_a_limit() -> None:
    faults = read_dag({"formulas": [{"id": 1}] * 10_000}).faults

    assert sum(fault.code == "wrong_type" for fault in faults) == 1_000
    assert [fault.message for fault in faults if fault.code == "too_many"] == [
        "9,000 more items do not fit; the first 1,000 are shown"
    ]
