"""YAML with Go's scalars; nothing a text can hold makes reading it take long, much memory, or an exception."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import counted

from provisioning.formats.goyaml import SIZE_LIMIT_BYTES, Fields, Items, Scalar, go_text, parse_yaml, plain, plain_scalar

NAN = float("nan")


def value(text: str) -> object:
    read = parse_yaml(text.encode())
    assert read.faults == ()
    return plain(read.documents[0])


def fault(text: str | bytes) -> tuple[str, int, int]:
    read = parse_yaml(text if isinstance(text, bytes) else text.encode())
    assert read.documents == ()
    (found,) = read.faults
    assert found.message
    return found.code, found.line, found.column


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("No", "No"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("", None),
        ("~", None),
        ("Null", None),
        ("nil", "nil"),
        ("30", 30),
        ("-7", -7),
        ("+7", 7),
        ("010", 8),
        ("0o10", 8),
        ("0600", 384),
        ("08", "08"),
        ("0b11", 3),
        ("0x1F", 31),
        ("1_000", 1000),
        ("0x", "0x"),
        ("1e3", "1e3"),
        ("1.5e3", 1500.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5", -0.5),
        (".", "."),
        ("1.2.3", "1.2.3"),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("12:30", "12:30"),
        ("12:30:00", "12:30:00"),
        ("2026-01-01", "2026-01-01"),
        ("1 2", "1 2"),
        ("9" * 500, "9" * 500),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775808", -(2**63)),
        ("-9223372036854775809", "-9223372036854775809"),
        ("0x1" + "0" * 16, "0x1" + "0" * 16),
        ("1.5e999", "1.5e999"),
    ],
)
def test_unquoted_scalars_mean_what_they_mean_to_go(text: str, meant: object) -> None:
    assert (plain_scalar(text), type(plain_scalar(text))) == (meant, type(meant))


def test_quoted_and_tagged_scalars_are_what_they_say() -> None:
    assert value("""a: "30"\nb: 'true'\nc: !!str 30\nd: !!int "7"\ne: !!float 7\nf: |\n  1\n""") == {
        "a": "30",
        "b": "true",
        "c": "30",
        "d": 7,
        "e": 7.0,
        "f": "1\n",
    }


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (True, "true"),
        (False, "false"),
        (None, ""),
        (30, "30"),
        (1.5, "1.5"),
        (30.0, "30"),
        (1e6, "1e+06"),
        (1234567.0, "1.234567e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-2.5e30, "-2.5e+30"),
        (float("inf"), "+Inf"),
        (NAN, "NaN"),
        ("x", "x"),
    ],
)
def test_values_become_the_text_that_go_prints(number: object, text: str) -> None:
    assert go_text(number) == text


def test_order_places_and_documents_are_kept() -> None:
    read = parse_yaml(b"b: 1\na:\n  - x\n  - {y: 2}\n---\n---\nthird\n")
    first, second, third = read.documents
    assert isinstance(first, Fields)
    assert list(first.fields) == ["b", "a"]
    assert [(at.line, at.column) for at in first.keys.values()] == [(1, 1), (2, 1)]
    items = first.fields["a"]
    assert isinstance(items, Items)
    assert (items.items[1].at.line, items.items[1].at.column) == (4, 5)
    assert isinstance(second, Scalar)
    assert (second.value, plain(third)) == (None, "third")


def test_aliases_and_merges_stand_for_what_was_marked() -> None:
    text = "base: &b {x: 1, y: 2}\nmine: {<<: *b, y: 3}\nboth: {<<: [*b, {z: 4, x: 9}]}\nsame: *b\n"
    assert value(text) == {
        "base": {"x": 1, "y": 2},
        "mine": {"y": 3, "x": 1},
        "both": {"x": 1, "y": 2, "z": 4},
        "same": {"x": 1, "y": 2},
    }


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3\n", "duplicate_key", 3, 1),
        ("a: {b: 1, b: 2}", "duplicate_key", 1, 11),
        ("? [a]\n: 1\n", "bad_key", 1, 3),
        ("a: *x\n", "unknown_anchor", 1, 4),
        ("a: &x\n  b: *x\n", "circle", 2, 6),
        ("a: !ruby/object {}\n", "unknown_tag", 1, 4),
        ("a: !!int x\n", "wrong_tag", 1, 4),
        ("a: !!float 1" + "0" * 390, "wrong_tag", 1, 4),
        ("a: {<<: 3}\n", "bad_merge", 1, 9),
        ("a: [1\nb: 2\n", "syntax", 2, 2),
        ("a:\n\t- x\n", "syntax", 2, 1),
        ("a: \x07\n", "syntax", 1, 4),
        (b"a: \xff\n", "encoding", 1, 4),
        (b"\xef\xbb\xbfa: 1\n", "encoding", 1, 1),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str | bytes, code: str, line: int, column: int) -> None:
    assert fault(text) == (code, line, column)


def test_an_alias_of_an_earlier_document_is_unknown() -> None:
    assert fault("a: &x 1\n---\nb: *x\n") == ("unknown_anchor", 3, 4)


def test_bombs_are_refused_in_little_time_and_memory() -> None:
    laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    with counted() as cost:
        assert fault(laughs)[0] == "too_large"
        assert fault("[" * 1_000_000) == ("too_deep", 1, 65)
        assert fault("{a: " * 1_000_000)[0] == "too_deep"
        assert fault("- " * 1_000_000)[0] == "too_deep"
        assert fault(b"x" * (SIZE_LIMIT_BYTES + 1)) == ("too_large", 1, 1)
    assert cost.lines < 100_000


def test_aliases_of_aliases_do_not_get_deeper_than_a_text_may_be() -> None:
    chain = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 3000))

    assert fault(chain)[0] == "too_deep"
    assert value("".join(chain.splitlines(keepends=True)[:60]))


@given(st.text(max_size=200) | st.text("[]{}:,-&*!|>'\"%@` \n\tab<1.", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    read = parse_yaml(text.encode("utf-8", "surrogatepass"))
    assert bool(read.faults) != bool(read.documents) or (read.faults, read.documents) == ((), ())
    for one in read.faults:
        assert one.line >= 1
        assert "\n" not in one.message


@given(st.text(max_size=40))
def test_any_scalar_has_a_meaning(text: str) -> None:
    assert isinstance(go_text(plain_scalar(text)), str)
