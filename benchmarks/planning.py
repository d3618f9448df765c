"""How long it takes to plan and compile, and how that grows.

Shapes: a chain, a fan-out, 30,000 random edges over 10,000 formulas (nothing installed, and everything), then doublings of
the chain up to 100,000 formulas. Every figure is processor time, the best of some turns; shapes take turns, so that an hour in
which the machine is slow does not look like growth. It is this tree's code, whatever --checkout says.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from time import process_time
from typing import TypeVar

from provisioning.core.compile import compile_plan
from provisioning.core.declare import (
    Dag,
    Formula,
    FormulaDep,
    HealthGate,
    Infra,
    Node,
    Profile,
    Server,
    Taskserv,
    Workspace,
)
from provisioning.core.inputs import input_digest
from provisioning.core.plan import Selection
from provisioning.core.planner import make_plan
from provisioning.core.resources import Resource, ResourceBook, ResourceState

LIMIT_S = 2.0  # for each of planning and compiling
GROWTH_LIMIT = 2.3  # per doubling
EVERYTHING = Selection(everything=True)
OS = Taskserv(name="os", path="/os", profiles={"default": Profile(name="default", path="/os/default", files_digest="d")})
NODE = Node(id="os", taskserv="os")
GATE = HealthGate(check_cmd="true")
TURNS = 4
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One shape. `growth` is over the shape before it, which had half as many formulas."""

    name: str
    plan_s: float
    compile_s: float
    edges: int  # of steps
    growth: float | None


def chain(size: int) -> Infra:
    return _infra(((index - 1,) if index else ()) for index in range(size))


def fan_out(size: int) -> Infra:
    return _infra(((0,) if index else ()) for index in range(size))


def scattered(size: int, edges: int, seed: int = 1) -> Infra:
    dice = random.Random(seed)
    needs: list[set[int]] = [set() for _ in range(size)]
    for _ in range(edges):
        later = dice.randrange(1, size)
        needs[later].add(dice.randrange(later))
    return _infra(tuple(sorted(some)) for some in needs)


def _infra(needs: Iterable[tuple[int, ...]]) -> Infra:
    """One formula for each entry, the tenth of them with a gate, spread over 1,000 servers."""
    formulas = tuple(
        Formula(
            id=f"f{index}",
            server=f"s{index % 1000}",
            nodes=(NODE,),
            depends_on=tuple(FormulaDep(formula_id=f"f{need}") for need in some),
            health_gate=GATE if index % 10 == 0 else None,
        )
        for index, some in enumerate(needs)
    )
    servers = tuple(Server(hostname=f"s{index}", address="192.0.2.1") for index in range(1000))
    workspace = Workspace(name="bench", path="/bench")
    return Infra(workspace=workspace, name="lab", servers=servers, dag=Dag(formulas=formulas), taskservs={"os": OS})


def all_completed(infra: Infra) -> ResourceBook:
    done = Resource(state=ResourceState.COMPLETED, digest=input_digest(OS, NODE, {}))
    return ResourceBook(lineage="l", servers={server.hostname: {"os": done} for server in infra.servers})


def measure() -> list[Planned]:
    """Plan and compile every shape; a minute of processor time."""
    tangle = scattered(10_000, 30_000)
    found = _in_turns(
        {
            "10,000 formulas in a chain": (chain(10_000), None),
            "10,000 formulas after one": (fan_out(10_000), None),
            "30,000 random edges over 10,000 formulas": (tangle, None),
            "the same, everything completed": (tangle, all_completed(tangle)),
        }
    )
    doublings = _in_turns({f"{size:,} formulas in a chain": (chain(size), None) for size in (12_500, 25_000, 50_000, 100_000)})
    return [*found, doublings[0], *(_grown(*pair) for pair in pairwise(doublings))]


def _grown(before: Planned, one: Planned) -> Planned:
    return replace(one, growth=(one.plan_s + one.compile_s) / (before.plan_s + before.compile_s))


def _in_turns(shapes: Mapping[str, tuple[Infra, ResourceBook | None]]) -> list[Planned]:
    best: dict[str, Planned] = {}
    for _ in range(TURNS):
        for name, (infra, book) in shapes.items():
            timed, before = _timed(name, infra, book), best.get(name)
            least = (
                timed
                if before is None
                else replace(timed, plan_s=min(timed.plan_s, before.plan_s), compile_s=min(timed.compile_s, before.compile_s))
            )
            best[name] = least
    return list(best.values())


def _timed(name: str, infra: Infra, book: ResourceBook | None) -> Planned:
    plan, plan_s = _watched(lambda: make_plan(infra, EVERYTHING, book))
    _, compile_s = _watched(lambda: compile_plan(plan, infra))
    edges = sum(len(step.depends_on) for step in plan.steps)
    return Planned(name=name, plan_s=plan_s, compile_s=compile_s, edges=edges, growth=None)


def _watched(work: Callable[[], T]) -> tuple[T, float]:
    gc.collect()
    start = process_time()
    result = work()
    return result, process_time() - start
