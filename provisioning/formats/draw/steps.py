"""The picture of a Dagu DAG: its steps, what they do in a few words, what they wait for, and its handlers."""

from __future__ import annotations

from collections.abc import Sequence

from provisioning.core.dagu.declared import ContinueOn, DagFile, Event, Step
from provisioning.core.dagu.doing import (
    DockerDoing,
    Doing,
    ForeachDoing,
    FunctionDoing,
    HttpDoing,
    HumanDoing,
    JqDoing,
    MailDoing,
    NoopDoing,
    RouterDoing,
    ShellDoing,
    SshDoing,
    SubDagDoing,
    Text,
)
from provisioning.formats.draw.layers import layered
from provisioning.formats.draw.picture import Box, Edge, Picture

DONE = "done"  # how an edge is marked whose step may fail, or be skipped, and what follows goes on
WORDS_LIMIT = 120  # characters
COMMANDS_SHOWN = 3


def steps_picture(dag: DagFile) -> Picture:
    """Return the picture of a DAG. The init handler comes before all steps, the other handlers stand apart, below them."""
    early = [dag.handlers[Event.INIT]] if Event.INIT in dag.handlers else []
    late = [(event, dag.handlers[event]) for event in Event if event in dag.handlers and event is not Event.INIT]
    boxes = [_box(step, _handler_name(Event.INIT, step)) for step in early]
    boxes += [_box(step, step.name) for step in dag.steps]
    edges = _edges(dag.steps, first=len(early))
    apart = tuple(range(len(boxes), len(boxes) + len(late)))
    inner = layered(len(boxes), [(edge.tail, edge.head) for edge in edges])
    return Picture(
        boxes=(*boxes, *(_box(step, _handler_name(event, step)) for event, step in late)),
        edges=edges,
        layers=(*inner, *([apart] if apart else [])),
        apart=apart,
        title=f"the steps of {dag.name} and what they wait for",
    )


def steps_document(dag: DagFile) -> dict[str, object]:
    """Return the facts of the drawing: the DAG, its steps in the order of the file, its handlers."""
    drawn = steps_picture(dag)
    layer = {index: number for number, members in enumerate(drawn.layers) for index in members}
    first = 1 if Event.INIT in dag.handlers else 0
    return {
        "dag": dag.name,
        "file": dag.file,
        "description": dag.description,
        "type": dag.type.value,
        "schedule": [cron.expression for cron in dag.schedule.start],
        "steps": [_facts(step) | {"layer": layer[first + index]} for index, step in enumerate(dag.steps)],
        "handlers": [{"event": event.value, **_facts(dag.handlers[event])} for event in Event if event in dag.handlers],
    }


def kind_of(doing: Doing) -> str:
    """Return what kind of step it is, in one word."""
    return _KINDS[type(doing)]


def words_for(doing: Doing) -> str:
    """Return what a step does, in a few words, as its file has them."""
    return " ".join(_words(doing).split())[:WORDS_LIMIT]


_KINDS: dict[type, str] = {
    ShellDoing: "shell",
    HttpDoing: "http",
    SshDoing: "ssh",
    DockerDoing: "docker",
    JqDoing: "jq",
    MailDoing: "mail",
    SubDagDoing: "dag",
    ForeachDoing: "foreach",
    RouterDoing: "router",
    HumanDoing: "human",
    FunctionDoing: "function",
    NoopDoing: "noop",
}


def _words(doing: Doing) -> str:
    if isinstance(doing, ShellDoing | SshDoing | DockerDoing):
        return _program(doing)
    if isinstance(doing, HttpDoing):
        return f"{doing.method.raw} {doing.url.raw}"
    if isinstance(doing, MailDoing):
        return ", ".join(to.raw for to in doing.to[:COMMANDS_SHOWN])
    if isinstance(doing, ForeachDoing):
        return f"{', '.join(step.name for step in doing.steps[:COMMANDS_SHOWN])} for each {doing.variable}"
    return _subject(doing)


def _subject(doing: Doing) -> str:
    """Return the one text that says what a step is about."""
    if isinstance(doing, JqDoing):
        return doing.filter.raw
    if isinstance(doing, SubDagDoing):
        return doing.dag.raw + (" for each item" if doing.parallel is not None else "")
    if isinstance(doing, RouterDoing):
        return doing.value.raw
    if isinstance(doing, HumanDoing):
        return _raw(doing.prompt)
    return doing.function if isinstance(doing, FunctionDoing) else ""


def _program(doing: ShellDoing | SshDoing | DockerDoing) -> str:
    """Return the beginning of what is run, behind where it is run."""
    argv = () if isinstance(doing, SshDoing) else doing.argv
    texts = ["; ".join(one.raw for one in doing.commands[:COMMANDS_SHOWN]), " ".join(one.raw for one in argv)]
    if doing.script is not None:
        texts.append(next((line for line in doing.script.raw.splitlines() if line.strip() and line[:2] != "#!"), ""))
    where = ""
    if isinstance(doing, SshDoing):
        where = f"{_raw(doing.login.host)}:" if doing.login.host is not None else ""
    elif isinstance(doing, DockerDoing):
        where = f"{_raw(doing.container.image or doing.container.exec_in)}:"
    return " ".join(text[: 2 * WORDS_LIMIT] for text in (where, *texts) if text)


def _raw(text: Text | None) -> str:
    return text.raw if text is not None else ""


def _box(step: Step, name: str) -> Box:
    words = words_for(step.doing)
    return Box(id=name, server=kind_of(step.doing), nodes=(words,) if words else (), gated=step.approval is not None)


def _handler_name(event: Event, step: Step) -> str:
    return f"on {event.value}" + ("" if step.name == event.value else f": {step.name}")


def _edges(steps: Sequence[Step], *, first: int) -> tuple[Edge, ...]:
    """Return what steps wait for; with an init handler, `first` is 1 and what waits for nothing else waits for it."""
    index = {step.name: number for number, step in enumerate(steps, start=first)}
    soft = {step.name for step in steps if _goes_on(step.continue_on)}
    edges: list[Edge] = []
    for head, step in enumerate(steps, start=first):
        needed = [name for name in dict.fromkeys(step.depends) if name in index and index[name] != head]
        edges += [Edge(tail=index[name], head=head, **({"condition": DONE} if name in soft else {})) for name in needed]
        if first and not needed:
            edges.append(Edge(tail=0, head=head))
    return tuple(edges)


def _goes_on(continue_on: ContinueOn) -> bool:
    return continue_on.failure or continue_on.skipped or bool(continue_on.exit_codes or continue_on.output)


def _facts(step: Step) -> dict[str, object]:
    return {
        "name": step.name,
        "id": step.id or None,
        "description": step.description,
        "kind": kind_of(step.doing),
        "does": words_for(step.doing),
        "depends_on": list(step.depends),
        "continues": _goes_on(step.continue_on),
        "approval": step.approval is not None,
        "line": step.line,
    }
