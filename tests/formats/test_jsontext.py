from __future__ import annotations

import json
import time

import pytest
from fuzz.target import within
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.shown import step
from provisioning.formats.jsontext import DEPTH_LIMIT, locate, parse_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        pytest.param(b"", "syntax", (1, 1), id="nothing at all"),
        pytest.param(b'{"a": 1', "syntax", (1, 8), id="cut off"),
        pytest.param(b'{"a": 1} x', "syntax", (1, 10), id="something behind the end"),
        pytest.param(b'[1,\n tru]', "syntax", (2, 2), id="half a word"),
        pytest.param(b"[\n-Infinity]", "bad_number", (2, 1), id="a word that is no number"),
        pytest.param(b"[1,\n\n1e400]", "bad_number", (3, 1), id="a number that no double holds"),
        pytest.param(b"1e400\x000", "bad_number", (1, 1), id="a number that no double holds, and no token"),
        pytest.param(b"9" * 5_000, "bad_number", (1, 1), id="a number of too many digits"),
        pytest.param(b"[" * 101 + b"]" * 101, "too_deep", (1, 101), id="one level too many"),
        pytest.param(b"[" * 1_000_000, "too_deep", (1, 101), id="a million levels"),
        pytest.param(b'\xef\xbb\xbf{}', "encoding", (1, 1), id="byte order mark"),
        pytest.param("{}".encode("utf-16"), "encoding", (1, 1), id="UTF-16"),
        pytest.param('{\n "ä": "'.encode() + b"\xff", "encoding", (2, 8), id="invalid UTF-8"),
        pytest.param(b'["\\ud83d\\ude00",\n "\\ud83d"]', "encoding", (2, 3), id="half a character"),
        pytest.param(b'{"a": 1,\n "b": 2, "a": 3}', "duplicate_key", (2, 10), id="duplicate key"),
    ],
)  # fmt: skip
def test_text_that_is_not_strict_json_is_refused_with_its_place(data: bytes, code: str, place: tuple[int, int]) -> None:
    (fault,) = parse_json(data).faults

    assert (fault.code, (fault.line, fault.column)) == (code, place)


def test_the_deepest_document_that_is_allowed_is_read() -> None:
    assert parse_json(b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT).faults == ()


def test_every_duplicate_key_is_reported_and_the_rest_can_still_be_checked() -> None:
    parsed = parse_json(b'{"a": {"x": 1, "x": 2}, "a": 3, "a": 4}')

    assert [fault.path for fault in parsed.faults] == ["$.a.x", "$.a", "$.a"]
    assert parsed.value == {"a": 4}


@given(JSON)
def test_what_json_writes_is_read_back(value: object) -> None:
    parsed = parse_json(json.dumps(value).encode())

    assert parsed.faults == ()
    assert parsed.value == value


@given(st.binary(max_size=60))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    parsed = parse_json(data)

    assert parsed.value is None or not any(fault.code != "duplicate_key" for fault in parsed.faults)


@given(st.dictionaries(st.text(max_size=8), JSON, min_size=1, max_size=4), st.data())
def test_every_path_is_found_where_its_value_starts(value: dict[str, object], data: st.DataObject) -> None:
    text = json.dumps(value, indent=1)
    key = data.draw(st.sampled_from(list(value)))
    path = f"$.values[1]{step(key)}"
    text = f'{{"values": [0,\n{text}]}}'

    line, column = locate(text, [path])[path]

    rest = "\n".join(text.split("\n")[line - 1 :])[column - 1 :]
    assert json.JSONDecoder().raw_decode(rest)[0] == value[key]


def test_a_path_that_is_not_there_is_found_at_the_nearest_value_above_it() -> None:
    places = locate('{"a":\n  {"b": [1]}}', ["$.a.x.y", "$.a.b[7]", "$.a.b!", "$", ""])

    assert places == {"$.a.x.y": (2, 3), "$.a.b[7]": (2, 9), "$.a.b!": (2, 4), "$": (1, 1), "": (1, 1)}


def test_megabytes_are_read_and_searched_in_seconds() -> None:
    formulas = [{"id": f"f{number}", "server": "s", "nodes": [{"taskserv": "os"}], "x": "y" * 30} for number in range(20_000)]
    data = json.dumps({"formulas": formulas}, indent=0).encode()
    start = time.process_time()

    parsed = parse_json(data)
    places = locate(parsed.text, ["$.formulas[19999].nodes[0].taskserv"])

    assert len(data) > 1_800_000
    assert parsed.faults == ()
    assert places["$.formulas[19999].nodes[0].taskserv"][0] > 20_000
    assert time.process_time() - start < 2


@pytest.mark.parametrize("text", ['{"a": 1' + " " * 200_000 + "}" + "\n" * 200_000, '{"a": "' + "\\\\" * 200_000 + '"}'])
def test_looking_a_place_up_takes_time_linear_in_blanks_and_backslashes(text: str) -> None:
    with within(2):
        assert locate(text, {"$.a", "$.a!"}) == {"$.a": (1, 7), "$.a!": (1, 2)}
