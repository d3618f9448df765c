from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.growth import grows_linearly

from provisioning.core.dagu.declared import Param
from provisioning.core.dagu.params import Given, Resolved, by_name, environment, from_arguments, parse_params, resolve
from provisioning.core.dagu.patterns import finds
from provisioning.errors import UsageError


def pairs(params: tuple[Given, ...]) -> list[tuple[str, str]]:
    return [(one.name, one.value) for one in params]


def run(declared: Sequence[tuple[Param, str | None]], *arguments: str) -> Resolved:
    return resolve([one for one, _ in declared], [text for _, text in declared], from_arguments(arguments), finds)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("foo bar", [("", "foo"), ("", "bar")], id="two words"),
        pytest.param("a b K=v 'x y' ", [("", "a"), ("", "b"), ("K", "v"), ("", "x y")], id="mixed"),
        pytest.param(r'K="say \"hi\"" L=\"x\"', [("K", 'say "hi"'), ("L", '"x"')], id="quotes in values"),
        pytest.param(r'A="C:\\dir\new" B=\n', [("A", r"C:\dir\new"), ("B", r"\n")], id="other backslashes stay"),
        pytest.param("K= L=''", [("K", ""), ("L", "")], id="empty values"),
        pytest.param("K=a=b url=http://x?y=1", [("K", "a=b"), ("url", "http://x?y=1")], id="more equal signs"),
        pytest.param("http://x?y=1", [("", "http://x?y=1")], id="no name"),
        pytest.param('"K=v"', [("", "K=v")], id="quoted as a whole"),
        pytest.param("D=`date +%F` x", [("D", "`date +%F`"), ("", "x")], id="backticks hold together"),
        pytest.param('a"b c"d', [("", "ab cd")], id="pieces are joined"),
        pytest.param(
            '{"K": "v", "N": 1, "B": true, "Z": null}', [("K", "v"), ("N", "1"), ("B", "true"), ("Z", "")], id="object"
        ),
        pytest.param('["a b", "K=v", 2, {"L": [1]}]', [("", "a b"), ("K", "v"), ("", "2"), ("L", "[1]")], id="array"),
        pytest.param("{not json}", [("", "{not"), ("", "json}")], id="a brace alone"),
        pytest.param(" \n", [], id="nothing"),
    ],
)
def test_d30_params_in_one_text(text: str, found: list[tuple[str, str]]) -> None:
    assert pairs(parse_params(text)) == found


@pytest.mark.parametrize(("text", "column"), [('a "b', 3), ("K='x", 3), ("K=`x", 3)])
def test_a_quote_that_is_never_closed_is_named(text: str, column: int) -> None:
    with pytest.raises(UsageError, match=f"in column {column} is never closed"):
        parse_params(text)


def test_arguments_are_taken_as_the_shell_left_them() -> None:
    assert pairs(from_arguments(["a b", 'K="v"', "it's", "--x"])) == [("", "a b"), ("K", '"v"'), ("", "it's"), ("", "--x")]
    assert pairs(from_arguments(['{"K": "v"}'])) == [("K", "v")]
    assert pairs(from_arguments(['{"K": "v"}', "x"])) == [("", '{"K": "v"}'), ("", "x")]


def test_d30_words_are_the_numbered_variables() -> None:
    resolved = run([(Param(name=None), "foo"), (Param(name=None), "bar")])
    assert environment(resolved.values) == {"1": "foo", "2": "bar", "DAG_PARAMS_JSON": '{"1":"foo","2":"bar"}'}


def test_d30_names_are_variables_and_numbers_count_them_too() -> None:
    resolved = run([(Param(name="A"), "x"), (Param(name=None), "y"), (Param(name="N", type="integer"), "7")], "A=z")
    assert environment(resolved.values) == {
        "1": "z",
        "2": "y",
        "3": "7",
        "A": "z",
        "N": "7",
        "DAG_PARAMS_JSON": '{"A":"z","2":"y","N":7}',
    }
    assert by_name(resolved.values) == {"A": "z", "N": "7"}


def test_d30_positional_overrides_replace_by_number_and_those_past_the_last_are_added() -> None:
    declared = [(Param(name=None), "a"), (Param(name=None), "b")]
    assert [one.text for one in run(declared, "x").values] == ["x", "b"]
    assert [one.text for one in run(declared, "x", "y", "z").values] == ["x", "y", "z"]


def test_d30_an_unknown_name_is_refused_only_if_names_are_declared() -> None:
    refused = run([(Param(name="DATE"), "d"), (Param(name="REGION"), "r")], "DAET=1")
    (fault,) = refused.faults
    assert fault.message == 'params: there is no "DAET", accepted are "DATE", "REGION"'
    assert fault.hint == "did you mean DATE?"
    accepted = run([(Param(name=None), "a")], "ANY=1")
    assert (accepted.faults, by_name(accepted.values)) == ((), {"ANY": "1"})


@pytest.mark.parametrize(
    ("param", "good", "bad", "message"),
    [
        (
            Param(name="P", type="integer"),
            ["0", "-7", "+3"],
            ["", "1.0", "x", "1_000", "٣"],
            'param "P" must be a whole number',
        ),
        (
            Param(name="P", type="number"),
            ["1", "-1.5", "1e3"],
            ["x", "nan", "inf", "1_0", "1e999"],
            'param "P" must be a number',
        ),
        (Param(name="P", type="boolean"), ["true", "False", "0", "1"], ["yes", "", "tRUE"], 'param "P" must be true or false'),
        (Param(name="P", enum=("dev", "prod")), ["dev"], ["test", "DEV"], 'param "P" must be one of "dev", "prod"'),
        (Param(name="P", type="number", enum=("1", "2.5")), ["1.0", "2.50"], ["3"], 'param "P" must be one of'),
        (Param(name="P", type="integer", minimum=1, maximum=9), ["1", "9"], ["0"], 'param "P" must be at least 1, found "0"'),
        (Param(name="P", type="number", maximum=0.5), ["0.5"], ["0.6"], 'param "P" must be at most 0.5'),
        (
            Param(name="P", min_length=2, max_length=3),
            ["ab", "äöü"],
            ["a"],
            'param "P" must have at least 2 characters, found 1',
        ),
        (Param(name="P", max_length=3), ["", "abc"], ["abcd"], 'param "P" must have at most 3 characters'),
        (Param(name="P", pattern="^v[0-9]+$"), ["v1"], ["1v", "v"], 'param "P" must match "^v[0-9]+$"'),
        (Param(name="P", pattern="("), [], ["x"], 'param "P" cannot be checked: "(" is not a regular expression'),
        (Param(name=None, type="integer"), ["1"], ["x"], "param 1 must be a whole number"),
    ],
)
def test_values_are_checked(param: Param, good: list[str], bad: list[str], message: str) -> None:
    prefix = "P=" if param.name else ""
    for text in good:
        assert run([(param, None)], prefix + text).faults == ()
    for text in bad:
        (fault,) = run([(param, None)], prefix + text).faults
        assert fault.message.startswith(message)


def test_all_faults_are_told_at_once_and_defaults_are_checked_too() -> None:
    declared: list[tuple[Param, str | None]] = [
        (Param(name="A", required=True, description="the day to load"), None),
        (Param(name="B", type="integer"), "many"),
        (Param(name="C", type="integer", minimum=5, enum=("7",)), "1"),
    ]
    found = run(declared, "X=1").faults
    assert [one.code for one in found] == ["unknown_param", "missing_param", "param_type", "param_enum", "param_range"]
    assert found[1].hint == "the day to load"


def test_what_is_neither_given_nor_has_a_default_is_no_variable() -> None:
    resolved = run([(Param(name="A"), None), (Param(name="B"), "b")])
    assert environment(resolved.values) == {"2": "b", "B": "b", "DAG_PARAMS_JSON": '{"B":"b"}'}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (r'{"a=b": 1}', 'params: "a=b" is no name for a parameter'),
        (r'{"1": 1}', 'params: "1" is no name for a parameter'),
        (r'{"A": "x\u0000y"}', 'param "A" has a NUL in it, which no variable can hold'),
    ],
)
def test_what_no_environment_can_hold_is_refused(argument: str, message: str) -> None:
    (fault,) = run([(Param(name="A"), "")], argument).faults
    assert fault.message == message


def test_what_is_added_is_checked_as_well() -> None:
    found = run([], r'["\u0000", {"B": "\u0000"}]').faults
    assert [one.message.partition(" has a NUL")[0] for one in found] == ["param 1", 'param "B"']


def test_params_json_has_the_declared_types() -> None:
    declared: list[tuple[Param, str | None]] = [
        (Param(name="N", type="number"), "1.50"),
        (Param(name="B", type="boolean"), "TRUE"),
        (Param(name="S"), "1"),
    ]
    assert json.loads(environment(run(declared).values)["DAG_PARAMS_JSON"]) == {"N": 1.5, "B": True, "S": "1"}


VALUES = st.text(max_size=8).filter(lambda text: "`" not in text and "\0" not in text)


@given(st.lists(st.tuples(st.sampled_from(["", "A", "b_1"]), VALUES), max_size=6))
def test_values_in_double_quotes_come_through_unchanged(values: list[tuple[str, str]]) -> None:
    def quoted(text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    text = " ".join(f"{name}={quoted(value)}" if name else quoted(value) for name, value in values)
    assert pairs(parse_params(text)) == values


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda n: "a " * n, id="words"),
        pytest.param(lambda n: "a" * n, id="one word"),
        pytest.param(lambda n: '"a"' * n, id="pieces"),
        pytest.param(lambda n: "\\" * n, id="backslashes"),
        pytest.param(lambda n: "a.-" * n + " b", id="dots"),
        pytest.param(lambda n: "[" * n, id="brackets"),
    ],
)
def test_no_text_takes_long(make: Callable[[int], str]) -> None:
    assert grows_linearly(parse_params, make)
