"""What the steps of a run ask people: one question for each name that `approve` and `reject` take. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from provisioning.core.dagu.declared import Step
from provisioning.core.dagu.doing import HumanDoing
from provisioning.core.dagu.stored import from_plain
from provisioning.core.model import GateKind
from provisioning.core.model import Step as Node
from provisioning.core.run import Run, StepRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is asked. `inputs` may be filled in with an approval, `required` have to be."""

    step: str
    prompt: str = ""
    inputs: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


def questions(run: Run, waiting: Iterable[StepRun]) -> tuple[Question, ...]:
    """Return what the steps that wait for a person ask, each name once."""
    found: dict[str, Question] = {}
    for step in waiting:
        for gate in step.spec.gates:
            if gate.kind == GateKind.APPROVAL and (gate.kind, gate.name) not in run.opened:
                found.setdefault(gate.name, _question(step.spec, gate.name))
    return tuple(found.values())


def _question(node: Node, name: str) -> Question:
    declared = node.action.settings.get("step")
    doing = from_plain(declared, Step).doing if declared is not None else None
    if not isinstance(doing, HumanDoing):
        return Question(step=name)
    prompt = node.labels.get("prompt", "")
    return Question(step=name, prompt=prompt, inputs=doing.inputs, required=doing.required)
