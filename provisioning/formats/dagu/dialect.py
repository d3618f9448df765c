"""Which of Dagu's dialects a document is written in: its keys tell.

A0 is Dagu 1.0 to 1.16, A1 1.17 to 1.30, B 2.0 to 2.6, C 2.7 and later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from provisioning.core.frozen import dataclass
from provisioning.formats.dagu.spelling import (
    CONTAINER,
    CONTINUE_ON,
    DAG,
    MAIL_TO,
    PARALLEL,
    REPEAT,
    RETRY,
    RUN_CONFIG,
    STEP,
    Table,
    folded,
)
from provisioning.formats.goyaml import Fields, Items, Node, Place, Scalar

MARKS_KEPT = 20  # of one document


class Dialect(StrEnum):
    """ANY: nothing tells. MIXED: keys of dialects that exclude one another."""

    A0 = "A0"
    A1 = "A1"
    B = "B"
    C = "C"
    MIXED = "mixed"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A key, and the dialects that have it."""

    key: str
    dialects: frozenset[Dialect]
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A document's dialect and the first keys that told it."""

    dialect: Dialect
    marks: tuple[Mark, ...] = ()

    @property
    def old(self) -> bool:
        """Whether it was written for Dagu 1."""
        return self.dialect in {Dialect.A0, Dialect.A1}

    @property
    def new(self) -> bool:
        """Whether it was written for Dagu 2."""
        return self.dialect in {Dialect.B, Dialect.C}


A0, A1, B, C = Dialect.A0, Dialect.A1, Dialect.B, Dialect.C
_OLD, _NEW, _CURRENT = frozenset({A0, A1}), frozenset({B, C}), frozenset({C})
_SINCE_A1, _A1_ONLY = frozenset({A1, B, C}), frozenset({A1})
_BY_DAG_KEY: Mapping[str, frozenset[Dialect]] = {
    "precondition": _OLD,
    "dir": _OLD,
    "functions": frozenset({A0}),
    "labels": _NEW,
    "steptypes": frozenset({B}),
    "actions": _CURRENT,
    "consts": _CURRENT,
    "defaults": _NEW,
    "type": _SINCE_A1,
    "queue": _SINCE_A1,
    "container": _SINCE_A1,
    "maxactivesteps": _SINCE_A1,
    "workerselector": _SINCE_A1,
    "secrets": _SINCE_A1,
}
_BY_STEP_KEY: Mapping[str, frozenset[Dialect]] = {
    "precondition": _OLD,
    "dir": _OLD,
    "executor": _OLD,
    "action": _CURRENT,
    "foreach": _CURRENT,
    "outputs": _CURRENT,
    "with": _NEW,
    "approval": _NEW,
    "id": _SINCE_A1,
    "type": _SINCE_A1,
    "parallel": _SINCE_A1,
    "container": _SINCE_A1,
    "workerselector": _SINCE_A1,
    "env": _SINCE_A1,
}
_INNER: Mapping[str, Table] = {
    "container": CONTAINER,
    "parallel": PARALLEL,
    "retry_policy": RETRY,
    "repeat_policy": REPEAT,
    "continue_on": CONTINUE_ON,
    "run_config": RUN_CONFIG,
    **dict.fromkeys(("error_mail", "info_mail", "wait_mail"), MAIL_TO),
}
_ALL = frozenset({A0, A1, B, C})


def recognise(document: Node, known_dags: frozenset[str], *, several: bool = False) -> Recognised:
    """Return the dialect of a document. `several`: it is one of many in its file, which A0 did not have."""
    told: set[Dialect] = {A0, A1, B, C}
    marks: list[Mark] = []
    every = [Mark(key="---", dialects=_SINCE_A1, line=document.at.line, column=document.at.column)] if several else []
    for mark in (*every, *_marks(document, known_dags)):
        if len(marks) < MARKS_KEPT and not mark.dialects >= told:
            marks.append(mark)
        told &= mark.dialects
    return Recognised(dialect=_decided(told, marks), marks=tuple(marks))


def _decided(told: set[Dialect], marks: Sequence[Mark]) -> Dialect:
    if not marks:
        return Dialect.ANY
    if not told:
        return Dialect.MIXED
    if told >= _OLD or told == {A0}:
        return A0  # nothing that came with 1.17
    if told == {A1, B, C}:
        return Dialect.ANY
    return min(told)  # A1 of itself; B where nothing is only C's


def _marks(document: Node, known_dags: frozenset[str]) -> Iterator[Mark]:
    if not isinstance(document, Fields):
        return
    for key, at in document.keys.items():
        value = document.fields[key]
        yield from _mark(key, at, DAG, _BY_DAG_KEY, value)
        if folded(key) == "handleron" and isinstance(value, Fields):
            yield from _handler_marks(value, known_dags)
        elif folded(key) == "steps":
            yield from _steps_marks(value, known_dags)


def _handler_marks(handlers: Fields, known_dags: frozenset[str]) -> Iterator[Mark]:
    for key, at in handlers.keys.items():
        if folded(key) == "cancel":
            yield Mark(key="cancel", dialects=_OLD, line=at.line, column=at.column)
        yield from _step_marks(handlers.fields[key], known_dags)


def _steps_marks(node: Node, known_dags: frozenset[str]) -> Iterator[Mark]:
    work = [node]
    while work:
        one = work.pop()
        if isinstance(one, Items):
            work.extend(reversed(one.items))
        elif one is node and isinstance(one, Fields):
            work.extend(reversed(list(one.fields.values())))
        else:
            yield from _step_marks(one, known_dags)


def _step_marks(step: Node, known_dags: frozenset[str]) -> Iterator[Mark]:
    if not isinstance(step, Fields):
        return
    for key, at in step.keys.items():
        yield from _mark(key, at, STEP, _BY_STEP_KEY, step.fields[key])
    run = step.fields.get("run")
    if run is not None and is_shell_text(step, run, known_dags):
        yield Mark(key="run", dialects=_CURRENT, line=step.keys["run"].line, column=step.keys["run"].column)
    call = step.fields.get("call")
    if isinstance(call, Scalar):
        yield Mark(key="call", dialects=frozenset({A1, B}), line=call.at.line, column=call.at.column)


def is_shell_text(step: Fields, run: Node, known_dags: frozenset[str]) -> bool:
    """Whether `run` is text for a shell, and not the name of a DAG (Y1)."""
    if isinstance(run, Items):
        return True
    if {"params", "parallel"} & {folded(key) for key in step.fields}:
        return False
    return isinstance(run, Scalar) and run.value is not None and run.raw.strip() not in known_dags


def _mark(key: str, at: Place, table: Table, known: Mapping[str, frozenset[Dialect]], value: Node) -> Iterator[Mark]:
    name = table.name(key)
    if name is None:
        return
    dialects = known.get(folded(key), _ALL) & _spelled(key, name)
    if len(dialects) < len(_ALL):
        yield Mark(key=key, dialects=dialects, line=at.line, column=at.column)
    inner = _INNER.get(name)
    if inner is not None and isinstance(value, Fields):
        for one, place in value.keys.items():
            yield from _mark(one, place, inner, {}, value.fields[one])


def _spelled(key: str, name: str) -> frozenset[Dialect]:
    if key == name:
        return _NEW if "_" in name else _ALL
    if folded(key) != folded(name):
        return _ALL  # an older name, in the table of its own
    if key == _camel(name):
        return _OLD
    return frozenset({A0})  # keys in any case


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
