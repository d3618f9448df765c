"""Hostile texts, values and bytes, and documents that were valid before something happened to them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import tomli_w
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

TEXTS = (
    *("", " ", "..", "../../etc/x", "a/b", "%2e%2e%2f", "a\0b", "a\nb", "\r", "\t", "-o", "-oProxyCommand=touch x"),
    *("$(touch x)",),
    *("`touch x`", ";touch x;", "x'; touch x; '", '"; touch x; "', "|touch x", "{{ 7*7 }}", "{% for", "{#", "%{x}", "\\"),
    *("\\\\",),
    *("\u202egnp.exe", "caf\u00e9", "cafe\u0301", "x" * 129, "y" * 10_240, "\U0001f680", "CON", "health", "last", "default"),
    *("\x1b]52;c;eA==\x07", "\x1b[31m", "\x9b2J", "~root/x", "$ref", "$$ref", "!", "[0]", "$.a", "a.b.c", "null", "true"),
    *("1e9",),
    *("re:(", "re:a{1,99999}", "re:(a+)+$", "env:HOME", "env:", "file:x", "file:", "0", "-1", "\u2028", "\ufeff", "\u0661"),
    *("#", "*"),
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 22, 65_535, 65_536, 10**7, 10**18, -(10**18), 10**30, 10**400, 0.1, 1.5, -0.0, 1e308, 1e-320, 4.0)
TOKENS = (
    *(b"\0", b"\xff", b"\xc3(", b"\xef\xbb\xbf", b"\\u0000", b"\\ud800", b"\\udc00", b"1e999", b"-0", b"NaN", b"Infinity"),
    *(b"9" * 5000,),
    *(b"\x1b[31m", b'"', b"'", b"\n", b"\r\n", b"\\", b"{", b"}", b"[", b"]", b",", b":", b"=", b"#", b"null", b"true"),
    *(b"\xe2\x80\xa8",),
    *(b"[" * 200, b"[" * 5000, b'{"a":' * 200, b"{a=" * 200, b".a" * 200, b"(" * 500, b'""""', b"'''", b"2026-01-01"),
    *(b"${", b"{{"),
)  # fmt: skip

hostile: SearchStrategy[str] = st.sampled_from(TEXTS) | st.text(max_size=12)
"""Texts that have done harm somewhere, and any others; without lone surrogates."""

leaves: SearchStrategy[Any] = st.one_of(
    hostile,
    st.sampled_from(NUMBERS),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
values: SearchStrategy[Any] = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3), max_leaves=6
)


def spots(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a document."""
    found: list[tuple[Any, Any]] = []
    work = [value]
    while work:
        one = work.pop()
        keys = one if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            found.append((one, key))
            work.append(one[key])
    return found


@st.composite
def changed(draw: st.DrawFn, documents: SearchStrategy[Any], most: int = 3) -> Any:
    """A document with up to `most` changes: a value replaced, a field dropped or renamed, an item doubled or added."""
    document = copy.deepcopy(draw(documents))
    for _ in range(draw(st.integers(0, most))):
        places = spots(document)
        if not places:
            return draw(values)
        container, key = places[draw(st.integers(0, len(places) - 1))]
        _change(draw, container, key)
    return document


def _change(draw: st.DrawFn, container: Any, key: Any) -> None:
    kind = draw(st.sampled_from(("leaf", "leaf", "value", "drop", "rename", "add", "double")))
    if kind == "leaf":
        container[key] = draw(leaves)
    elif kind == "value":
        container[key] = draw(values)
    elif kind == "drop":
        del container[key]
    elif isinstance(container, dict):
        container[draw(hostile)] = container.pop(key) if kind == "rename" else draw(leaves)
    elif kind == "double":
        container.append(copy.deepcopy(container[key]))
    else:
        container.insert(key, draw(leaves))


@st.composite
def damaged(draw: st.DrawFn, texts: SearchStrategy[bytes], tokens: tuple[bytes, ...] = TOKENS, most: int = 3) -> bytes:
    """Bytes of a file after up to `most` accidents: cut, a bit turned, a token put in, a piece left out or doubled."""
    data = draw(texts)
    for _ in range(draw(st.integers(0, most))):
        at, size = draw(st.integers(0, len(data))), draw(st.integers(1, 20))
        kind = draw(st.sampled_from(("token", "token", "flip", "cut", "out", "twice")))
        if kind == "token":
            data = data[:at] + draw(st.sampled_from(tokens)) + data[at:]
        elif kind == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at]
        else:
            data = data[:at] + (data[at : at + size] * 2 if kind == "twice" else b"") + data[at + size :]
    return data


def files(
    documents: SearchStrategy[Any], write: Callable[[Any], bytes], tokens: tuple[bytes, ...] = TOKENS
) -> SearchStrategy[bytes]:
    """Files of a kind: valid ones, ones with changed values, damaged ones, and bytes that are nothing at all."""
    whole = documents.map(write)
    return st.one_of(
        whole, changed(documents).map(write), damaged(whole, tokens), damaged(changed(documents).map(write), tokens), noise
    )


noise: SearchStrategy[bytes] = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode()),
    st.lists(st.sampled_from(TOKENS), max_size=12).map(b"".join),
)


def as_json(value: Any) -> bytes:
    """Write a value as JSON; a number with too many digits for Python's own limit as text."""
    try:
        return json.dumps(value).encode()
    except ValueError:
        return json.dumps(value, default=str).encode() if not isinstance(value, int) else b"9" * 5000


def as_toml(value: Any) -> bytes:
    """Write a document as TOML, what that cannot say left out."""
    return tomli_w.dumps(_for_toml(value) if isinstance(value, dict) else {"value": str(value)}).encode("utf-8", "replace")


def _for_toml(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _for_toml(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_for_toml(inner) for inner in value if inner is not None]
    return value
