"""How long it takes to plan and compile, and how that grows: `python benchmarks/planning.py`.

Shapes: a chain, a fan-out, 30,000 random edges over 10,000 formulas (nothing installed, and everything), then doublings of
the chain up to 100,000 formulas. Every figure is processor time, the best of three.
"""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable, Iterable
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
from provisioning.core.plan import Plan, Selection
from provisioning.core.planner import make_plan
from provisioning.core.resources import Resource, ResourceBook, ResourceState

LIMIT_S = 2.0  # for each of planning and compiling
GROWTH_LIMIT = 2.3  # per doubling
EVERYTHING = Selection(everything=True)
OS = Taskserv(name="os", path="/os", profiles={"default": Profile(name="default", path="/os/default", files_digest="d")})
NODE = Node(id="os", taskserv="os")
GATE = HealthGate(check_cmd="true")


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


def measure(infra: Infra, book: ResourceBook | None = None, repeats: int = 3) -> tuple[float, float]:
    """Return the seconds that planning and compiling everything take."""
    plan = make_plan(infra, EVERYTHING, book)
    return (
        _best(lambda: make_plan(infra, EVERYTHING, book), repeats),
        _best(lambda: compile_plan(plan, infra), repeats),
    )


def _best(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        gc.collect()
        start = process_time()
        work()
        times.append(process_time() - start)
    return min(times)


def _steps(plan: Plan) -> int:
    return sum(len(step.depends_on) for step in plan.steps)


def main() -> int:
    failures = []
    tangle = scattered(10_000, 30_000)
    cases: list[tuple[str, Infra, ResourceBook | None]] = [
        ("10,000 chain", chain(10_000), None),
        ("10,000 fan-out", fan_out(10_000), None),
        ("30,000 edges", tangle, None),
        ("30,000 edges, all completed", tangle, all_completed(tangle)),
    ]
    for name, infra, book in cases:
        plan_s, compile_s = measure(infra, book)
        edges = _steps(make_plan(infra, EVERYTHING, book))
        print(f"{name:30} plan {plan_s:6.3f} s   compile {compile_s:6.3f} s   {edges} step edges")
        failures += [name] if max(plan_s, compile_s) > LIMIT_S else []
    before = 0.0
    for size in (12_500, 25_000, 50_000, 100_000):
        total = sum(measure(chain(size)))
        growth = f"x {total / before:.2f}" if before else ""
        print(f"chain of {size:7}               plan and compile {total:6.3f} s   {growth}")
        failures += [f"chain of {size}"] if before and total / before > GROWTH_LIMIT else []
        before = total
    if failures:
        print(f"too slow: {', '.join(failures)}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
