"""What jq programs give, and what they may use."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.remote import commands_with, until

from provisioning.adapters.jq import FilterLimits, JqFilters
from provisioning.errors import FilterFailed

REAL = shutil.which("jq")
OWN_S = 10_000_000 + os.getpid()  # a limit that only the children of this test are given
BIG = "123456789012345678901234567890"


async def apply(program: str, data: str | bytes, *, raw: bool = False, timeout_s: float = 30.0) -> str:
    given = data.encode() if isinstance(data, str) else data
    return (await JqFilters().apply(program, given, raw=raw, timeout_s=timeout_s)).decode()


@pytest.mark.parametrize(
    ("program", "data", "result"),
    [
        pytest.param(".", '{"b":1,"a":[1,{}]}', '{\n  "b": 1,\n  "a": [\n    1,\n    {}\n  ]\n}\n', id="indented, order kept"),
        pytest.param(".[]", '[1,"a",null,true,[]]', '1\n"a"\nnull\ntrue\n[]\n', id="one after the other"),
        pytest.param("empty", "1", "", id="nothing"),
        pytest.param(".", "1 2\n3", "1\n2\n3\n", id="several documents"),
        pytest.param(".", "", "", id="no document"),
        pytest.param(".", '"ünï ☃ \\u0000"', '"ünï ☃ \\u0000"\n', id="any script"),
        pytest.param(".a", f'{{"a": {BIG}}}', f"{BIG}\n", id="long numbers keep their digits"),
        pytest.param(".[]", "[1.0, -3e2, 2.50, 1e17]", "1\n-300\n2.5\n1e+17\n", id="numbers in short"),
        pytest.param("nan, infinite", "1", "null\n1.7976931348623157e+308\n", id="what is no number"),
        pytest.param(
            ".", "[1e1000, -1e1000]", "[\n  1.7976931348623157e+308,\n  -1.7976931348623157e+308\n]\n", id="too large"
        ),
        pytest.param("1 # a comment )", "1", "1\n", id="a comment at the end"),
        pytest.param("def f: 2; f", "1", "2\n", id="a definition"),
        pytest.param("$ENV.PATH", "1", "null\n", id="our variables stay ours"),
    ],
)
async def test_results_are_printed_as_jq_prints_them(program: str, data: str, result: str) -> None:
    assert await apply(program, data) == result


async def test_raw_texts_stand_without_quotes_and_nothing_else_changes() -> None:
    assert await apply(".[]", '["a\\nb", "ü", "", {"a": "b"}, 1]', raw=True) == 'a\nb\nü\n\n{\n  "a": "b"\n}\n1\n'


async def test_what_is_deep_is_printed_too() -> None:
    deep = "[" * 3000 + "]" * 3000

    assert "".join((await apply(".", deep)).split()) == deep


@pytest.mark.parametrize(
    ("program", "data", "message"),
    [
        pytest.param(".a |", "1", "jq: syntax error, unexpected end of file", id="syntax"),
        pytest.param("", "1", "jq: Top-level program not given", id="no program"),
        pytest.param("nope(1)", "1", "jq: nope/1 is not defined", id="unknown function"),
        pytest.param("1) | (2", "1", "jq: syntax error", id="parentheses that would break out of ours"),
        pytest.param(".", '{"a":', "jq: parse error: Unfinished JSON term", id="input"),
        pytest.param(".", b"\xff", "jq: input is not UTF-8", id="input of no characters"),
        pytest.param('error("a\u001bb")', "1", "jq: a\\x1bb", id="control codes"),
        pytest.param("\ud800", "1", "jq: program is not UTF-8", id="half a character"),
    ],
)
async def test_what_fails_is_said_in_jq_s_words_on_one_line(program: str, data: str | bytes, message: str) -> None:
    with pytest.raises(FilterFailed) as failed:
        await apply(program, data)

    assert failed.value.message.startswith(message)
    assert failed.value.message.isprintable()


async def test_memory_has_a_limit() -> None:
    filters = JqFilters(FilterLimits(memory_bytes=256 * 1024 * 1024))
    with pytest.raises(FilterFailed, match="jq: the filter needed more than 256 MiB of memory"):
        await filters.apply("[range(1e9)]", b"1", raw=False, timeout_s=60)


async def test_output_has_a_limit() -> None:
    filters = JqFilters(FilterLimits(output_bytes=1000))
    assert len(await filters.apply("range(100)", b"1", raw=False, timeout_s=30)) == 290
    with pytest.raises(FilterFailed, match="jq: the filter gave more than 1,000 bytes"):
        await filters.apply("repeat(1)", b"1", raw=False, timeout_s=30)


async def test_the_child_of_a_cancelled_filter_is_gone() -> None:
    job = asyncio.create_task(apply("def f: f; f", "1", timeout_s=OWN_S - 1))
    await until(lambda: commands_with(str(OWN_S)))
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert commands_with(str(OWN_S)) == []


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
async def test_a_filter_that_is_cancelled_while_it_is_started_leaves_no_child(turns: int) -> None:
    job = asyncio.create_task(apply("def f: f; f", "1", timeout_s=OWN_S - 1))
    for _ in range(turns):
        await asyncio.sleep(0)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert commands_with(str(OWN_S)) == []


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=12,
)


@settings(max_examples=25)
@given(values=st.lists(values, max_size=8))
def test_every_value_comes_out_as_it_went_in(values: list[object]) -> None:
    text = "\n".join(json.dumps(value) for value in values)
    printed = "".join(json.dumps(value, indent=2, ensure_ascii=False) + "\n" for value in values)

    assert asyncio.run(apply(".", text)) == printed


@pytest.mark.skipif(REAL is None, reason="the program jq is not installed")
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(
    "program",
    [".", ".a[]", "keys", ".a | map(. * 2)", "to_entries", '.b | split(" ")', "tojson", "[.a[] / 3]", '@base64 "x\\(.b)"'],
)
def test_it_prints_what_the_program_jq_prints(program: str, *, raw: bool) -> None:
    data = '{"a": [1, 2.5, -30], "b": "ü y", "c": {}, "d": []}'
    words = [str(REAL), *(["-r"] if raw else []), program]
    real = subprocess.run(words, input=data, capture_output=True, text=True, check=True).stdout

    assert asyncio.run(apply(program, data, raw=raw)) == real
