"""What a DAG would run, in order, without anything being run: nothing is evaluated, written or contacted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from provisioning.core.dagu.declared import Condition, DagFile, Event, Param, Step
from provisioning.core.dagu.doing import DockerDoing, FunctionDoing, HttpDoing, ShellDoing, SshDoing, SubDagDoing
from provisioning.core.dagu.params import Given, parse_params
from provisioning.formats.draw.layers import layered
from provisioning.formats.draw.steps import kind_of, words_for


def dry_document(dag: DagFile, given: Sequence[Given]) -> dict[str, object]:
    """Return the JSON of `dag dry`: the parameters, the steps in the order in which they could start, the handlers."""
    return {
        "dag": dag.name,
        "file": dag.file,
        "type": dag.type.value,
        "params": params_of(dag, given),
        "preconditions": [_condition(one) for one in dag.preconditions],
        "steps": [_step(step, turn) for step, turn in in_order(dag)],
        "handlers": [{"event": event.value, **_step(dag.handlers[event], None)} for event in Event if event in dag.handlers],
    }


def in_order(dag: DagFile) -> list[tuple[Step, int]]:
    """Return the steps in the order in which they could start, each with its turn, from 1: equal turns may run together."""
    number = {step.name: index for index, step in enumerate(dag.steps)}
    layers = layered(len(dag.steps), [(number[name], index) for index, step in enumerate(dag.steps) for name in step.depends])
    return [(dag.steps[index], turn) for turn, members in enumerate(layers, start=1) for index in sorted(members)]


def params_of(dag: DagFile, given: Sequence[Given]) -> list[dict[str, object]]:
    """Return the parameters as a run would be given them; a default that a command prints is shown as that command."""
    named = {one.name: one.value for one in given if one.name}
    positional = [one.value for one in given if not one.name]
    declared = dag.params or tuple(_of_text(dag))
    found = [_param(param, number, named, positional) for number, param in enumerate(declared)]
    known = {param.name for param in declared}
    found += [_given(name, value) for name, value in named.items() if name not in known]
    more = enumerate(positional[len(declared) :], start=len(found) + 1)
    return found + [_given(str(number), value) for number, value in more]


def _given(name: str, value: str) -> dict[str, object]:
    return {"name": name, "value": value, "from": "given"}


def _of_text(dag: DagFile) -> Iterator[Param]:
    """Yield the parameters of a text as if they were declared. What would be replaced in the text is shown as it is."""
    text = dag.params_text
    if text is not None:
        for one in parse_params(text.raw):
            yield Param(name=one.name or None, default=replace(text, raw=one.value))


def _param(param: Param, number: int, named: dict[str, str], positional: list[str]) -> dict[str, object]:
    name = param.name or str(number + 1)
    if param.name in named or number < len(positional):
        return _given(name, named.get(param.name or "", (positional[number:] or [""])[0]))
    if param.evaluated is not None:
        return {"name": name, "value": param.evaluated.raw, "from": "command"}
    return {"name": name, "value": param.default.raw if param.default else None, "from": "default"}


def _step(step: Step, turn: int | None) -> dict[str, object]:
    return {
        "id": step.name,
        **({"turn": turn} if turn is not None else {}),
        "kind": kind_of(step.doing),
        "does": words_for(step.doing),
        "commands": _commands(step),
        "depends_on": list(step.depends),
        "preconditions": [_condition(one) for one in step.preconditions],
        "approval": step.approval is not None,
    }


def _commands(step: Step) -> list[str]:
    """Return everything that a step would run, whole, as the file has it."""
    doing = step.doing
    if isinstance(doing, ShellDoing | SshDoing | DockerDoing):
        argv = () if isinstance(doing, SshDoing) else doing.argv
        found = [one.raw for one in doing.commands] + ([" ".join(one.raw for one in argv)] if argv else [])
        return found + ([doing.script.raw] if doing.script is not None else [])
    if isinstance(doing, HttpDoing | SubDagDoing | FunctionDoing):
        return [words_for(doing)]
    return []


def _condition(one: Condition) -> dict[str, object]:
    return {
        "condition": one.condition.raw,
        **({"expected": one.expected} if one.expected is not None else {}),
        **({"negate": True} if one.negate else {}),
    }
