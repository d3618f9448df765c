from __future__ import annotations

import json

import pytest

from provisioning.core.dagu.outputs import (
    Captured,
    Entry,
    SubRun,
    captured,
    items_of,
    parallel_document,
    structured,
    sub_dag_document,
)
from provisioning.core.dagu.text import Scope, expand


def decode(kind: str, text: str) -> object:
    if kind == "json":
        return json.loads(text)
    raise ValueError(kind)


@pytest.mark.parametrize(
    ("stdout", "text"),
    [
        (b" a \n b \n\n", "a \n b"),
        (b"", ""),
        (b"\n", ""),
        (b"a\0b", "ab"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_d14_d15_output_is_stdout_without_the_blanks_around_it(stdout: bytes, text: str) -> None:
    assert captured(stdout) == Captured(text=text)


def test_output_above_the_limit_fails_the_step() -> None:
    assert captured(b"x" * 10, 10).problem == ""
    assert captured(b"x" * 11, 10) == Captured(problem="the output has more than 10 bytes (max_output_size)")


def test_entries_of_a_structured_output() -> None:
    made = structured(
        [
            Entry(name="literal", text="v 1"),
            Entry(name="trimmed", text=" out \n"),
            Entry(name="total", text='{"rows": [{"n": 7}], "on": true}', decode="json", select=".rows[0].n"),
            Entry(name="on", text='{"on": true}', decode="json", select="on"),
            Entry(name="whole", text="[1]", decode="json"),
        ],
        decode,
    )
    assert dict(made.values) == {"literal": "v 1", "trimmed": "out", "total": 7, "on": True, "whole": [1]}
    assert not made.faults


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (Entry(name="x", text=None), 'output "x": there is no such file'),
        (Entry(name="x", text="{", decode="json"), 'output "x": found "{", expected json'),
        (Entry(name="x", text='{"a": 1}', decode="json", select=".b"), 'output "x": there is nothing at ".b"'),
        (Entry(name="x", text='{"a": 1}', decode="json", select="a b"), 'output "x": there is nothing at "a b"'),
        (Entry(name="x", text="[" * 100_000, decode="json"), 'output "x": found "'),
    ],
)
def test_an_entry_without_a_value_is_a_fault_and_the_others_are_there(entry: Entry, message: str) -> None:
    made = structured([entry, Entry(name="y", text="1")], decode)
    assert dict(made.values) == {"y": "1"}
    assert [one.message[: len(message)] for one in made.faults] == [message]


def sub_run(number: int, *, succeeded: bool = True) -> SubRun:
    status = "succeeded" if succeeded else "failed"
    outputs = {"GREETING": f"hello {number}"}
    return SubRun(name="child", run_id=f"r{number}", params=f"N={number}", status=status, outputs=outputs, succeeded=succeeded)


def test_d34_the_parent_reads_the_outputs_of_its_sub_dag() -> None:
    text = json.dumps(sub_dag_document(sub_run(1)))
    assert json.loads(text) == {
        "name": "child",
        "dagRunId": "r1",
        "params": "N=1",
        "status": "succeeded",
        "outputs": {"GREETING": "hello 1"},
    }
    assert expand("${SUB.outputs.GREETING}, ${SUB.status}", Scope(variables={"SUB": text})) == "hello 1, succeeded"


def test_d35_a_parallel_step_counts_its_runs_and_has_the_outputs_of_those_that_succeeded() -> None:
    text = json.dumps(parallel_document([sub_run(1), sub_run(2, succeeded=False), sub_run(3)]))
    scope = Scope(variables={"ALL": text})
    assert expand("${ALL.summary.total} ${ALL.summary.succeeded} ${ALL.summary.failed}", scope) == "3 2 1"
    assert expand("${ALL.outputs[1].GREETING} ${ALL.results[1].status}", scope) == "hello 3 failed"


@pytest.mark.parametrize(
    ("value", "items"),
    [
        pytest.param(["a", "b c", 1, True], ("a", "b c", "1", "true"), id="list"),
        pytest.param([{"region": "eu", "n": 1}], ('{"region":"eu","n":1}',), id="objects"),
        pytest.param('["a", {"b": 1}]', ("a", '{"b":1}'), id="JSON text"),
        pytest.param('{"b": 1}', ('{"b":1}',), id="one object in JSON text"),
        pytest.param(" a  b\nc ", ("a", "b", "c"), id="words"),
        pytest.param("1 2", ("1", "2"), id="numbers are words"),
        pytest.param("7", ("7",), id="one number"),
        pytest.param('"a b"', ('"a', 'b"'), id="a JSON text is words"),
        pytest.param("", (), id="nothing"),
    ],
)
def test_d35_the_items_of_a_parallel_step(value: object, items: tuple[str, ...]) -> None:
    assert items_of(value) == items


def test_d35_fields_of_an_item_can_be_read() -> None:
    (item,) = items_of([{"region": "eu"}])
    assert expand("${ITEM.region}", Scope(variables={"ITEM": item})) == "eu"


def test_d35_a_thousand_items_and_no_more() -> None:
    assert len(items_of(list(range(1_000)))) == 1_000
    for many in (list(range(1_001)), json.dumps(list(range(1_001))), "x " * 1_001):
        with pytest.raises(ValueError, match="found 1,001 items, expected at most 1,000"):
            items_of(many)
