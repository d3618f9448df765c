"""How long it takes to plan and compile, and how that grows.

Shapes: a chain, a fan-out, 30,000 random edges over 10,000 formulas (nothing installed, and everything), then doublings of
the chain up to 100,000 formulas. Every figure is processor time, the best of three; it is this tree's code, whatever
--checkout says.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import process_time

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
    found = [
        _measured("10,000 formulas in a chain", chain(10_000)),
        _measured("10,000 formulas after one", fan_out(10_000)),
        _measured("30,000 random edges over 10,000 formulas", tangle),
        _measured("the same, everything completed", tangle, all_completed(tangle)),
    ]
    before = None
    for size in (12_500, 25_000, 50_000, 100_000):
        before = _measured(f"{size:,} formulas in a chain", chain(size), before=before)
        found.append(before)
    return found


def _measured(name: str, infra: Infra, book: ResourceBook | None = None, *, before: Planned | None = None) -> Planned:
    plan = make_plan(infra, EVERYTHING, book)
    plan_s = _best(lambda: make_plan(infra, EVERYTHING, book))
    compile_s = _best(lambda: compile_plan(plan, infra))
    edges = sum(len(step.depends_on) for step in plan.steps)
    growth = (plan_s + compile_s) / (before.plan_s + before.compile_s) if before else None
    return Planned(name=name, plan_s=plan_s, compile_s=compile_s, edges=edges, growth=growth)


def _best(work: Callable[[], object], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        gc.collect()
        start = process_time()
        work()
        times.append(process_time() - start)
    return min(times)
