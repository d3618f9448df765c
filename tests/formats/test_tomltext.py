from __future__ import annotations

import pytest

from provisioning.core.faults import Fault
from provisioning.formats.tomltext import KEY_PARTS, SIZE_LIMIT_BYTES, parse_toml


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("a = = 1", ("syntax", 1, 5), id="a value that is none"),
        pytest.param("a = 1\nb", ("syntax", 2, 2), id="cut off after a key"),
        pytest.param('a = """\n', ("syntax", 2, 1), id="cut off inside a text"),
        pytest.param("a = 1\nb = " + "9" * 5000, ("bad_number", 2, 5), id="a number that is too long"),
        pytest.param("\n" + ".".join("a" * 70) + " = 1", ("too_deep", 2, 1), id="a key of many parts"),
        pytest.param("[" + ".".join("a" * 70) + "]", ("too_deep", 1, 2), id="a table of many parts"),
        pytest.param('x = { "a"' + ' . "a"' * 70 + " = 1 }", ("too_deep", 1, 7), id="quoted parts"),
        pytest.param('"\\""' + '."\\""' * 70 + " = 1", ("too_deep", 1, 1), id="quoted parts with quotes in them"),
        pytest.param("a = " + "[" * 100_000, ("too_deep", 0, 0), id="nested lists"),
    ],
)
def test_what_cannot_be_read_is_one_fault_with_its_place(text: str, place: tuple[str, int, int]) -> None:
    fault = parse_toml(text)
    assert isinstance(fault, Fault)
    assert (fault.code, fault.line, fault.column) == place


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text",
    [
        "a" + ".a" * 500_000 + "=1",
        "a" * SIZE_LIMIT_BYTES,
        '"' * SIZE_LIMIT_BYTES,
        "a." * 500_000,
        "a .\t" * 200_000,
        "'a'." * 250_000,
    ],
    ids=lambda text: text[:8],
)
def test_no_text_takes_long(text: str) -> None:
    assert isinstance(parse_toml(text), Fault)


@pytest.mark.parametrize(
    "text",
    ['a = "' + "x." * 60 + '"', "# " + "." * 1000, ".".join("a" * KEY_PARTS) + " = 1", 'v = "1.2.3"\nw.x.y = 2'],
    ids=range(4),
)
def test_dots_elsewhere_are_no_fault(text: str) -> None:
    assert not isinstance(parse_toml(text), Fault)
