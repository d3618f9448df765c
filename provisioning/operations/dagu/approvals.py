"""What waits for a person in a run: what it asks, and what has to be said with an approval."""

from __future__ import annotations

from collections.abc import Mapping

from provisioning.core.dagu.declared import Step
from provisioning.core.dagu.doing import HumanDoing
from provisioning.core.dagu.stored import from_plain
from provisioning.core.model import Step as Node
from provisioning.core.model import Workflow
from provisioning.core.suggest import nearest
from provisioning.errors import UsageError

LABEL = "approval"
"""The label of steps that wait for a person: the name under which they are approved. `prompt` is what they ask."""


def asked(node: Node) -> str:
    """Return how somebody is told that a step waits: its name for `approve`, and its prompt."""
    name, prompt = node.labels.get(LABEL, node.id), node.labels.get("prompt", "")
    return f"{name}: {prompt}" if prompt else name


def check_inputs(flow: Workflow, step: str, given: Mapping[str, str]) -> None:
    """Refuse an approval that lacks what the step requires, or says what it does not take. Raises UsageError."""
    node = next((one for one in flow.steps if one.labels.get(LABEL) == step), None)
    if node is None:
        return  # whoever takes the answer knows what waits
    doing = from_plain(node.action.settings["step"], Step).doing
    if not isinstance(doing, HumanDoing):
        return
    known = (*doing.inputs, *doing.required)
    for name in given:
        if known and name not in known:
            near = nearest(name, known)
            raise UsageError(
                f"{step} takes no input {name}", hint=f"did you mean {near}?" if near else f"it takes {_all(known)}"
            )
    missing = [name for name in doing.required if not given.get(name)]
    if missing:
        raise UsageError(f"{step} cannot be approved without {_all(missing)}", hint=f"--input {missing[0]}=VALUE")


def _all(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(dict.fromkeys(names))
