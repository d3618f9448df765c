from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.growth import grows_linearly

from provisioning.core.dagu.outputs import (
    Captured,
    DeclaredOutput,
    Entry,
    Left,
    SubRun,
    camel_case,
    captured,
    declared_outputs,
    items_of,
    parallel_document,
    read_output_file,
    run_outputs,
    structured,
    sub_dag_document,
    visible,
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


@pytest.mark.parametrize(
    ("text", "values"),
    [
        pytest.param("A=1\nB=x = y\n\nC=\n", {"A": "1", "B": "x = y", "C": ""}, id="lines"),
        pytest.param("A= 1 \r\n", {"A": " 1 "}, id="blanks stay"),
        pytest.param("A=1\nA=2", {"A": "2"}, id="the last counts"),
        pytest.param("A<<END\none\n  two\n\nEND\nB=3\n", {"A": "one\n  two\n", "B": "3"}, id="several lines"),
        pytest.param("A<<E\nE\n", {"A": ""}, id="no lines"),
        pytest.param("A<<E\nB=1\n E\nE\n", {"A": "B=1\n E"}, id="only the whole line ends it"),
        pytest.param("A=x<<y\n", {"A": "x<<y"}, id="the first mark counts"),
        pytest.param("", {}, id="nothing"),
    ],
)
def test_files_of_outputs(text: str, values: dict[str, str]) -> None:
    read = read_output_file(text)
    assert (dict(read.values), read.faults) == (values, ())


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("A=1\nwords\nB=2\n", 2, 'found "words", expected NAME=value or NAME<<END'),
        ("=1\n", 1, 'found "=1", expected NAME=value or NAME<<END'),
        ("A=1\nB=2\nA<<\n", 3, 'found "A<<", expected NAME=value or NAME<<END'),
        ("A=1\nB=2\nC<<END\nx\n", 3, 'the text of "C" is never ended by a line "END"'),
    ],
)
def test_what_is_wrong_in_a_file_of_outputs_has_its_line(text: str, line: int, message: str) -> None:
    read = read_output_file(text)
    assert [(one.line, one.message) for one in read.faults] == [(line, message)]
    assert read.values["A"] == "1" if line > 1 else not read.values


def test_outputs_that_a_step_declares_have_to_be_written() -> None:
    declared = [
        DeclaredOutput(name="A"),
        DeclaredOutput(name="B", json=True),
        DeclaredOutput(name="C", json=True),
        DeclaredOutput(name="D"),
    ]
    made = declared_outputs(declared, read_output_file('A=1\nB={"x": 1}\nC={\nE=more\n'))
    assert dict(made.values) == {"A": "1", "B": {"x": 1}}
    assert [one.message for one in made.faults] == [
        'output "C": found "{", expected json',
        'output "D": it was not written to $DAGU_OUTPUT_FILE',
    ]


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), st.text(alphabet="ab=<\n E", max_size=8), max_size=4))
def test_whatever_is_written_between_ends_comes_back(values: dict[str, str]) -> None:
    text = "".join(f"{name}<<E0F\n{value}\nE0F\n" for name, value in values.items())
    assert dict(read_output_file(text).values) == values


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda n: "A" + " " * n, id="blanks"),
        pytest.param(lambda n: "A=1\n" * n, id="lines"),
        pytest.param(lambda n: "A<<E\n" * n, id="never ended"),
        pytest.param(lambda n: "<" * n, id="marks"),
    ],
)
def test_no_file_takes_long(make: Callable[[int], str]) -> None:
    assert grows_linearly(read_output_file, make)


def test_d26_outputs_reach_everything_below_and_nothing_else() -> None:
    depends = {"a": [], "b": ["a"], "c": ["b"], "d": ["c"], "beside": []}
    outputs = {"a": {"A": "1"}, "c": {"C": "3"}, "beside": {"X": "9"}}
    assert visible("b", depends, outputs) == {"A": "1"}
    assert visible("d", depends, outputs) == {"A": "1", "C": "3"}
    assert visible("beside", depends, outputs) == visible("a", depends, outputs) == {}


def test_d26_of_two_outputs_with_one_name_the_later_counts() -> None:
    depends = {"a": [], "b": [], "c": ["a", "b"]}
    assert visible("c", depends, {"b": {"X": "b"}, "a": {"X": "a"}}) == {"X": "a"}


def test_d26_a_long_chain_is_no_recursion() -> None:
    depends = {str(number): [str(number - 1)] if number else [] for number in range(50_000)}
    assert visible("49999", depends, {"0": {"A": "1"}, "49999": {"B": "2"}}) == {"A": "1"}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("RESULT", "result"),
        ("TOTAL_COUNT", "totalCount"),
        ("A_B_C", "aBC"),
        ("OUT_1", "out1"),
        ("_X__Y_", "xY"),
        ("snake_case", "snakeCase"),
        ("alreadyCamel", "alreadyCamel"),
        ("", ""),
        ("__", "__"),
    ],
)
def test_names_of_outputs_become_camel_case(name: str, key: str) -> None:
    assert camel_case(name) == key


def test_the_last_writer_of_a_key_wins_in_the_outputs_of_a_run() -> None:
    left = [Left(name="ROW_COUNT", value="1"), Left(name="X", value="x", key="my_key"), Left(name="rowCount", value="2")]
    assert run_outputs(left) == {"rowCount": "2", "my_key": "x"}


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
