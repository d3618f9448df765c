"""What a plan says. `core.planner` makes plans; `core.compile` turns one into a workflow."""

from __future__ import annotations

from enum import StrEnum

from provisioning.core.frozen import dataclass

INSTALL = "install"
REMOVING = frozenset({"remove", "uninstall", "delete"})
"""Operations after which a taskserv is no longer there: dependents go first, and a recorded success is no installation."""
ALONE = REMOVING | {"status", "stop"}
"""Operations that need no prerequisites and that leave nothing a health gate could vouch for."""


class StepAction(StrEnum):
    """What will happen to a step."""

    CREATE = "create"
    UNCHANGED = "unchanged"
    CHANGED = "changed"  # completed, but its inputs differ now; installed again only with `update`
    RESET = "reset"
    VERIFY = "verify"  # gates


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the operator asked for. `name` None and `everything` True is the whole DAG."""

    name: str | None = None
    everything: bool = False
    servers: frozenset[str] = frozenset()  # empty: not narrowed
    only: bool = False  # NAME alone, without prerequisites
    update: bool = False
    reset: bool = False
    reset_prerequisites: bool = False
    operation: str = "install"
    upload: bool = False  # deliver bundles without running them


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One step, why it is in, and what will happen to it."""

    id: str  # formula/node or formula/gate
    formula: str
    server: str
    kind: str  # node | gate
    action: StepAction
    because: str
    runs: bool  # whether it will be executed
    taskserv: str | None = None
    profile: str | None = None
    operation: str | None = None
    digest: str | None = None  # of the node's inputs: scripts, templates, params, profile
    resumes: str | None = None  # `RUN ATTEMPT STEP` of an interrupted attempt whose result may still be on the server
    again: bool = False  # the operator says so: an attempt that nobody knows the end of may be repeated
    depends_on: tuple[str, ...] = ()  # step ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in the order of Kahn's sort, ties in declaration order."""

    infra: str
    selection: Selection
    steps: tuple[PlanStep, ...]
    has_dag: bool = True
    notes: tuple[str, ...] = ()  # what the operator should know: no DAG, prerequisites left out, ...

    @property
    def empty(self) -> bool:
        """Whether nothing at all would run, gates included."""
        return not any(step.runs for step in self.steps)


def resumes_text(run: str, attempt: int, step: str) -> str:
    """Return how an attempt is written in `PlanStep.resumes`. The step comes last: it may hold anything."""
    return f"{run} {attempt} {step}"


def read_resumes(text: str) -> tuple[str, int, str]:
    """Return (run, attempt, step) of what `resumes_text` wrote."""
    run, attempt, step = text.split(" ", 2)
    return run, int(attempt), step
