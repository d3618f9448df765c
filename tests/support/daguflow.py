"""A compiled DAG as a few lines that a person can check: what runs after what, when handlers run, and what limits there are."""

from __future__ import annotations

from collections.abc import Iterator

from provisioning.core.model import Policy, Step, Workflow

_KINDS = {
    "dagu.step": "",
    "dagu.setup": "",
    "dagu.run": " starts runs",
    "dagu.human": " asks",
    "dagu.mail": " mails",
    "dagu.tidy": " tidies up",
}


def flow_lines(flow: Workflow) -> list[str]:
    """Return the limits, if there are any, and one line for each step."""
    limits = ", ".join(_limits(flow.policy))
    labels = ", ".join(f"{name}={value}" if value else name for name, value in flow.labels.items())
    head = [f"labels {labels}"] if labels else []
    return [*head, *([limits] if limits else []), *(_line(step) for step in flow.steps)]


def _limits(policy: Policy) -> Iterator[str]:
    if policy.max_parallel:
        yield f"{policy.max_parallel} at once"
    if policy.timeout_s:
        yield f"{policy.timeout_s:g} s at most"
    if policy.rerun is not None:
        yield f"{policy.rerun.attempts} runs at most, {policy.rerun.base_s:g} s between them"


def _line(step: Step) -> str:
    parts = [step.id + _KINDS[step.action.type]]
    if step.handler is not None:
        parts.append(f"on {step.handler.value}")
    if step.deps:
        parts.append("after " + ", ".join(dep.step for dep in step.deps))
    if step.gates:
        parts.append("once approved: " + ", ".join(gate.name for gate in step.gates))
    if step.placement.selector:
        parts.append("where " + ", ".join(f"{name}={value}" for name, value in step.placement.selector.items()))
    if step.skippable:
        parts.append("may be skipped")
    if step.forgiven:
        parts.append("may fail")
    return " ".join(parts)
