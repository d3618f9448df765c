from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from provisioning.core.declare import Condition, Dag, DepKind, Formula, FormulaDep, HealthGate, Node, NodeDep, OnError
from provisioning.errors import ConfigError, UsageError
from provisioning.formats.dagdoc import read_dag
from provisioning.formats.dagfile import inspect_dag_file
from provisioning.formats.export import FORMATS, dump_dag

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,6}", fullmatch=True)
LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12).filter(str.strip)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6).map(lambda one: round(one, 3)) | LINES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LINES, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def nodes(draw: st.DrawFn) -> tuple[Node, ...]:
    found: list[Node] = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        earlier = [node.id for node in found]
        retries = draw(st.integers(0, 3))
        needs = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        found.append(
            Node(
                id=name,
                taskserv=draw(st.sampled_from((name, "os"))),
                profile=draw(st.sampled_from(("default", "worker"))),
                component=draw(st.booleans()),
                depends_on=tuple(NodeDep(node_id=need, kind=draw(st.sampled_from(DepKind))) for need in needs),
                parallel=draw(st.booleans()),
                on_error=OnError.RETRY if retries else draw(st.sampled_from((OnError.STOP, OnError.CONTINUE))),
                max_retries=retries,
                timeout_s=draw(st.sampled_from((None, 1, 2.5))),
                params=draw(st.dictionaries(LINES, VALUES, max_size=2)),
            )
        )
    return tuple(found)


GATES = st.builds(
    HealthGate,
    check_cmd=LINES,
    retries=st.sampled_from((6, 1)),
    timeout_ms=st.sampled_from((60_000, 5)),
    probe_timeout_ms=st.sampled_from((None, 3)),
    interval_ms=st.sampled_from((None, 4)),
    expected=st.sampled_from((None, "ok", "re:^a%{2}$")),
    address=st.sampled_from((None, "public")),
)


@st.composite
def dags(draw: st.DrawFn) -> Dag:
    found: list[Formula] = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        earlier = [formula.id for formula in found]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        found.append(
            Formula(
                id=name,
                server=draw(NAMES),
                nodes=draw(nodes()),
                max_parallel=draw(st.sampled_from((4, 1))),
                depends_on=tuple(FormulaDep(formula_id=need, condition=draw(st.sampled_from(Condition))) for need in needs),
                parallel=draw(st.booleans()),
                health_gate=draw(st.none() | GATES),
            )
        )
    return Dag(formulas=tuple(found))


def read(text: str, format_name: str) -> Any:
    readers: dict[str, Callable[[str], Any]] = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
    return readers[format_name](text)


@examples(1.5)
@given(dags(), st.sampled_from(("json", "toml", "yaml")))
def test_what_is_written_reads_back_to_the_same_dag(dag: Dag, format_name: str) -> None:
    document = read_dag(read(dump_dag(dag, format_name), format_name))

    assert document.dag == dag


def test_nickel_reads_back_to_the_same_dag(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("nickel") / "dag.ncl"

    @examples(0.4)
    @given(dags())
    def reads_back(dag: Dag) -> None:
        file.write_text(dump_dag(dag, "nickel"), encoding="utf-8")
        found, faults = inspect_dag_file(file)
        assert (found, [fault for fault in faults if fault.severity == "error"]) == (dag, [])

    reads_back()


def test_defaults_are_left_out_and_an_empty_composition_too() -> None:
    dag = Dag(formulas=(Formula(id="a", server="s", nodes=(Node(id="os", taskserv="os"),)),))

    assert json.loads(dump_dag(dag, "json")) == {
        "formulas": [{"id": "a", "server": "s", "nodes": [{"taskserv": {"name": "os"}}]}]
    }


def test_toml_cannot_hold_a_null_and_says_where_it_is() -> None:
    node = Node(id="os", taskserv="os", params={"a": [{"b c": None}]})
    dag = Dag(formulas=(Formula(id="a", server="s", nodes=(node,)),))

    with pytest.raises(ConfigError) as caught:
        dump_dag(dag, "toml")
    assert caught.value.message == 'toml has no null, found one at $.formulas[0].nodes[0].params.a[0]["b c"]'


def test_another_format_is_a_wrong_call_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        dump_dag(Dag(), "ymal")
    assert caught.value.hint == "did you mean yaml?"
    assert FORMATS == ("json", "toml", "yaml", "nickel")
