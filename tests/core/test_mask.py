from __future__ import annotations

import base64
import json
import re
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.mask import Masker

PASSWORD = "pa$s w/ör'd\"+"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END KEY-----\n"


def masked(values: list[str], *chunks: bytes) -> bytes:
    masker = Masker(values)
    return b"".join([*(masker.feed(chunk) for chunk in chunks), masker.flush()])


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(PASSWORD, id="as it is"),
        pytest.param(base64.b64encode(PASSWORD.encode()).decode(), id="base64"),
        pytest.param(base64.urlsafe_b64encode(PASSWORD.encode()).decode().rstrip("="), id="base64 for URLs"),
        pytest.param(quote(PASSWORD, safe=""), id="URL-encoded"),
        pytest.param(re.sub("%..", lambda code: code[0].lower(), quote(PASSWORD, safe="")), id="URL-encoded in lower case"),
        pytest.param(json.dumps(PASSWORD)[1:-1], id="escaped for JSON"),
        pytest.param(json.dumps(PASSWORD, ensure_ascii=False)[1:-1], id="escaped for JSON, letters kept"),
        pytest.param(json.dumps(json.dumps(PASSWORD))[3:-3], id="escaped for JSON within JSON"),
        pytest.param(json.dumps(json.dumps(PASSWORD), ensure_ascii=False)[3:-3], id="JSON within JSON, in two ways"),
        pytest.param(PASSWORD.replace("'", "'\\''"), id="as `set -x` prints it"),
    ],
)
def test_every_form_in_which_programs_print_a_secret_is_masked(form: str) -> None:
    assert masked([PASSWORD], f"login {form} done".encode()) == b"login *** done"


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
def test_a_secret_inside_a_longer_base64_text_is_masked(before: str) -> None:
    encoded = base64.b64encode(f"{before}correct-horse-battery tail".encode())
    core = base64.b64encode(b"correct-horse-battery")[4:20]
    shown = masked(["correct-horse-battery"], encoded)
    assert b"***" in shown
    assert core not in shown


def test_each_line_of_a_secret_of_several_lines_is_masked() -> None:
    shown = masked([KEY], b"  MIIEvQIBADANBg\r\n  kqhkiG9w0BAQEF\r\n")
    assert shown == b"  ***\r\n  ***\r\n"


@pytest.mark.parametrize("short", ["", "a", "abc"])
def test_values_shorter_than_four_bytes_are_not_masked(short: str) -> None:
    assert masked([short], b"a abc abcd") == b"a abc abcd"


def test_the_longest_of_two_secrets_with_one_beginning_wins() -> None:
    assert masked(["hunter", "hunter2"], b"hunter2 hunter hunte") == b"*** *** hunte"
    assert masked(["hunter", "hunter2"], b"hunter", b"2") == b"***"


def test_output_without_a_secret_is_shown_at_once() -> None:
    masker = Masker([KEY, "hunter2"])
    assert masker.feed(b"Unpacking etcd (3.4.23) ...\n") == b"Unpacking etcd (3.4.23) ...\n"
    assert masker.feed(b"hun") == b""
    assert masker.feed(b"k\n") == b"hunk\n"


def test_a_masker_without_values_passes_everything_on() -> None:
    assert masked([], b"\x00\xff", b"x") == b"\x00\xffx"


def test_the_values_are_not_in_its_repr() -> None:
    assert "hunter2" not in repr(Masker(["hunter2"]))


SECRETS = st.lists(st.text("abc/+\n", min_size=4, max_size=20), min_size=1, max_size=4)


@given(values=SECRETS, data=st.data())
def test_how_the_output_is_cut_makes_no_difference_and_no_secret_survives(values: list[str], data: st.DataObject) -> None:
    parts = st.one_of(st.sampled_from(values), st.text("abc/+\n ", max_size=6))
    stream = "".join(data.draw(st.lists(parts, max_size=12))).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    shown = masked(values, *chunks)
    assert shown == masked(values, stream)
    assert not any(value.encode() in shown for value in values)


@given(values=SECRETS, chunks=st.lists(st.binary(max_size=40), max_size=20))
def test_no_more_is_kept_than_the_longest_form(values: list[str], chunks: list[bytes]) -> None:
    masker = Masker(values)
    longest = max(len(form) for form in masker._forms)
    for chunk in chunks:
        masker.feed(chunk)
        assert len(masker._held) < longest


def test_a_hundred_megabytes_pass_in_a_few_seconds() -> None:
    masker = Masker([KEY, PASSWORD, "correct-horse-battery"])
    chunk = b"2026-01-01T00:00:00Z INFO reconciled 17 of 17 objects, next in 30 s\n" * 1000
    start = time.process_time()
    for _ in range(100_000_000 // len(chunk)):
        masker.feed(chunk)
    assert time.process_time() - start < 10
