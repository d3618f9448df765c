"""Builds infrastructures and books for tests of the planner, in as few words as the case needs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from provisioning.core.compile import compile_plan
from provisioning.core.declare import (
    Condition,
    Dag,
    DepKind,
    Formula,
    FormulaDep,
    HealthGate,
    Infra,
    Node,
    NodeDep,
    ParamSpec,
    Profile,
    Server,
    Taskserv,
    Workspace,
)
from provisioning.core.inputs import input_digest
from provisioning.core.model import Workflow
from provisioning.core.plan import Plan, Selection
from provisioning.core.planner import make_plan
from provisioning.core.resources import Resource, ResourceBook, ResourceState

GATE = HealthGate(check_cmd="true")
ALL = Selection(everything=True)
OPERATIONS = ("install", "update", "config", "status", "remove")


def node(id: str, *depends_on: str, **fields: object) -> Node:
    """A node; its taskserv is called like it unless told. A dependency is `id` or `id:always` or `id:on_failure`."""
    deps = tuple(NodeDep(node_id=dep.split(":")[0], kind=DepKind((dep + ":on_success").split(":")[1])) for dep in depends_on)
    return Node(**{"id": id, "taskserv": id, "depends_on": deps, **fields})  # type: ignore[arg-type]


def formula(
    id: str, nodes: str | Sequence[Node], *depends_on: str, gate: bool | HealthGate = False, **fields: object
) -> Formula:
    """A formula on the server of its name unless told. A dependency is `id` or `id:completed` or `id:finished`."""
    deps = (
        FormulaDep(formula_id=dep.split(":")[0], condition=Condition((dep + ":healthy").split(":")[1])) for dep in depends_on
    )
    given = {
        "id": id,
        "server": id,
        "nodes": tuple(node(name) for name in nodes.split()) if isinstance(nodes, str) else tuple(nodes),
        "depends_on": tuple(deps),
        "health_gate": (GATE if gate is True else gate) or None,
    }
    return Formula(**{**given, **fields})  # type: ignore[arg-type]


def taskserv(name: str, **fields: object) -> Taskserv:
    profiles = {
        profile: Profile(name=profile, path=f"/{name}/{profile}", files_digest=f"{name}/{profile}")
        for profile in ("default", "x")
    }
    given = {"name": name, "path": f"/{name}", "profiles": profiles, "operations": OPERATIONS}
    return Taskserv(**{**given, **fields})  # type: ignore[arg-type]


def infra(*formulas: Formula, servers: Sequence[Server] = (), taskservs: Sequence[Taskserv] = (), **fields: object) -> Infra:
    """An infrastructure with every server and taskserv that the formulas name."""
    known = {one.name: one for one in taskservs}
    hosts = {server.hostname: server for server in servers}
    for one in formulas:
        hosts.setdefault(one.server, Server(hostname=one.server, address="192.0.2.1"))
        for held in one.nodes:
            known.setdefault(held.taskserv, taskserv(held.taskserv))
    given = {
        "workspace": Workspace(name="shop", path="/shop"),
        "name": "lab",
        "servers": tuple(hosts.values()),
        "dag": Dag(formulas=formulas),
        "taskservs": known,
    }
    return Infra(**{**given, **fields})  # type: ignore[arg-type]


def declared(name: str, default: object) -> Mapping[str, ParamSpec]:
    return {name: ParamSpec(default=default)}


def book(what: Infra, *entries: str, **fields: object) -> ResourceBook:
    """A book of `server/taskserv` or `server/taskserv:state`, completed with today's inputs unless told."""
    changes: dict[tuple[str, str], Resource | None] = {}
    for entry in entries:
        place, _, state = entry.partition(":")
        server, _, name = place.partition("/")
        resource = {"state": ResourceState(state or "completed"), "digest": digest_of(what, server, name), "run_id": "r1"}
        changes[server, name] = Resource(**{**resource, **fields})  # type: ignore[arg-type]
    return ResourceBook(lineage="l").put(changes)


def digest_of(what: Infra, server: str, name: str) -> str:
    formulas = what.dag.formulas if what.dag else ()
    held = next((one for f in formulas if f.server == server for one in f.nodes if one.taskserv == name), node(name))
    return input_digest(what.taskservs[name], held, what.workspace.params)


def full_book(what: Infra) -> ResourceBook:
    formulas = what.dag.formulas if what.dag else ()
    return book(what, *(f"{one.server}/{held.taskserv}" for one in formulas for held in one.nodes))


def plan(what: Infra, name: str | None = None, known: ResourceBook | None = None, **fields: object) -> Plan:
    """Plan for a name, or for everything without one."""
    selection = Selection(**{"name": name, "everything": name is None, **fields})  # type: ignore[arg-type]
    return make_plan(what, selection, known)


def workflow_of(what: Infra, name: str | None = None, known: ResourceBook | None = None, **fields: object) -> Workflow:
    options = {key: fields.pop(key) for key in ("keep_going", "max_parallel") if key in fields}
    return compile_plan(plan(what, name, known, **fields), what, **options)  # type: ignore[arg-type]


def actions(made: Plan) -> dict[str, str]:
    return {step.id: step.action.value for step in made.steps}


def running(made: Plan) -> list[str]:
    return [step.id for step in made.steps if step.runs]


def random_infra(seed: int, formulas: int, edges: int, *, nodes: int = 1, gates: float = 0.3) -> Infra:
    """An acyclic DAG with that many edges, declared in a shuffled order."""
    dice = random.Random(seed)
    needs: list[set[int]] = [set() for _ in range(formulas)]
    for _ in range(edges if formulas > 1 else 0):
        later = dice.randrange(1, formulas)
        needs[later].add(dice.randrange(later))
    made = [
        formula(
            f"f{index}",
            [node(f"n{number}", taskserv=f"t{number}") for number in range(nodes)],
            *(f"f{need}" for need in sorted(needs[index])),
            gate=dice.random() < gates,
            server=f"s{index % 50}",
        )
        for index in range(formulas)
    ]
    dice.shuffle(made)
    return infra(*made)
