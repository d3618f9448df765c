"""What `.env` files say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.growth import grows_linearly

from provisioning.formats.dagu.dotenv import read_dotenv


def read(text: str) -> list[tuple[str, str, bool]]:
    said, faults = read_dotenv(text)
    assert faults == []
    return [(one.name, one.value, one.literal) for one in said]


@pytest.mark.parametrize(
    ("text", "name", "value", "literal"),
    [
        pytest.param("A=b", "A", "b", True, id="bare"),
        pytest.param(" export\tA = b c \t", "A", "b c", True, id="export, blanks"),
        pytest.param("A: b", "A", "b", True, id="colon"),
        pytest.param("A=b=c", "A", "b=c", True, id="another ="),
        pytest.param("A=", "A", "", True, id="nothing"),
        pytest.param("A= # nothing", "A", "", True, id="nothing but a comment"),
        pytest.param("A=b # c", "A", "b", True, id="comment"),
        pytest.param("A=b#c", "A", "b#c", True, id="no comment"),
        pytest.param("A=#b", "A", "#b", True, id="no comment at the beginning"),
        pytest.param("A='b # c' # d", "A", "b # c", True, id="quoted comment"),
        pytest.param("A='b\nc\n'", "A", "b\nc\n", True, id="single quotes over lines"),
        pytest.param('A="b\nc"', "A", "b\nc", True, id="double quotes over lines"),
        pytest.param(r"A='\n$B'", "A", r"\n$B", True, id="single quotes are literal"),
        pytest.param(r'A="\n\t\"\\\x"', "A", '\n\t"\\x', True, id="escapes"),
        pytest.param("A=\\n", "A", "\\n", True, id="no escapes without quotes"),
        pytest.param("A=$B", "A", "$B", False, id="reference"),
        pytest.param('A="${B}/c"', "A", "${B}/c", False, id="reference in double quotes"),
        pytest.param('A="\\$B"', "A", "$B", True, id="escaped dollar"),
        pytest.param("A=\\$B", "A", "$B", True, id="escaped dollar without quotes"),
        pytest.param('A="\\$B $C"', "A", "\\$B $C", False, id="escaped dollar beside a reference"),
        pytest.param('A="\\\\$B"', "A", "\\\\$B", False, id="escaped backslash before a reference"),
        pytest.param("A.B_1=c", "A.B_1", "c", True, id="name with a dot"),
        pytest.param("\ufeffA=b", "A", "b", True, id="byte order mark"),
        pytest.param("A=ü ☃", "A", "ü ☃", True, id="any script"),
    ],
)
def test_a_line_says_one_variable(text: str, name: str, value: str, *, literal: bool) -> None:
    for ending in ("", "\n", "\r\n", "\n# end"):
        assert read(text + ending) == [(name, value, literal)]


def test_variables_come_in_order_with_their_lines() -> None:
    said, faults = read_dotenv("# a\n\nA=1\nB='x\ny'\r\nexport A=2\n   \nC=\"\n\"\nD=4")

    assert faults == []
    assert [(one.name, one.value, one.line) for one in said] == [
        ("A", "1", 3),
        ("B", "x\ny", 4),
        ("A", "2", 6),
        ("C", "\n", 8),
        ("D", "4", 10),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("A", "expected NAME=value", id="no value"),
        pytest.param("export A", "expected NAME=value", id="only export"),
        pytest.param("=b", "expected NAME=value", id="no name"),
        pytest.param("1A=b", "expected NAME=value", id="name that begins with a digit"),
        pytest.param("A-B=c", "expected NAME=value", id="name that no shell has"),
        pytest.param("A='b", 'the value of "A" has no closing quote', id="single quote"),
        pytest.param('A="b\\"', 'the value of "A" has no closing quote', id="double quote"),
        pytest.param("A='b'c", 'found more behind the closing quote of "A"', id="more"),
    ],
)
def test_a_line_that_says_nothing_is_passed_over_and_told(line: str, message: str) -> None:
    said, faults = read_dotenv(f"X=1\n{line}\nY=2\n")

    assert [(one.name, one.value, one.line) for one in said] == [("X", "1", 1), ("Y", "2", 3)]
    assert [(fault.message, fault.line) for fault in faults] == [(message, 2)]


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r'"))


@given(st.lists(st.tuples(names, values)))
def test_what_is_written_in_single_quotes_comes_back(pairs: list[tuple[str, str]]) -> None:
    assert read("".join(f"{name}='{value}'\n" for name, value in pairs)) == [(name, value, True) for name, value in pairs]


@given(st.lists(st.tuples(names, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))))
def test_what_is_escaped_in_double_quotes_comes_back(pairs: list[tuple[str, str]]) -> None:
    def escaped(value: str) -> str:
        for plain, written in (("\\", "\\\\"), ('"', '\\"'), ("\r", "\\r"), ("\n", "\\n")):
            value = value.replace(plain, written)
        return value.replace("$", "\\$")

    assert read("".join(f'{name}="{escaped(value)}"\n' for name, value in pairs)) == [
        (name, value, True) for name, value in pairs
    ]


@pytest.mark.parametrize(
    "piece",
    ["A='\n", 'A="\n', 'A="\\', "A=\\", "A=$", "#", " ", "A", "A='x'y\n", "\\$", "export ", "\n", 'A="b\nc"d\n', "A=' #"],
)
def test_reading_takes_linear_time(piece: str) -> None:
    assert grows_linearly(read_dotenv, lambda size: piece * (size // len(piece)))


def test_faults_have_a_limit() -> None:
    assert len(read_dotenv("A\n" * 1000)[1]) == 20
