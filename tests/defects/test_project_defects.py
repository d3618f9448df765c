"""The rows of the defect table about the project itself, and the proof that no row was left out."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "provisioning"
ROWS = [f"{number:02}" for number in range(1, 35)]

HARMLESS = (
    "__future__ base64 bisect collections contextlib dataclasses datetime decimal difflib enum functools gc graphlib hashlib"
    " heapq ipaddress itertools json math operator re re2 shlex statistics string textwrap types typing unicodedata"
    " urllib.parse warnings zlib"
)
"""Modules, of the standard library and RE2, that neither read nor wait nor know the time by being imported."""


def imported(path: Path) -> Iterator[str]:
    """Yield what a module imports, also inside functions, but not what only the type checker sees."""
    tree = ast.parse(path.read_text("utf-8"))
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").glob("*.py")), ids=lambda path: path.stem)
def test_defect_33_decisions_need_no_files_clock_network_or_chance(path: Path) -> None:
    for name in imported(path):
        first, _, rest = name.partition(".")
        ours = first == "provisioning" and rest.split(".")[0] in {"core", "errors"}
        assert ours or {first, name} & set(HARMLESS.split()), f"{path.name} imports {name}"
    assert not re.search(r"\b(?:datetime|date)\.(?:now|today|utcnow)\(|(?<!def )\bopen\(", path.read_text("utf-8"))


@pytest.mark.parametrize("name", ["dag", "servers", "workspace", "taskserv"])
def test_defect_34_every_field_that_the_schemas_accept_is_documented(name: str) -> None:
    documents = "\n".join(path.read_text("utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))
    code = " ".join(re.findall(r"```.*?```|`[^`]+`", documents, re.DOTALL))
    schema = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text("utf-8"))
    words = set(re.findall(r"\w+", code)) | {"$schema"}  # that one is for editors
    assert sorted(set(_fields(schema)) - words) == []


def _fields(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for value in schema.values():
            yield from _fields(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _fields(value)


def test_every_row_of_the_table_has_a_test() -> None:
    text = "\n".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    named = set(re.findall(r"^(?:async )?def test_defect_(\d\d)_[a-z]", text, re.MULTILINE))
    assert named == set(ROWS)
