"""What a step does: from the keys of all dialects to one of the kinds of core.dagu.doing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from provisioning.core.dagu.doing import (
    MAX_CONCURRENT,
    Arguments,
    Doing,
    FunctionDoing,
    HumanDoing,
    Item,
    NoopDoing,
    Parallel,
    Route,
    RouterDoing,
    SubDagDoing,
    Text,
)
from provisioning.core.shown import quote
from provisioning.formats.dagu import executors
from provisioning.formats.dagu.env import note_substitutions
from provisioning.formats.dagu.names import check_dag_name, good_name
from provisioning.formats.dagu.params import read_arguments
from provisioning.formats.dagu.reading import Record, Spot
from provisioning.formats.dagu.shells import read_shell_doing
from provisioning.formats.dagu.spelling import EXECUTOR, FUNCTION, HUMAN, PARALLEL, ROUTER, SUB_DAG, Table
from provisioning.formats.dagu.within import Within

ITEMS_MOST = 1000
_Reader = Callable[[Record, Spot | None, Within], Doing]


def read_doing(step: Record, within: Within) -> tuple[Doing, str]:
    """Return what a step does, and the kind that names it where it has no name (`cmd`, `http`)."""
    _once(step)
    doing, kind = _read(step, within)
    for key in _DOING_KEYS:
        if key not in _USED[kind] and step.has(key):
            step.spots[key].fault("misplaced_key", f"found {key}, which a step of this kind ({kind}) has no use for")
    return doing, kind


def _read(step: Record, within: Within) -> tuple[Doing, str]:
    kind, options, where = _kind(step)
    if kind:
        known = _BY_KIND.get(kind)
        if options is not None:
            note_substitutions(options)
        if known is not None:
            return known[1](step, options, within), known[0]
        _unknown_kind(kind, where or step.spot, action=step.has("action"))
        return NoopDoing(), "cmd"
    return _by_key(step, within)


def _by_key(step: Record, within: Within) -> tuple[Doing, str]:
    if step.has("function"):
        return _function(step), "function"
    if step.has("call") or _is_dag(step, within):
        return _sub_dag_of(step, step.at("call") or step.at("run"), step.at("params")), "dag"
    if step.has("routes"):
        return _router(step, None, within), "router"
    if step.has("container") and not any(step.has(key) for key in ("command", "script", "run")):
        return NoopDoing(), "container"
    return read_shell_doing(step, None, within), "cmd"


_DOING_KEYS = (
    *("command", "script", "exec", "run", "call", "shell", "shell_args", "params", "parallel", "function", "foreach"),
    *("value", "routes", "container"),
)
_PROGRAM = frozenset({"command", "script"})
_SHELL = _PROGRAM | {"shell", "shell_args"}
_SUB_DAG = frozenset({"call", "run", "command", "params", "parallel"})
_USED: Mapping[str, frozenset[str]] = {
    "cmd": _SHELL | {"exec", "run", "container"},
    "ssh": _SHELL,
    "docker": _SHELL | {"container"},
    "container": _SHELL | {"container"},
    "http": _PROGRAM,
    "jq": _PROGRAM,
    "mail": frozenset(),
    "noop": frozenset(),
    "hitl": frozenset(),
    "human": frozenset(),
    "dag": _SUB_DAG,
    "parallel": _SUB_DAG,
    "function": frozenset({"function", "params"}),
    "foreach": frozenset({"foreach"}),
    "router": frozenset({"value", "routes"}),
}
_SAYING = ("run", "call", "function", "action", "foreach")


def _once(step: Record) -> None:
    """A step does one thing: refuse keys that say it twice."""
    said = [key for key in (*_SAYING, "exec") if step.has(key)]
    kinds = [key for key in ("action", "type", "executor") if step.has(key)]
    if len(kinds) > 1:
        step.spot.fault("conflicting_keys", f"found {kinds[0]} and {kinds[1]} in one step, expected one of them")
    elif len(said) > 1:
        step.spot.fault("conflicting_keys", f"found {said[0]} and {said[1]} in one step, expected one of them")
    elif said and said[0] in {"run", "exec"}:
        for key in ("command", "script"):
            if step.has(key):
                step.spot.fault("conflicting_keys", f"found {said[0]} and {key} in one step, expected one of them")
    if step.has("with") and step.has("config"):
        step.spot.fault("conflicting_keys", "found with and config in one step, expected one of them")


def _kind(step: Record) -> tuple[str, Spot | None, Spot | None]:
    """Return the executor or action of a step, its options, and where it is named."""
    options = step.at("with") or step.at("config")
    executor = step.at("executor")
    if executor is not None and executor.is_map:
        record = executor.record(EXECUTOR)
        return record.word("type").lower(), record.at("config") or options, record.at("type")
    for key in ("executor", "action", "type"):
        spot = step.at(key)
        if spot is not None:
            return spot.word().lower(), options, spot
    if step.has("foreach"):
        return "foreach", options, step.at("foreach")
    if step.has("exec"):
        return "shell", options, step.at("exec")
    if options is not None:
        return "shell", options, None
    return "", None, None


def _unknown_kind(kind: str, where: Spot, *, action: bool) -> None:
    if kind in UNSUPPORTED or kind.partition(".")[0] in UNSUPPORTED or "@" in kind:
        where.fault("unsupported_key", f"found {quote(kind)}: this kind of step is not supported")
        return
    known = [name for name in _BY_KIND if ("." in name) == action or name in {"noop", "exec"}]
    where.fault("unknown_action", f"found {quote(kind)}, which is no kind of step", where.nearest(kind, known))


UNSUPPORTED = frozenset(
    (
        *("k8s", "kubernetes", "postgres", "sqlite", "redis", "chat", "harness", "template", "log", "archive", "file", "git"),
        *("wait", "s3", "sftp", "artifact", "data", "state", "outputs", "agent", "llm", "controller", "dag.enqueue"),
    )
)


def _shell(step: Record, options: Spot | None, within: Within) -> Doing:
    return read_shell_doing(step, options, within)


def _noop(_step: Record, _options: Spot | None, _within: Within) -> Doing:
    return NoopDoing()


# ---------------------------------------------------------------- other DAGs


def _is_dag(step: Record, within: Within) -> bool:
    """`run` names a DAG beside params or parallel, or when such a DAG is known; else it is text for a shell (Y1)."""
    spot = step.at("run")
    if spot is None or spot.scalar is None:
        return False
    if step.has("params") or step.has("parallel"):
        return True
    word = spot.scalar.raw.strip()
    if word in within.known_dags:
        spot.note("run_is_a_dag", f"{quote(word)} is a DAG, so it is started; Dagu from 2.7 on would run it as a command")
        return True
    if good_name(word):
        spot.note("run_is_text", f"no DAG {quote(word)} is known, so it is run as a command; before Dagu 2.7 it named a DAG")
    return False


def _sub_dag(step: Record, options: Spot | None, _within: Within) -> Doing:
    record = _options(step, options, SUB_DAG)
    spot = record.at("dag") or step.at("call") or step.at("run") or step.at("command")
    return _sub_dag_of(step, spot, record.at("params") or step.at("params"))


def _options(step: Record, options: Spot | None, table: Table) -> Record:
    """Return the options of an executor, nothing where there are none."""
    return options.record(table) if options is not None else Record(step.spot, {})


def _sub_dag_of(step: Record, spot: Spot | None, params: Spot | None) -> Doing:
    dag = spot.text() if spot is not None else None
    if spot is None or dag is None or not dag.raw.strip():
        (spot or step.spot).fault("missing_key", "expected the name of a DAG")
        return NoopDoing()
    check_dag_name(spot, dag.raw)
    return SubDagDoing(dag=dag, params=read_arguments(params), parallel=_parallel(step.at("parallel")))


def _parallel(spot: Spot | None) -> Parallel | None:
    if spot is None:
        return None
    if not spot.is_map:
        items, reference = read_items(spot)
        return Parallel(items=items, reference=reference)
    record = spot.record(PARALLEL)
    if not record.has("items"):
        spot.fault("missing_key", "parallel needs items")
    items, reference = read_items(record.at("items"))
    concurrent = record.whole("max_concurrent", MAX_CONCURRENT, 1, ITEMS_MOST)
    return Parallel(items=items, reference=reference, max_concurrent=concurrent)


def read_items(spot: Spot | None) -> tuple[tuple[Item, ...], Text | None]:
    """Return the items of a loop, or the one text that becomes them."""
    if spot is None:
        return (), None
    if spot.scalar is not None:
        return (), spot.text()
    items = tuple(_item(one) for one in spot.items())
    if not items:
        spot.fault("empty", "found no items, expected at least one")
    if len(items) > ITEMS_MOST:
        spot.fault("out_of_range", f"found {len(items):,} items, expected at most {ITEMS_MOST:,}")
    return items, None


def _item(spot: Spot) -> Item:
    if spot.is_map:
        return Item(fields=spot.pairs())
    return Item(text=spot.text())


# ---------------------------------------------------------------- people, routes, functions


def _human(step: Record, options: Spot | None, _within: Within) -> Doing:
    record = _options(step, options, HUMAN)
    return HumanDoing(prompt=record.text("prompt"), inputs=record.words("input"), required=record.words("required"))


def _router(step: Record, options: Spot | None, _within: Within) -> Doing:
    record = options.record(ROUTER) if options is not None else step
    value, routes = record.text("value"), record.at("routes")
    if value is None or routes is None:
        record.spot.fault("missing_key", "a router needs value and routes")
        return NoopDoing()
    read = tuple(Route(pattern=pattern, targets=target.words()) for pattern, target in routes.entries())
    return RouterDoing(value=value, routes=read)


def _function(step: Record) -> Doing:
    spot = step.spots["function"]
    if not spot.is_map:
        return _registered(spot, spot.word(), read_arguments(step.at("params")))
    record = spot.record(FUNCTION)
    return _registered(spot, record.word("id"), read_arguments(record.at("params") or step.at("params")))


def _registered(spot: Spot, name: str, params: Arguments) -> Doing:
    if not name:
        spot.fault("missing_key", "expected the id of a function")
        return NoopDoing()
    check_dag_name(spot, name, what="function")
    return FunctionDoing(function=name, params=params)


def _foreach(step: Record, options: Spot | None, within: Within) -> Doing:
    return within.foreach(step, options)


_BY_KIND: Mapping[str, tuple[str, _Reader]] = {
    "shell": ("cmd", _shell),
    "command": ("cmd", _shell),
    "exec": ("cmd", _shell),
    "noop": ("noop", _noop),
    "http": ("http", executors.read_http),
    "http.request": ("http", executors.read_http),
    "ssh": ("ssh", executors.read_ssh),
    "ssh.run": ("ssh", executors.read_ssh),
    "docker": ("docker", executors.read_docker),
    "container": ("container", executors.read_docker),
    "docker.run": ("docker", executors.read_docker),
    "container.run": ("container", executors.read_docker),
    "jq": ("jq", executors.read_jq),
    "jq.filter": ("jq", executors.read_jq),
    "mail": ("mail", executors.read_mail),
    "mail.send": ("mail", executors.read_mail),
    "dag": ("dag", _sub_dag),
    "sub_dag": ("dag", _sub_dag),
    "subworkflow": ("dag", _sub_dag),
    "parallel": ("parallel", _sub_dag),
    "dag.run": ("dag", _sub_dag),
    "foreach": ("foreach", _foreach),
    "router": ("router", _router),
    "router.route": ("router", _router),
    "hitl": ("hitl", _human),
    "human.task": ("human", _human),
}
