"""The outputs of a run, from those of its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

EVERY = "*"  # the output name of a step that has several: {"outputs": {NAME: value}}


def run_outputs(steps: Iterable[tuple[str, str, object]]) -> dict[str, object]:
    """Return a run's outputs by name, of (step id, output name, output) in the order of the steps: later ones win.

    Without a name of its own, an output has that of its step.
    """
    found: dict[str, object] = {}
    for step, name, output in steps:
        if name != EVERY:
            found[name or step] = output
        elif isinstance(output, Mapping) and isinstance(several := output.get("outputs"), Mapping):
            found.update(several)
    return found
