from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.growth import grows_linearly

from provisioning.core.dagu.text import (
    LONGEST_CHARS,
    Rules,
    Scope,
    StepFacts,
    expand,
    references,
)
from provisioning.errors import ConfigError

CURRENT_RULES = Rules(escapes=True, keeps_backslash=False)
SCOPE = Scope(
    variables={
        "NAME": "world",
        "EMPTY": "",
        "CONFIG": '{"host": "db", "port": 5432, "tags": ["a", {"x": "deep"}], "on": true, "none": null, "odd-key": 1.5}',
        "TEXT": "not json",
        "LIST": '[{"a": 1}, 2]',
        "TRICK": "${NAME} $NAME `id` ${CONFIG.host}",
        "1": "first",
        "2": "second one",
        "fetch": '{"url": "u"}',
    },
    steps={
        "fetch": StepFacts(stdout="/logs/fetch.out", stderr="/logs/fetch.err", exit_code=42, output='{"rows": [7, 8]}'),
        "quiet": StepFacts(stdout="/logs/quiet.out", stderr="/logs/quiet.err", exit_code=0),
        "blank": StepFacts(stdout="/logs/blank.out", exit_code=0, output=""),
        "typed": StepFacts(output={"total": 3, "names": ["x"]}, outputs={"KEY": "v"}),
        "waiting": StepFacts(),
    },
    spaces={"params": {"date": "2026-01-01", "obj": '{"a": "b"}'}, "env": {"X": "from env"}, "consts": {"n": 5}},
)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        pytest.param("hello ${NAME}, $NAME!", "hello world, world!", id="both forms"),
        pytest.param("${NAME}_$NAME.x", "world_world.x", id="a bare name ends where letters do"),
        pytest.param("[$EMPTY${EMPTY}]", "[]", id="empty is a value"),
        pytest.param("$1 ${2} $12 ${1}0", "first second one first2 first0", id="one digit without braces, as in shells"),
        pytest.param("${params.date} ${env.X} ${consts.n}", "2026-01-01 from env 5", id="spaces"),
        pytest.param("${params.obj.a}", "b", id="into a param"),
    ],
)
def test_references_are_replaced(text: str, becomes: str) -> None:
    assert expand(text, SCOPE) == becomes


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        pytest.param("${CONFIG.host}:${CONFIG.port}", "db:5432", id="two keys"),
        pytest.param("${CONFIG.tags[0]} ${CONFIG.tags[1].x}", "a deep", id="list items"),
        pytest.param("${LIST[0].a} ${LIST[1]}", "1 2", id="a list at the top"),
        pytest.param("${CONFIG.on} ${CONFIG.none} ${CONFIG.odd-key}", "true null 1.5", id="other values as JSON has them"),
        pytest.param("${CONFIG.tags}", '["a",{"x":"deep"}]', id="a whole list is compact JSON"),
        pytest.param("$CONFIG.host", SCOPE.variables["CONFIG"] + ".host", id="no paths without braces"),
        pytest.param("${CONFIG.gone} ${CONFIG.tags[2]} ${CONFIG.host.x}", None, id="no such place"),
        pytest.param("${TEXT.a} ${TEXT[0]}", None, id="no JSON"),
    ],
)
def test_d27_a_path_reads_into_json_output(text: str, becomes: str | None) -> None:
    assert expand(text, SCOPE) == (text if becomes is None else becomes)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        pytest.param("${fetch.stdout} ${fetch.stderr}", "/logs/fetch.out /logs/fetch.err", id="paths of logs"),
        pytest.param("${fetch.exitCode} ${quiet.exitCode} ${fetch.exit_code}", "42 0 42", id="exit code"),
        pytest.param("${fetch.output.rows[1]}", "8", id="into its output"),
        pytest.param("${typed.output.total} ${typed.outputs.KEY}", "3 v", id="structured output"),
        pytest.param("${typed.output}", '{"total":3,"names":["x"]}', id="a whole structured output"),
        pytest.param("${fetch.url}", "u", id="what is no property of the step is looked for in the variable of that name"),
        pytest.param("${nobody.stdout} ${fetch.colour} ${NOWHERE} $NOWHERE ${3}", None, id="unknown stays"),
        pytest.param("${waiting.exitCode} ${waiting.stdout}", None, id="a step that has not run"),
        pytest.param("${NAME:-x} ${#NAME} ${NAME%.*} ${!NAME} ${NAME^^} $$ $? $@ ${} $ ${ NAME }", None, id="forms of shells"),
    ],
)
def test_d28_what_a_step_reference_means(text: str, becomes: str | None) -> None:
    assert expand(text, SCOPE) == (text if becomes is None else becomes)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        pytest.param("${NAME:0:3}", "wor", id="from the start"),
        pytest.param("${NAME:3}", "ld", id="to the end"),
        pytest.param("${NAME:1:99}", "orld", id="longer than it is"),
        pytest.param("[${NAME:9}] [${NAME:9:2}]", "[] []", id="past the end"),
        pytest.param("${NAME: -3} ${NAME: -3:2}", "rld rl", id="from the end, with a blank as in bash"),
        pytest.param("[${NAME: -9}]", "[]", id="before the beginning is nothing"),
        pytest.param("${NAME:1:-1}", "orl", id="up to the last"),
        pytest.param("${NAME:3:-4}", None, id="an end before the beginning stays"),
        pytest.param("${CONFIG.host:0:1} ${fetch.output.rows:1:1}", "d 7", id="of what a path leads to"),
        pytest.param("${NAME:-3}", None, id="without the blank it is the shell's default value"),
        pytest.param("${blank.output}|${blank.output:0:5}|", "||", id="empty output is empty text"),
        pytest.param("${quiet.output} ${quiet.output:0:5}", None, id="output that was not captured stays"),
    ],
)
def test_d29_slices_and_outputs_that_are_not_there(text: str, becomes: str | None) -> None:
    assert expand(text, SCOPE) == (text if becomes is None else becomes)


@pytest.mark.parametrize(
    ("text", "current", "for_a_shell", "old"),
    [
        (r"\$NAME", "$NAME", r"\$NAME", r"\world"),
        (r"\\$NAME", r"\\world", r"\\world", r"\\world"),
        (r"\\\${NAME}", r"\\${NAME}", r"\\\${NAME}", r"\\\world"),
        (r"a\b $NAME", r"a\b world", r"a\b world", r"a\b world"),
        (r"\${NOWHERE}", "${NOWHERE}", r"\${NOWHERE}", r"\${NOWHERE}"),
    ],
)
def test_an_odd_number_of_backslashes_protects_in_the_current_dialect(
    text: str, current: str, for_a_shell: str, old: str
) -> None:
    assert expand(text, SCOPE, rules=CURRENT_RULES) == current
    assert expand(text, SCOPE, rules=Rules(escapes=True)) == for_a_shell
    assert expand(text, SCOPE) == old


def test_what_a_reference_stands_for_is_not_looked_at_again() -> None:
    assert expand("<${TRICK}>", SCOPE) == f"<{SCOPE.variables['TRICK']}>"


def test_references_are_listed_with_their_places() -> None:
    text = r"a ${x.out[0].k:1:2} \$y ${params.z} $1"
    found = references(text, CURRENT_RULES)
    assert [(one.name, one.path, text[one.start : one.end]) for one in found] == [
        ("x", ("out", 0, "k"), "${x.out[0].k:1:2}"),
        ("params", ("z",), "${params.z}"),
        ("1", (), "$1"),
    ]
    assert (found[0].offset, found[0].length) == (1, 2)
    assert [one.name for one in references(text)] == ["x", "y", "params", "1"]


def test_a_dash_may_be_in_the_id_of_a_step_but_a_default_is_the_shells() -> None:
    scope = Scope(steps={"my-step": StepFacts(exit_code=0)}, variables={"my": "x"})
    assert expand("${my-step.exitCode} ${my-default}", scope) == "0 ${my-default}"


def test_half_characters_from_json_can_be_written_to_a_file() -> None:
    text = expand("${X.a} ${X.b}", Scope(variables={"X": r'{"a": "\ud800x", "b": ["\udfff"]}'}))
    assert text.encode() == '\N{REPLACEMENT CHARACTER}x ["\N{REPLACEMENT CHARACTER}"]'.encode()


def test_a_text_that_would_become_huge_is_refused() -> None:
    with pytest.raises(ConfigError, match="becomes longer than"):
        expand("$X" * 20, Scope(variables={"X": "x" * (LONGEST_CHARS // 10)}))


@pytest.mark.parametrize("nested", ["[" * 100_000, '{"a":' * 100_000, "1" * 100_000, "NaN"])
def test_odd_json_is_text_like_any_other(nested: str) -> None:
    assert expand("${X.a}${X[0]}", Scope(variables={"X": nested})) == "${X.a}${X[0]}"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda n: "$NAME" * n, id="names"),
        pytest.param(lambda n: "${a" * n, id="never closed"),
        pytest.param(lambda n: "${" + "a" * n, id="a long name"),
        pytest.param(lambda n: "${" + "a-" * n, id="a long name with dashes"),
        pytest.param(lambda n: "${a" + ".b" * n, id="a long path"),
        pytest.param(lambda n: "${a" + "[0]" * n, id="many indexes"),
        pytest.param(lambda n: "${a:" + " " * n, id="blanks"),
        pytest.param(lambda n: "\\" * n + "$NAME", id="backslashes"),
        pytest.param(lambda n: "\\$NAME" * n, id="protected ones"),
    ],
)
def test_no_text_takes_long(make: Callable[[int], str]) -> None:
    assert grows_linearly(lambda text: expand(text, SCOPE, rules=CURRENT_RULES), make)


def test_json_is_read_once_however_often_it_is_referred_to() -> None:
    def read(text: str) -> None:
        big = json.dumps({"rows": list(range(len(text) // 8)), "a": "x"})
        assert expand(text, Scope(variables={"BIG": big})) == "x" * (len(text) // 8)

    assert grows_linearly(read, lambda n: "${BIG.a}" * n, size=500)


PIECES = st.sampled_from(
    ["$", "{", "}", "${", "NAME", ".host", "[0]", ":0", ":2", "\\", "CONFIG", "fetch", ".stdout", "1", "`", "'", " ", "-"]
)


@given(st.lists(PIECES, max_size=25).map("".join))
def test_whatever_the_text_only_its_references_change(text: str) -> None:
    found = references(text)
    assert expand(text, Scope()) == text
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert all(text[one.start] == "$" for one in found)


@given(st.text(max_size=30), st.text(max_size=10))
def test_values_come_through_unchanged(value: str, around: str) -> None:
    around = around.replace("$", "")
    assert (
        expand(f"{around}${{V}}{around}", Scope(variables={"V": value}))
        == around + "".join("\N{REPLACEMENT CHARACTER}" if 0xD800 <= ord(char) < 0xE000 else char for char in value) + around
    )
