"""Targets: Dagu's YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from fuzz.shapes import seemly
from fuzz.target import Check, Target
from fuzz.words import TOKENS, files, values

from provisioning.formats.goyaml import NODE_LIMIT, Fields, Items, Node, parse_yaml, plain

YAML_TOKENS = (
    *(
        b"&a ",
        b"*a",
        b"<<: *a",
        b"!!int ",
        b"!x ",
        b"---\n",
        b"...\n",
        b"|\n",
        b">-\n",
        b"? ",
        b"- ",
        b": ",
        b"\t",
        b"%YAML 1.1\n",
    ),
    *(b"'", b"0x1F", b".inf", b"1_0", b"yes", b"- - - - ", b"[[[[", b"{a: " * 70),
    *TOKENS,
)


def as_yaml(value: Any) -> bytes:
    """Write a value as YAML: every text in quotes, so that it is a text for Go too."""
    return yaml.safe_dump(value, allow_unicode=True, sort_keys=False, default_style='"').encode("utf-8", "replace")


def go_yaml(_folder: Path) -> Check:
    """YAML as text: documents whose places lie in the text, or one fault with its place."""

    def check(data: bytes) -> str:
        read = parse_yaml(data)
        seemly(read.faults)
        lines = (
            data.decode("utf-8", "replace").count("\n") + data.count(b"\r") + data.decode("utf-8", "replace").count("\u2028")
        )
        if read.faults:
            assert read.documents == ()
            assert 1 <= read.faults[0].line <= lines + 2, read.faults
            return f"refused: {read.faults[0].code}"
        for document in read.documents:
            plain(document)
            assert _size(document) <= document.size <= NODE_LIMIT
        return "accepted"

    return check


def _size(node: Node) -> int:
    assert node.at.line >= 1
    assert node.at.column >= 1
    if isinstance(node, Items):
        return 1 + sum(map(_size, node.items))
    if isinstance(node, Fields):
        assert list(node.fields) == list(node.keys)
        return 1 + sum(map(_size, node.fields.values()))
    return 1


TARGETS = (Target(name="goyaml", examples=files(values, as_yaml, YAML_TOKENS), prepare=go_yaml, quick=200),)
