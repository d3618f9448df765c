from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from support.dags import full_book, infra, plan, random_infra

from provisioning.core.compile import compile_plan
from provisioning.core.declare import Dag, FormulaDep, Infra
from provisioning.core.resources import ResourceBook

LIMIT_S = 2.0


def chain(size: int) -> Infra:
    base = random_infra(1, size, 0)
    formulas = base.dag.formulas if base.dag else ()
    linked = []
    for before, after in zip((None, *formulas), formulas, strict=False):
        deps = (FormulaDep(formula_id=before.id),) if before else ()
        linked.append(type(after)(id=after.id, server=after.server, nodes=after.nodes, depends_on=deps))
    return infra(servers=base.servers, taskservs=list(base.taskservs.values()), dag=Dag(formulas=tuple(linked)))


@pytest.mark.parametrize(
    ("make", "completed"),
    [
        pytest.param(lambda: chain(10_000), False, id="chain of 10,000"),
        pytest.param(lambda: random_infra(1, 10_000, 30_000, gates=0.1), False, id="30,000 edges"),
        pytest.param(lambda: random_infra(1, 10_000, 30_000, gates=0.1), True, id="30,000 edges, all completed"),
    ],
)
def test_ten_thousand_formulas_are_planned_and_compiled_in_under_two_seconds_each(
    make: Callable[[], Infra], *, completed: bool
) -> None:
    what = make()
    known: ResourceBook | None = full_book(what) if completed else None
    tries = (_measured(what, known) for _ in range(3))  # others on the machine make any of them slower
    assert any(max(took) < LIMIT_S for took in tries)


def _measured(what: Infra, known: ResourceBook | None) -> tuple[float, float]:
    """Return the processor time of planning and of compiling."""
    start_s = time.process_time()
    made = plan(what, known=known)
    planned_s = time.process_time()
    compile_plan(made, what)
    return planned_s - start_s, time.process_time() - planned_s
