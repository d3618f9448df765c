from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.growth import grows_linearly

from provisioning.core.dagu.commands import commands_in, with_results
from provisioning.core.dagu.text import Scope


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        pytest.param("now: `date +%F`", ["date +%F"], id="backticks"),
        pytest.param("$(a) and `b`", ["a", "b"], id="both"),
        pytest.param("$(echo $(date) (x))", ["echo $(date) (x)"], id="nested: the outer one"),
        pytest.param("""$(echo ")" ')' "\\")")""", ["""echo ")" ')' "\\")\""""], id="quotes hide parentheses"),
        pytest.param(r"`echo \`date\` \$x \\ \n`", [r"echo `date` $x \ \n"], id="backslashes in backticks"),
        pytest.param(r"\`a\` \$(b) \\`c`", ["c"], id="protected"),
        pytest.param("it's `date`", ["date"], id="a quote outside means nothing"),
        pytest.param("$((1 + 2))", [], id="arithmetic"),
        pytest.param("`never closed", [], id="an open backtick"),
        pytest.param("$(never $(closed) `x`", [], id="an open parenthesis hides the rest"),
        pytest.param("$(it's) `x`", [], id="an open quote hides the rest"),
        pytest.param("`` $()", ["", ""], id="empty"),
        pytest.param("$HOME ${x} (y)", [], id="none"),
    ],
)
def test_commands_in_text(text: str, commands: list[str]) -> None:
    assert [one.command for one in commands_in(text)] == commands


def test_what_a_command_printed_comes_without_its_last_newlines_and_is_not_looked_at_again() -> None:
    scope = Scope(variables={"A": "1"})
    assert with_results("$A `x` $(y) $A", ["$A `z`\n\n", " two \r\n"], scope) == "1 $A `z`  two  1"
    assert with_results("$A `x`", ["r"]) == "$A r"


def test_every_command_needs_its_result() -> None:
    with pytest.raises(ValueError, match="zip"):
        with_results("`a` `b`", ["only one"])


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda n: "$(" * n, id="open parentheses"),
        pytest.param(lambda n: "`\\" * n, id="open backticks"),
        pytest.param(lambda n: "\\" * n + "`", id="backslashes"),
        pytest.param(lambda n: "`a`" * n, id="many"),
        pytest.param(lambda n: "$(" + "'" * n, id="quotes"),
        pytest.param(lambda n: "$(('" * n, id="arithmetic"),
    ],
)
def test_no_text_takes_long(make: Callable[[int], str]) -> None:
    assert grows_linearly(commands_in, make)


@given(st.lists(st.sampled_from(["`", "$(", ")", "(", "\\", "'", '"', "x", " ", "$"]), max_size=20).map("".join))
def test_commands_stand_apart_and_are_all_that_is_replaced(text: str) -> None:
    found = commands_in(text)
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert with_results(text, [text[one.start : one.end] for one in found]) == text
