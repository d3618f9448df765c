from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.core.text import plain_text


@pytest.mark.parametrize(
    ("given_bytes", "shown"),
    [
        pytest.param(b"plain\ttext\n", "plain\ttext\n", id="plain text stays"),
        pytest.param(b"\x1b[1;31mred\x1b[0m", "red", id="colours"),
        pytest.param(b"\x1b[2J\x1b[Hgone", "gone", id="clear the screen"),
        pytest.param(b"\x1b]0;owned\x07title", "title", id="window title"),
        pytest.param(b"\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link", id="hyperlink"),
        pytest.param(b"\x1b]52;c;ZXZpbA==\x07clip", "clip", id="clipboard"),
        pytest.param(b"\x1bPq#0;2;0\x1b\\sixel", "sixel", id="device control string"),
        pytest.param(b"\xc2\x9b31mred\xc2\x9d0;t\xc2\x9cx", "redx", id="one-byte forms"),
        pytest.param(b"\x1b]never closed\nnext line", "\nnext line", id="a string that never ends stops at the line"),
        pytest.param(b"\x1b(B\x1b=\x1b7x", "x", id="two-byte escapes"),
        pytest.param(b"cut \x1b", "cut ", id="cut off"),
        pytest.param(b"cut \x1b[3", "cut 3", id="cut off inside"),
        pytest.param(b"a\0b\x07c\x08d\x7fe", "abcde", id="controls"),
        pytest.param(b"10%\r20%\r\nend\r\n", "10%\n20%\nend\n", id="progress bars"),
        pytest.param(b"bad \xff\xfe", "bad \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}", id="not UTF-8"),
        pytest.param("grün 日本".encode(), "grün 日本", id="other scripts"),
    ],
)
def test_what_a_person_sees_of_output(given_bytes: bytes, shown: str) -> None:
    assert plain_text(given_bytes) == shown


@given(st.binary() | st.text(alphabet="\x1b[]P0;m\x07\\\x9b\x9d\n\r\tab", max_size=40).map(str.encode))
def test_no_control_code_but_newline_and_tab_ever_comes_through(data: bytes) -> None:
    shown = plain_text(data)
    assert not [char for char in shown if (ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160]
    assert plain_text(shown) == shown


@pytest.mark.parametrize("attack", [b"\x1b", b"\x1b[", b"\x1b]", b"\x1b[0", b"\x1b]0;", b"\xc2\x9b1;", b"\x1b ", b"1;"])
def test_no_input_takes_long(attack: bytes) -> None:
    began = time.process_time()
    plain_text(b"\x1b[" + attack * 50_000)
    assert time.process_time() - began < 0.5
