"""Grammars of the documents that people write: what they make is valid, or nearly."""

from __future__ import annotations

from typing import Any

from fuzz.words import hostile, values
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

SERVERS = ("cp-0", "etcd-0", "web-0")
TASKSERVS = ("os", "etcd", "containerd", "docker", "kubernetes")
CODES = st.sampled_from(("healthy", "completed", "finished"))


def some(
    fields: dict[str, SearchStrategy[Any]], always: dict[str, SearchStrategy[Any]] | None = None
) -> SearchStrategy[dict[str, Any]]:
    """Records with all of the fields `always`, and any of the others."""
    return st.fixed_dictionaries(always or {}, optional=fields)


params = st.dictionaries(st.sampled_from(("version", "replicas", "a", "b")), values, max_size=2)
gates = some(
    {
        "retries": st.integers(1, 20),
        "timeout_ms": st.integers(1, 10**6),
        "probe_timeout_ms": st.integers(1, 10**5),
        "interval_ms": st.integers(1, 10**4),
        "expected": st.sampled_from(("ok", "re:^ok$", "re:[a-z]+", "\x1b[31m")),
        "address": st.just("public"),
    },
    {"check_cmd": st.sampled_from(("true", "curl -f http://x", "a\nb", "\u202e"))},
)


@st.composite
def dags(draw: st.DrawFn) -> dict[str, Any]:
    """A DAG over `SERVERS` and `TASKSERVS` whose edges lead to formulas that stand before."""
    count = draw(st.integers(1, 4))
    formulas, entries = [], []
    for index in range(count):
        formula: dict[str, Any] = {"id": f"f{index}", "server": draw(st.sampled_from(SERVERS)), "nodes": draw(_nodes())}
        formula |= draw(some({"max_parallel": st.integers(1, 9)}))
        place = draw(some({"parallel": st.booleans(), "health_gate": gates}))
        if index:
            place |= draw(some({"depends_on": st.lists(_edges(index), max_size=2)}))
        if draw(st.booleans()):
            formula |= place
        else:
            entries.append({"formula_id": f"f{index}", **place})
        formulas.append(formula)
    return {"formulas": formulas, "composition": {"formulas": entries}} if entries else {"formulas": formulas}


def _edges(index: int) -> SearchStrategy[Any]:
    names = st.integers(0, index - 1).map(lambda number: f"f{number}")
    return names | st.fixed_dictionaries({"formula_id": names}, optional={"condition": CODES})


@st.composite
def _nodes(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(st.lists(st.sampled_from(("os", "etcd", "containerd", "docker")), min_size=1, max_size=3, unique=True))
    return [_node(draw, name, names[:index]) for index, name in enumerate(names)]


def _node(draw: st.DrawFn, name: str, before: list[str]) -> dict[str, Any]:
    what: Any = name if draw(st.booleans()) else draw(some({"profile": st.just("default")}, {"name": st.just(name)}))
    node: dict[str, Any] = {draw(st.sampled_from(("taskserv", "component"))): what}
    node |= draw(some({"parallel": st.booleans(), "timeout_s": st.sampled_from((1, 1.5, 20)), "params": params}))
    if before:
        edge = st.sampled_from(before)
        kinds = st.sampled_from(("on_success", "always"))
        node |= draw(
            some(
                {"depends_on": st.lists(edge | st.fixed_dictionaries({"node_id": edge}, optional={"kind": kinds}), max_size=1)}
            )
        )
    return node | draw(st.sampled_from(({}, {"on_error": "continue"}, {"on_error": "retry", "max_retries": 2})))


logins = some(
    {
        "user": st.sampled_from(("root", "admin", "a.b-c", "ü")),
        "port": st.integers(1, 65_535),
        "key_path": st.sampled_from(("key", "~/.ssh/key", "/keys/a b", "%d/$HOME")),
        "proxy_jump": st.sampled_from(("cp-0", "me@jump:2222", "a,b", "[::1]:22", "none")),
        "become": st.sampled_from(("sudo", {"method": "sudo"}, {"method": "sudo", "password": "env:X"})),
    }
)
hosts = st.sampled_from(("192.0.2.1", "2001:db8::1", "fe80::1%eth0", "cp-0.lan", "x", "_a"))


@st.composite
def servers(draw: st.DrawFn) -> dict[str, Any]:
    """Servers of different names."""
    names = draw(st.lists(st.sampled_from((*SERVERS, "a.b", "x_1")), min_size=1, max_size=3, unique=True))
    fields = {"public_ip": hosts, "private_ip": hosts, "ssh": logins, "site": st.just("here")}
    labels = {"labels": st.dictionaries(hostile, hostile, max_size=2)}
    return {"servers": [{"hostname": name, **draw(some(fields | labels, {"address": hosts}))} for name in names]}


settings_tables = some(
    {
        "run": some({"max_parallel": st.integers(1, 99)}),
        "ssh": some(
            {"connect_timeout_s": st.floats(0.1, 99), "connect_attempts": st.integers(1, 9), "reconnect_s": st.just(0)}
        ),
        "log.max_bytes": st.integers(4096, 10**9),
        "nickel": some({"timeout_s": st.sampled_from((1, 2.5))}),
    }
)
workspaces = some(
    {
        "default_infra": st.sampled_from(("main", "a-b")),
        "params": st.dictionaries(hostile, values, max_size=3),
        "secrets": st.dictionaries(hostile, st.sampled_from(("env:HOME", "file:secrets/x", "file:/x y")), max_size=2),
        "settings": settings_tables,
    },
    {"name": st.sampled_from(("test", "a.b-c_9"))},
)
user_files = some(
    {
        "active": hostile,
        "workspaces": st.dictionaries(hostile, hostile, max_size=3),
        "settings": settings_tables,
    }
)

specs = some(
    {"type": st.sampled_from(("string", "integer", "number", "boolean", "list", "map", "secret")), "default": values}
    | {"required": st.booleans(), "description": hostile}
) | st.sampled_from(({"type": "integer", "default": 1}, {"type": "string", "default": "x"}, {"required": True}))
names = st.lists(st.sampled_from(("a", "b.c", "key-value", "runtime")), max_size=2)
taskservs = some(
    {
        "name": st.just("os"),
        "version": hostile,
        "description": hostile,
        "operations": st.sampled_from((["install"], ["install", "status", "x"])),
        "idempotent": st.booleans(),
        "timeout_s": st.sampled_from((1, 20, 0.5)),
        "requires": names,
        "provides": names,
        "conflicts_with": names,
        "params": st.dictionaries(st.sampled_from(("text", "n", "_x")), specs, max_size=3),
    }
)

moments = st.sampled_from(("2026-01-01T12:00:00Z", "2026-01-01T12:00:00.123456+00:00"))
resources = some(
    {
        "operation": st.sampled_from(("install", "update")),
        "profile": hostile,
        "digest": hostile,
        "run_id": hostile,
        "started_at": moments | st.none(),
        "ended_at": moments | st.none(),
        "blocker": hostile | st.none(),
        "actor": some({"identity": hostile, "source": hostile}),
        "log": st.lists(some({"source": hostile}, {"ts": moments, "event": hostile}), max_size=3),
    },
    {"state": st.sampled_from(("pending", "running", "completed", "failed", "blocked", "interrupted"))},
)
books = some(
    {"run": hostile, "seq": st.integers(0, 99), "newest": hostile},
    {
        "version": st.just(1),
        "lineage": st.just("a-lineage"),
        "serial": st.integers(0, 10**6),
        "servers": st.dictionaries(
            hostile, st.fixed_dictionaries({"taskservs": st.dictionaries(hostile, resources, max_size=3)}), max_size=3
        ),
    },
)
