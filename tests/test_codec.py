from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.codec import CodecError, build, canonical, decode, digest, encode, parse, plain, pretty
from provisioning.core.declare import Dag, Formula, FormulaDep, HealthGate, Infra, Node, Server, Workspace
from provisioning.core.events import Event, Kind
from provisioning.core.model import Action, Dep, Gate, GateKind, On, Placement, Policy, Retry, Source, Step, Workflow
from provisioning.core.plan import Plan, Selection
from provisioning.core.ports import Outcome, Report, Request, Task, Timer
from provisioning.core.resources import Actor, LogEntry, Resource, ResourceBook, ResourceState
from provisioning.core.values import Ref

AT = datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=UTC)
STEP = Step(
    id="cp/etcd",
    action=Action(type="taskserv", settings=MappingProxyType({"deep": MappingProxyType({"a": [1]})})),
    args=[{"from": Ref(step="a")}],
    deps=(Dep(step="a", on=On.DONE),),
    gates=(Gate(kind=GateKind.SIGNAL, name="go"),),
    retry=Retry(attempts=3, only=("exit",)),
    timeout_s=1.5,
    placement=Placement(target="edge", selector=MappingProxyType({"zone": "b"})),
    keys=("server:cp-0",),
    labels=MappingProxyType({"server": "cp-0"}),
)
WORKFLOW = Workflow(
    name="w", steps=(STEP, Step(id="a", action=Action(type="noop"))), pools={"p": 2}, policy=Policy(max_parallel=3)
)
TASK = Task(run="r", step="s", attempt=1, epoch=2, action=STEP.action, args={"$x": 1}, labels={"a": "b"})
RESOURCE = Resource(state=ResourceState.FAILED, actor=Actor(identity="a@b", source="cli"), log=(LogEntry(ts="t", event="e"),))
RECORDS = [
    STEP,
    WORKFLOW,
    TASK,
    Report(task=TASK, worker="w", outcome=Outcome.UNKNOWN, exit_code=3, output={"n": [None]}),
    Timer(run="r", step="s", attempt=1, kind="retry", due=AT),
    Request(run="r", kind="signal", data={"name": "go"}, id=4),
    Event(run="r", kind=Kind.STEP_FAILED, at=AT, seq=1, step="s", data={"error": {"kind": "exit"}}),
    Event(run="r", kind=Kind.STEP_ADDED, at=AT, data={"spec": STEP}),
    ResourceBook(lineage="x", serial=3, servers={"h": {"t": RESOURCE}}),
    Dag(
        formulas=(
            Formula(
                id="f",
                server="s",
                nodes=(Node(id="n", taskserv="t", params={"a": 1}),),
                health_gate=HealthGate(check_cmd="true"),
                depends_on=(FormulaDep(formula_id="g"),),
            ),
        )
    ),
    Infra(workspace=Workspace(name="w", path="/w"), name="i", servers=(Server(hostname="h"),), dag=None, taskservs={}),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_every_record_comes_back_equal(record: object) -> None:
    assert decode(encode(record), type(record)) == record
    assert build(plain(record), type(record)) == record
    assert decode(canonical(record), type(record)) == record


def test_a_plan_comes_back_equal_except_that_sets_are_lists_in_json() -> None:
    plan = Plan(infra="i", selection=Selection(name="etcd", servers=frozenset({"cp-0"})), steps=())
    assert decode(encode(plan), Plan) == plan


def test_keys_are_the_field_names() -> None:
    assert plain(Dep(step="a")) == {"step": "a", "on": "success"}


def test_pretty_json_is_for_people_and_ends_with_a_newline() -> None:
    assert pretty({"a": [1]}) == b'{\n  "a": [\n    1\n  ]\n}\n'


# ---------------------------------------------------------------- references

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.sampled_from(["$ref", "$", "$$", "$$ref", "$x"]), inner, max_size=3)
    ),
    max_leaves=12,
)
ARGS = st.recursive(
    JSON | st.builds(Ref, step=st.text(), has_default=st.booleans(), default=JSON),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["$ref", "$$"]), inner, max_size=3),
    max_leaves=8,
)


@given(ARGS)
def test_arguments_with_references_and_dollar_keys_at_any_depth_come_back(args: object) -> None:
    step = replace(STEP, args=args)
    assert decode(encode(step), Step) == step
    assert decode(encode(replace(WORKFLOW, steps=(step,))), Workflow).steps == (step,)


def test_a_reference_is_written_apart_from_a_user_s_key_of_that_name() -> None:
    assert plain(replace(STEP, args=[Ref(step="a"), {"$ref": "mine"}, {"$$ref": 1}]))["args"] == [
        {"$ref": {"step": "a", "has_default": False, "default": None}},
        {"$$ref": "mine"},
        {"$$$ref": 1},
    ]


@pytest.mark.parametrize("args", [{"$ref": 1}, {"$ref": {}}, {"$ref": {"step": "a", "x": 1}}, {"$ref": {"step": "a"}, "b": 1}])
def test_a_reference_that_is_none_is_refused(args: Mapping[str, object]) -> None:
    raw = json.dumps({"id": "s", "action": {"type": "noop"}, "args": args})
    with pytest.raises(CodecError, match="not a reference"):
        decode(raw, Step)


def test_arguments_without_references_are_not_copied() -> None:
    args = {"a": [1, {"b": 2}]}
    step = replace(STEP, args=args)
    assert step.args is args
    assert decode(encode(step), Step).args == args
    assert step.args is args


# ---------------------------------------------------------------- digest


def test_a_digest_depends_on_content_only() -> None:
    same = replace(WORKFLOW, steps=tuple(WORKFLOW.steps), pools=MappingProxyType({"p": 2}))
    assert digest(same) == digest(WORKFLOW) == digest(replace(WORKFLOW, source=Source(kind="dagu", uri="x")))
    assert digest(WORKFLOW).startswith("sha256:")
    assert len(digest(WORKFLOW)) == 71


@pytest.mark.parametrize("change", [{"name": "v"}, {"steps": WORKFLOW.steps[::-1]}, {"pools": {"p": 3}}, {"policy": Policy()}])
def test_a_digest_changes_with_everything_but_the_source(change: Mapping[str, object]) -> None:
    assert digest(replace(WORKFLOW, **change)) != digest(WORKFLOW)  # type: ignore[arg-type]


def test_canonical_json_sorts_keys_at_every_depth_and_has_no_spaces() -> None:
    assert (
        canonical({"b": MappingProxyType({"d": 1, "c": [{"f": 1, "e": 2}]}), "a": 1})
        == b'{"a":1,"b":{"c":[{"e":2,"f":1}],"d":1}}'
    )


def test_the_order_of_a_mapping_makes_no_difference() -> None:
    one, other = (replace(STEP, args=dict(items)) for items in ([("a", 1), ("b", 2)], [("b", 2), ("a", 1)]))
    assert canonical(one) == canonical(other)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("text", "path", "detail"),
    [
        pytest.param(
            '{"id": "s", "action": {"type": "noop"}, "colour": 1}', "$.colour", "unknown field 'colour'", id="unknown"
        ),
        pytest.param('{"id": "s", "action": {"type": "noop", "x": 1}}', "$.action.x", "unknown field 'x'", id="unknown below"),
        pytest.param(
            '{"id": "s", "action": {"type": "noop"}, "deps": [{"step": "a", "o": 1}]}',
            "$.deps[0].o",
            "unknown field 'o'",
            id="unknown in a list",
        ),
        pytest.param(
            '{"id": "s", "action": {"type": "noop"}, "retry": {"tries": 1}}',
            "$.retry.tries",
            "unknown field 'tries'",
            id="unknown in an optional",
        ),
        pytest.param('{"id": 1, "action": {"type": "noop"}}', "$.id", "expected 'str', got 'int'", id="number for text"),
        pytest.param(
            '{"id": "s", "action": {"type": "noop"}, "priority": "1"}',
            "$.priority",
            "expected 'int', got 'str'",
            id="text for number",
        ),
        pytest.param(
            '{"id": "s", "action": {"type": "noop"}, "priority": 1.5}',
            "$.priority",
            "expected 'int', got 'float'",
            id="fraction",
        ),
        pytest.param(
            '{"id": "s", "action": {"type": "noop"}, "optional": 1}',
            "$.optional",
            "expected 'bool', got 'int'",
            id="number for truth",
        ),
        pytest.param('{"id": "s"}', "", "object missing required field 'action'", id="missing"),
        pytest.param(
            '{"id": "s", "action": {"type": "noop"}, "deps": [{"step": "a", "on": "x"}]}',
            "$.deps[0].on",
            "invalid enum value 'x'",
            id="unknown word",
        ),
        pytest.param(
            '{"id": "s", "action": {"type": "noop"}, "labels": {"a": "b", "server": 1}}',
            "$.labels.server",
            "expected 'str', got 'int'",
            id="in a mapping",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_path(text: str, path: str, detail: str) -> None:
    uses: list[Callable[[], Step]] = [lambda: decode(text, Step), lambda: build(json.loads(text), Step)]
    for use in uses:
        with pytest.raises(CodecError) as refused:
            use()
        assert (refused.value.path, refused.value.detail) == (path, detail)


def test_a_bad_entry_of_nested_mappings_is_named_whole() -> None:
    book = plain(ResourceBook(lineage="x", servers={"h 1": {"t": RESOURCE, "u": RESOURCE}}))
    book["servers"]["h 1"]["u"]["log"][0]["ts"] = 5
    with pytest.raises(CodecError) as refused:
        build(book, ResourceBook)
    assert (refused.value.path, refused.value.detail) == ("$.servers.h 1.u.log[0].ts", "expected 'str', got 'int'")


@pytest.mark.parametrize(
    ("data", "offset"),
    [(b"", 0), (b'{"a":', 5), (b'{"a":1,,}', 7), (b'{"a":\xff}', 5), ('{"ü":', 6), (b"nul", 3), (b"[1] x", 5), (b'"\xff"', 1)],
)
def test_what_is_not_json_is_named_by_its_byte(data: bytes | str, offset: int) -> None:
    with pytest.raises(CodecError) as refused:
        parse(data)
    assert refused.value.offset == offset


def test_text_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(CodecError, match="nested too deeply"):
        parse(b"[" * 1_000_000)


@pytest.mark.parametrize("digits", [b"9" * 10_000, b"-1e999"])
def test_a_number_that_nothing_holds_is_refused(digits: bytes) -> None:
    with pytest.raises(CodecError, match="out of range"):
        parse(b'{"a": ' + digits + b"}")


@pytest.mark.parametrize("value", [object(), "\ud800", {"a": {("b",): 1}}, [print]])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(CodecError, match="cannot be written as JSON"):
        encode(replace(STEP, args=value))


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_no_input_raises_anything_else(data: bytes | str) -> None:
    for type_ in (Step, Workflow, Event):
        with contextlib.suppress(CodecError):
            decode(data, type_)


def test_without_strict_unknown_fields_are_left_out() -> None:
    assert decode('{"step": "a", "new": 1}', Dep, strict=False) == Dep(step="a")
