"""The contract: `schemas/openapi.json` is what the router has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from provisioning.api import openapi
from provisioning.api.app import ENDPOINTS
from provisioning.api.gate import UNKNOWN
from provisioning.api.shapes.base import NAME
from provisioning.core.declare import NAME_PATTERN

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "api.md"
CONTRACT = Path(__file__).resolve().parents[2] / "schemas" / "openapi.json"


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    document = json.loads(CONTRACT.read_text())
    return [(path, method, one) for path, methods in document["paths"].items() for method, one in methods.items()]


def test_the_contract_is_what_the_router_has() -> None:
    assert CONTRACT.read_text() == openapi.text(), "python -m provisioning.api.openapi > schemas/openapi.json"


def test_every_operation_says_what_it_does_what_it_answers_and_who_may_call_it() -> None:
    for path, method, one in operations():
        assert one["summary"], (path, method)
        assert any(code.startswith("2") for code in one["responses"]), (path, method)
        assert {"401", "403", "422"} <= set(one["responses"]), (path, method)
        assert "x-role" in one or one["security"] == [], (path, method)


def test_the_audit_log_has_one_vocabulary_and_it_is_documented() -> None:
    used = {one.action for one in ENDPOINTS} | {UNKNOWN, "session.refuse"}
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", action) for action in used)
    assert {one["x-action"] for _path, _method, one in operations()} <= used
    table = REFERENCE.read_text("utf-8").partition("| noun | verbs |")[2].partition("\n\n")[0]
    rows = [[re.findall(r"`(\w+)`", cell) for cell in line.split("|")[1:3]] for line in table.splitlines()[2:]]
    assert {f"{noun}.{verb}" for nouns, verbs in rows for noun in nouns for verb in verbs} == used
    reading = {one.handler.__name__ for one in ENDPOINTS if one.action.endswith(".read")}
    assert reading == {one.handler.__name__ for one in ENDPOINTS if one.method == "GET"}, "what changes something is no read"


def references(part: object) -> set[str]:
    """Return what all `$ref`s in a part of the document point at."""
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(references(each) for each in part.values()))
    return set[str]().union(*(references(each) for each in part)) if isinstance(part, list) else set()


def test_every_reference_leads_to_a_shape_that_is_there() -> None:
    document = json.loads(CONTRACT.read_text())
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= known
    assert "#/components/schemas/Problem" in known


def test_every_error_is_a_problem() -> None:
    for path, method, one in operations():
        for code, answer in one["responses"].items():
            if int(code) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (path, method, code)


def test_no_two_operations_have_one_name() -> None:
    names = [one["operationId"] for _path, _method, one in operations()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "name",
    ["a", "a.b", "a..b", "..", ".a", "a.", "a/b", "", "a\n", "A-_9.z", "a" * 128, "a" * 129, "ä", "a b", "a.." + "b" * 9],
)
def test_the_rule_for_names_is_the_one_of_the_files(name: str) -> None:
    ours = re.compile(NAME.replace("$", r"\Z")).match(name) is not None and len(name) <= 128
    assert ours == (re.compile(NAME_PATTERN).match(name) is not None)
