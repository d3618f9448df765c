from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
from support.dags import declared, node, taskserv

from provisioning.core.declare import Node, Taskserv
from provisioning.core.inputs import input_digest, merged_params
from provisioning.errors import NotFoundError

ETCD = taskserv("etcd", version="3.5", params=declared("port", 2379))
NODE = node("etcd", params={"name": "a", "peers": ["b", "c"]})
BEFORE = input_digest(ETCD, NODE, {})
DEFAULT = ETCD.profiles["default"]


@pytest.mark.parametrize(
    ("changed", "one"),
    [
        pytest.param(replace(ETCD, version="3.6"), NODE, id="version"),
        pytest.param(replace(ETCD, name="etcd2"), NODE, id="name"),
        pytest.param(replace(ETCD, params=declared("port", 2380)), NODE, id="a default"),
        pytest.param(replace(ETCD, profiles={"default": replace(DEFAULT, files_digest="other")}), NODE, id="a script"),
        pytest.param(ETCD, replace(NODE, profile="x"), id="profile"),
        pytest.param(ETCD, replace(NODE, params={"name": "b", "peers": ["b", "c"]}), id="a param"),
        pytest.param(ETCD, replace(NODE, params={"name": "a", "peers": ["c", "b"]}), id="the order of a list"),
    ],
)
def test_the_digest_differs_when_an_input_does(changed: Taskserv, one: Node) -> None:
    assert input_digest(changed, one, {}) != BEFORE


@pytest.mark.parametrize(
    ("changed", "one"),
    [
        pytest.param(replace(ETCD, description="new words"), NODE, id="description"),
        pytest.param(replace(ETCD, path="/elsewhere", timeout_s=5.0), NODE, id="where it lies, how long it may take"),
        pytest.param(ETCD, replace(NODE, id="etcd-a", max_retries=3, parallel=True), id="how it is run"),
        pytest.param(ETCD, replace(NODE, params={"peers": ("b", "c"), "name": "a"}), id="order of params, tuple or list"),
        pytest.param(ETCD, replace(NODE, params=MappingProxyType(dict(NODE.params))), id="kind of mapping"),
    ],
)
def test_the_digest_stays_when_nothing_that_is_installed_differs(changed: Taskserv, one: Node) -> None:
    assert input_digest(changed, one, {}) == BEFORE


def test_params_of_the_node_go_over_those_of_the_workspace_and_these_over_defaults() -> None:
    three = {**declared("a", 1), **declared("b", 1), **declared("c", 1)}
    merged = merged_params(taskserv("t", params=three), node("t", params={"c": 3}), {"b": 2, "c": 2})
    assert merged == {"a": 1, "b": 2, "c": 3}


def test_a_workspace_param_that_the_taskserv_does_not_declare_changes_nothing() -> None:
    assert input_digest(ETCD, NODE, {"redis_port": 1}) == BEFORE
    assert input_digest(ETCD, NODE, {"port": 1}) != BEFORE


def test_nested_read_only_mappings_are_part_of_the_digest() -> None:
    nested = replace(NODE, params={"name": "a", "peers": [MappingProxyType({"b": 1})]})
    assert input_digest(ETCD, nested, {}) == input_digest(ETCD, replace(NODE, params={"name": "a", "peers": [{"b": 1}]}), {})


def test_an_unknown_profile_is_not_found_and_the_nearest_is_named() -> None:
    with pytest.raises(NotFoundError, match="no profile defalt") as caught:
        input_digest(ETCD, replace(NODE, profile="defalt"), {})
    assert caught.value.hint == "did you mean default?"
