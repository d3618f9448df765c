"""Where the run of a DAG goes: what `worker_selector` says, and the mode for DAGs that say nothing.

A run is at one worker as a whole: its steps share a folder. Only a run that another one starts can go elsewhere than that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum

from provisioning.core.dagu.declared import DagFile, Selector, Variable
from provisioning.core.dagu.doing import Text
from provisioning.core.frozen import dataclass
from provisioning.core.model import ANYWHERE, Fallback, Placement
from provisioning.core.presence import worker_target

LABEL_MOST = 256  # characters of a name or a value
_is_label = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*").fullmatch


class Mode(StrEnum):
    """Where a DAG without a selector runs that another one starts: Dagu's `default_execution_mode`."""

    LOCAL = "local"  # where the one that starts it runs
    DISTRIBUTED = "distributed"  # at any worker


class WrongSelector(ValueError):
    """A selector that no worker can match, whatever labels it has; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """The worker that starts runs, and what holds for those that say nothing."""

    worker: str
    mode: Mode = Mode.LOCAL
    if_gone: Fallback = Fallback.RETARGET


def effective(step: Selector | None, dag: DagFile) -> Selector | None:
    """Return the selector that counts for a DAG that a step starts: the step's own before that of the DAG."""
    return step if step is not None else dag.worker_selector


def texts_of(selector: Selector) -> list[Text]:
    """Return the texts of a selector that may have references: names and values of its labels."""
    return [text for label in selector.labels for text in (_name(label), label.value)]


def _name(label: Variable) -> Text:
    return Text(raw=label.name, line=label.value.line, column=label.value.column)


def labels_of(selector: Selector, expand: Callable[[Text], str]) -> Mapping[str, str]:
    """Return the labels with references replaced. Raises WrongSelector for what cannot be a label."""
    found: dict[str, str] = {}
    for label in selector.labels:
        name = expand(_name(label)).strip()
        value = expand(label.value).strip()
        problem = wrong_label(name, value)
        if problem:
            raise WrongSelector(problem)
        if found.setdefault(name, value) != value:
            raise WrongSelector(f"the label {name} is wanted twice, with two values")
    return found


def wrong_label(name: str, value: str) -> str:
    """Return what is wrong with a label, nothing where it can be one. References are not looked into."""
    if "$" in name + value:
        return f"the label {name}={value} still has a reference in it, which nothing replaces here"
    if _is_label(name) is None or len(name) > LABEL_MOST:
        return f"{name!r} is no name of a label, expected letters, digits, `.`, `_`, `/` and `-`"
    if not value.isprintable() or "," in value or len(value) > LABEL_MOST:
        return f"{value!r} is no value of the label {name}"
    return ""


def started_by_hand(dag: DagFile, expand: Callable[[Text], str]) -> Placement:
    """Return where a run goes that a person or a schedule starts: it waits for a worker. Raises WrongSelector."""
    selector = dag.worker_selector
    if selector is None or selector.local:
        return ANYWHERE
    return _chosen(labels_of(selector, expand), Fallback.WAIT)


def started_by_step(step: Selector | None, dag: DagFile, here: Here, expand: Callable[[Text], str]) -> Placement:
    """Return where a run goes that a step starts: where no worker is there for it, the step fails. Raises WrongSelector."""
    selector = effective(step, dag)
    if selector is None and here.mode is Mode.DISTRIBUTED:
        return Placement(fallback=Fallback.FAIL)
    if selector is None or selector.local:
        return Placement(target=worker_target(here.worker), fallback=Fallback.RETARGET)
    return _chosen(labels_of(selector, expand), Fallback.FAIL)


def _chosen(labels: Mapping[str, str], fallback: Fallback) -> Placement:
    return Placement(selector=labels, fallback=fallback) if labels else ANYWHERE
