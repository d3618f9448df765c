"""Which nodes a selection means: targets, what they need, and why each formula is in. Resource states play no part here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from provisioning.core.declare import Formula, Infra, Node
from provisioning.core.edges import in_order
from provisioning.core.frozen import dataclass
from provisioning.core.graph import closure, make_graph
from provisioning.core.plan import ALONE, INSTALL, Selection
from provisioning.core.suggest import nearest
from provisioning.errors import NotFoundError, UsageError

Targets = Mapping[str, frozenset[str]]  # formula id -> ids of its nodes that were asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What of a formula is meant. `needed_by` is the formula that has it as a prerequisite, or empty."""

    formula: Formula
    nodes: tuple[Node, ...]  # in declaration order
    targets: frozenset[str]  # ids of the nodes that were asked for
    needed_by: str = ""


def select(infra: Infra, selection: Selection) -> list[Chosen]:
    """Return what of which formula is meant, in declaration order.

    Raises UsageError for a selection that contradicts itself, NotFoundError for a name that nothing has.
    """
    check_selection(selection)
    formulas = formulas_of(infra, selection)
    targets = _targets(infra, formulas, selection)
    if alone(selection):
        needed_by: dict[str, str] = {}
    else:
        graph = make_graph({formula.id: [dep.formula_id for dep in formula.depends_on] for formula in formulas})
        needed_by = closure(graph, targets)
    chosen = (_chosen(formula, targets, needed_by, selection) for formula in formulas)
    return [one for one in chosen if one is not None]


def alone(selection: Selection) -> bool:
    """Whether the targets go without prerequisites."""
    return selection.only or selection.upload or selection.operation in ALONE


def check_selection(selection: Selection) -> None:
    """Raise UsageError for options that contradict each other."""
    rules = (
        (not selection.name and not selection.everything, "nothing to do was named", "name a taskserv, or say --all"),
        (selection.name and selection.everything, f"{selection.name} and --all exclude each other", "drop one of them"),
        (selection.only and selection.everything, "--only and --all exclude each other", "--only needs the name of a taskserv"),
        (
            selection.reset_prerequisites and not selection.reset,
            "--reset-prerequisites widens --reset, which was not given",
            "say --reset --reset-prerequisites",
        ),
        (
            selection.reset_prerequisites and alone(selection),
            "--reset-prerequisites does nothing here: prerequisites are left out",
            "drop --reset-prerequisites",
        ),
        (
            selection.upload and (selection.operation != INSTALL or selection.reset or selection.update),
            "--upload only delivers bundles: it goes with neither --cmd, --reset nor --update",
            "drop --upload, or the others",
        ),
    )
    for broken, message, hint in rules:
        if broken:
            raise UsageError(message, hint=hint)


def formulas_of(infra: Infra, selection: Selection) -> tuple[Formula, ...]:
    """Return the formulas to choose from: the DAG's, or without a DAG one per server that holds the named taskserv alone.

    Raises UsageError when everything is asked for without a DAG, NotFoundError for an unknown server or taskserv.
    """
    servers = [server.hostname for server in infra.servers]
    for server in sorted(selection.servers.difference(servers)):
        raise NotFoundError(f"infra {infra.name} has no server {server}", hint=suggestion(server, servers))
    if infra.dag is not None:
        return infra.dag.formulas
    if not selection.name:
        raise UsageError(f"infra {infra.name} has no dag file, so --all means nothing", hint="name a taskserv")
    node = _direct_node(infra, selection.name)
    return tuple(Formula(id=server, server=server, nodes=(node,)) for server in servers)


def suggestion(name: str, known: Collection[str]) -> str:
    """Return a hint for an unknown name: the nearest known one, or a few of those that there are."""
    if near := nearest(name, known):
        return f"did you mean {near}?"
    some = list(dict.fromkeys(known))
    return f"there are: {', '.join(some[:8])}{', ...' if len(some) > 8 else ''}" if some else "there are none"


def _direct_node(infra: Infra, name: str) -> Node:
    taskserv = infra.taskservs.get(name)
    if taskserv is None:
        raise NotFoundError(f"no taskserv is called {name}", hint=suggestion(name, infra.taskservs))
    lone = next(iter(taskserv.profiles)) if len(taskserv.profiles) == 1 else "default"
    return Node(id=name, taskserv=name, profile=lone)


def _targets(infra: Infra, formulas: tuple[Formula, ...], selection: Selection) -> Targets:
    held = _held(infra, formulas, selection)
    narrowed = {
        formula.id: held[formula.id]
        for formula in formulas
        if formula.id in held and (not selection.servers or formula.server in selection.servers)
    }
    if held and not narrowed:
        raise _elsewhere([formula for formula in formulas if formula.id in held], selection)
    return narrowed


def _elsewhere(formulas: Sequence[Formula], selection: Selection) -> NotFoundError:
    where = ", ".join(sorted(selection.servers))
    places = ", ".join([f"{formula.server} (formula {formula.id})" for formula in formulas][:8])
    if not selection.name:
        return NotFoundError(f"no formula is on {where}", hint=f"formulas are on {places}")
    return NotFoundError(f"{selection.name} is not on {where}", hint=f"it is on {places}")


def _held(infra: Infra, formulas: tuple[Formula, ...], selection: Selection) -> Targets:
    """Return who holds the name: as a taskserv, or where no node has such a taskserv, as the id of a node."""
    name = selection.name
    if not name:
        same: dict[tuple[str, ...], frozenset[str]] = {}  # formulas that hold the same share one set
        ids = ((formula.id, tuple([node.id for node in formula.nodes])) for formula in formulas)
        return {id: same.setdefault(nodes, frozenset(nodes)) for id, nodes in ids}
    by_taskserv = _holders((formula.id, (node.id for node in formula.nodes if node.taskserv == name)) for formula in formulas)
    held = by_taskserv or _holders((formula.id, (node.id for node in formula.nodes if node.id == name)) for formula in formulas)
    if not held:
        names = {known for formula in formulas for node in formula.nodes for known in (node.taskserv, node.id)}
        hint = "add a node for it to the dag file" if name in infra.taskservs else suggestion(name, sorted(names))
        raise NotFoundError(f"no formula of infra {infra.name} holds {name}", hint=hint)
    return held


def _holders(found: Iterable[tuple[str, Iterable[str]]]) -> dict[str, frozenset[str]]:
    return {formula: ids for formula, nodes in found if (ids := frozenset(nodes))}


def _chosen(formula: Formula, targets: Targets, needed_by: Mapping[str, str], selection: Selection) -> Chosen | None:
    asked = targets.get(formula.id, frozenset())
    user = needed_by.get(formula.id, "")
    if formula.id not in targets and not user:
        return None
    nodes = formula.nodes
    if alone(selection):
        nodes = tuple(node for node in nodes if node.id in asked)
    elif not user and not selection.everything:
        nodes = _with_needs(formula, asked)
    return Chosen(formula=formula, nodes=nodes, targets=asked, needed_by=user)


def _with_needs(formula: Formula, asked: frozenset[str]) -> tuple[Node, ...]:
    """Return the asked nodes and what they need inside the formula: all before them, if it is parallel their `depends_on`."""
    if formula.parallel:
        ids = {node.id for node in formula.nodes}
        graph = make_graph({node.id: [dep.node_id for dep in node.depends_on if dep.node_id in ids] for node in formula.nodes})
        kept = asked.union(closure(graph, asked))
    else:
        ordered = [node.id for node in in_order(formula, formula.nodes)]
        last = max(index for index, id in enumerate(ordered) if id in asked)
        kept = frozenset(ordered[: last + 1])
    return tuple(node for node in formula.nodes if node.id in kept)
