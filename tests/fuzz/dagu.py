"""Targets: Dagu's YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from fuzz.documents import some
from fuzz.shapes import seemly
from fuzz.target import Check, Target
from fuzz.words import TOKENS, files, hostile, values
from hypothesis import strategies as st

from provisioning.formats.dagu.files import read_base, read_dag
from provisioning.formats.dagu.names import good_name
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


def as_plain_yaml(value: Any) -> bytes:
    """Write a value as YAML, as a person would."""
    return yaml.safe_dump(value, allow_unicode=True, sort_keys=False).encode("utf-8", "replace")


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


def dagu_file(_folder: Path) -> Check:
    """A Dagu file: a model whose steps hang together, or faults with places; beneath it any base.yaml that can be read."""

    def check(example: tuple[bytes, bytes]) -> str:
        data, below = example
        base = read_base(below, file="base.yaml")
        read = read_dag(data, file="x.yaml", known_dags=frozenset({"child"}), base=base.dag)
        seemly((*base.faults, *read.faults))
        assert all(fault.line >= 1 <= fault.column for fault in (*read.faults, *base.faults))
        for note in (*read.notes, *base.notes):
            assert note.line >= 1 <= note.column
            assert note.message.isprintable(), note
        if read.faults:
            assert (read.dag, read.documents) == (None, ())
            return f"refused: {read.faults[0].code}"
        for dag in read.documents:
            names = [step.name for step in dag.steps]
            assert names
            assert len(set(names)) == len(names)
            assert {other for step in dag.steps for other in step.depends} <= set(names)
            assert good_name(dag.name)
        return f"accepted: {read.recognised[0].dialect}"

    return check


_commands = st.sampled_from(("echo a", "a\nb", "${x.y}", "`x`", "child", "../x", "$1", "")) | hostile
_numbers = st.sampled_from((0, 1, 5, -1, "3", "${N}", 1.5))
_conditions = st.sampled_from(("test -f x", {"condition": "$A", "expected": "re:^a"}, {"eval": "x", "expected": "y"}))
_policies = some(
    {
        "limit": _numbers,
        "intervalSec": _numbers,
        "interval_sec": _numbers,
        "backoff": st.sampled_from((True, 2, 1)),
        "repeat": st.sampled_from((True, "while", "until", False)),
        "condition": hostile,
        "exitCode": st.sampled_from((1, [1, "2"], 300)),
    }
)
_deeds = st.one_of(
    some({"script": _commands}, {"command": _commands | st.lists(_commands, max_size=3)}),
    some({"params": values, "parallel": values}, {"run": _commands}),
    some({"params": values}, {"call": st.sampled_from(("child", "a/b", "..", "$X"))}),
    some({"with": values}, {"action": st.sampled_from(("http.request", "dag.run", "noop", "jq.filter", "s3.put", "x"))}),
    some(
        {"config": values, "command": _commands}, {"type": st.sampled_from(("http", "ssh", "docker", "router", "mail", "jq"))}
    ),
    some({}, {"foreach": some({"items": values, "steps": st.just([{"run": "x"}])})}),
)
_other = some(
    {
        "id": st.sampled_from(("a", "b1", "env", "x-y")),
        "name": st.sampled_from(("a", "b", "cmd_2")) | hostile,
        "depends": st.sampled_from(("a", ["a", "b"], [], "cmd_1")),
        "continueOn": st.sampled_from(("failed", {"failure": True}, {"exit_code": [1]})),
        "retryPolicy": _policies,
        "repeat_policy": _policies,
        "precondition": _conditions,
        "env": values,
        "output": hostile | st.just({"a": {"from": "stdout"}}),
        "signalOnStop": st.sampled_from(("SIGINT", "term", "x")),
        "container": st.sampled_from(("c", {"image": "a"}, {"exec": "b", "env": ["A=1"]})),
        "approval": values,
    }
)
_steps = st.builds(lambda deed, other: {**deed, **other}, _deeds, _other) | _commands
dagu_documents = some(
    {
        "name": st.sampled_from(("x", "a.b", "../x")),
        "type": st.sampled_from(("chain", "graph", "agent")),
        "schedule": st.sampled_from(
            ("0 1 * * *", "@daily", ["*/7 * * * *"], {"stop": "1 1 1 1 1"}, {"at": "2026-01-01T00:00:00Z"})
        ),
        "params": values | st.sampled_from(("a b K=v", {"A": 1}, [{"name": "a", "type": "integer"}])),
        "env": st.sampled_from(({"A": 1}, ["A=`x`"], [{"B": "$(y)"}])),
        "tags": hostile,
        "labels": values,
        "handlerOn": some({"exit": _steps, "cancel": _steps}),
        "handler_on": some({"init": _steps, "wait": _steps}),
        "maxActiveRuns": _numbers,
        "timeout_sec": _numbers,
        "defaults": _other,
        "dotenv": values,
        "secrets": values,
        "smtp": values,
    },
    {"steps": st.lists(_steps | st.lists(_steps, max_size=2), max_size=5) | st.dictionaries(hostile, _steps, max_size=3)},
)
_bases = st.sampled_from(
    (b"", b"type: graph\n", b"env: [{A: b}]\nhandler_on: {exit: {command: x}}\n", b"queue: q\ntimeoutSec: 3\n", b"[")
)

TARGETS = (
    Target(
        name="dagu-file",
        examples=st.tuples(files(dagu_documents, as_plain_yaml, YAML_TOKENS), _bases),
        prepare=dagu_file,
        quick=150,
    ),
    Target(name="goyaml", examples=files(values, as_yaml, YAML_TOKENS), prepare=go_yaml, quick=100),
)
