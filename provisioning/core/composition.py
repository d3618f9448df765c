"""Merge what formulas say of their place in the DAG with what the composition says of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field

from provisioning.core.declare import Dag, Formula, FormulaDep, HealthGate, Node
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import listed, quote
from provisioning.core.suggest import Suggester

PLACE_FIELDS = ("depends_on", "parallel", "health_gate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What one spot of a file says of a formula's place; None is not said."""

    formula_id: str
    depends_on: tuple[FormulaDep, ...] | None = None
    parallel: bool | None = None
    health_gate: HealthGate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A formula as it is written, before its place is known."""

    id: str
    server: str
    nodes: tuple[Node, ...]
    max_parallel: int
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The DAG, what was wrong in the merge, and which fields came from which entry of the composition."""

    dag: Dag
    faults: tuple[Fault, ...] = ()
    origins: Mapping[tuple[int, str], str] = field(default_factory=dict)  # (formula, field) -> JSON path


def merge(parts: Sequence[Part], entries: Sequence[Place]) -> Merged:
    """Return the DAG in declaration order, with every fault of the composition; of two entries the first counts."""
    faults: list[Fault] = []
    indexes = _first_indexes(parts)
    chosen = dict(_chosen(entries, indexes, faults))
    origins: dict[tuple[int, str], str] = {}
    formulas = [_formula(part, index, entries, chosen.get(index), origins) for index, part in enumerate(parts)]
    for index, position in chosen.items():
        faults += _conflicts(parts[index].place, entries[position], index, position)
    return Merged(dag=Dag(formulas=tuple(formulas)), faults=tuple(faults), origins=origins)


def _first_indexes(parts: Sequence[Part]) -> dict[str, int]:
    indexes: dict[str, int] = {}
    for index, part in enumerate(parts):
        indexes.setdefault(part.id, index)
    indexes.pop("", None)
    return indexes


def _chosen(entries: Sequence[Place], indexes: Mapping[str, int], faults: list[Fault]) -> Iterable[tuple[int, int]]:
    seen: dict[str, int] = {}
    suggester = Suggester(indexes.keys())
    for position, entry in enumerate(entries):
        name, path = entry.formula_id, f"$.composition.formulas[{position}].formula_id"
        if not name:
            continue
        if name in seen:
            message = f"{quote(name)} has a second entry in the composition; the first is $.composition.formulas[{seen[name]}]"
            faults.append(Fault(code="duplicate_formula", message=message, path=path, hint="make one entry of the two"))
        elif name not in indexes:
            message = f"found {quote(name)} in the composition, expected the id of a formula"
            hint = suggester.hint(name) or f"formulas are {listed(indexes)}"
            faults.append(Fault(code="unknown_formula", message=message, path=path, hint=hint))
        else:
            yield indexes[name], position
        seen.setdefault(name, position)


def _formula(
    part: Part, index: int, entries: Sequence[Place], position: int | None, origins: dict[tuple[int, str], str]
) -> Formula:
    own, entry = part.place, None if position is None else entries[position]
    if entry is not None:
        for name in PLACE_FIELDS:
            if getattr(own, name) is None and getattr(entry, name) is not None:
                origins[index, name] = f"$.composition.formulas[{position}].{name}"
    places = (own,) if entry is None else (own, entry)
    return Formula(
        id=part.id,
        server=part.server,
        nodes=part.nodes,
        max_parallel=part.max_parallel,
        depends_on=next((place.depends_on for place in places if place.depends_on is not None), ()),
        parallel=next((place.parallel for place in places if place.parallel is not None), False),
        health_gate=next((place.health_gate for place in places if place.health_gate is not None), None),
    )


def _conflicts(own: Place, entry: Place, index: int, position: int) -> Iterable[Fault]:
    for name in PLACE_FIELDS:
        here, there = getattr(own, name), getattr(entry, name)
        if here is not None and there is not None and not _same(here, there):
            yield Fault(
                code="conflicting_places",
                message=f"{name} of {quote(own.formula_id)} differs from the one at $.formulas[{index}].{name}",
                path=f"$.composition.formulas[{position}].{name}",
                hint="say it in one place",
            )


def _same(here: object, there: object) -> bool:
    """Dependencies are a set: their order makes no difference."""
    if isinstance(here, tuple) and isinstance(there, tuple):
        return _members(here) == _members(there)
    return here == there


def _members(deps: Collection[FormulaDep]) -> frozenset[FormulaDep]:
    return frozenset(deps)
