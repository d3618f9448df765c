"""How steps hang together: names, ids, dependencies, chains, routes, cycles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from provisioning.core.check_faults import cycle_fault
from provisioning.core.cycles import cycles
from provisioning.core.dagu.declared import DagType, Step
from provisioning.core.dagu.doing import Route, RouterDoing
from provisioning.core.shown import listed, quote
from provisioning.formats.dagu.dialect import Recognised
from provisioning.formats.dagu.reading import Spot
from provisioning.formats.dagu.steps import Draft

LONGEST_NAME = 255
LONGEST_ID = 40
EDGES_MOST = 1_000_000
RESERVED = frozenset(["env", "params", "args", "stdout", "stderr", "output", "outputs"])
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def settle(drafts: Sequence[Draft], type_: DagType, recognised: Recognised) -> tuple[Step, ...]:
    """Return the steps with their names, and `depends` as names of steps. Takes time linear in steps and edges."""
    names = _names(drafts)
    known = _known(drafts, names)
    _check_ids(drafts, names)
    own = [_own(draft, index, known) for index, draft in enumerate(drafts)]
    edges = _chained(drafts, own, recognised) if type_ is DagType.CHAIN else [list(one or ()) for one in own]
    if drafts and sum(map(len, edges)) > EDGES_MOST:
        drafts[0].spot.fault("too_large", f"found more than {EDGES_MOST:,} dependencies between steps")
        return ()
    _refuse_cycles(drafts, names, edges)
    routed = _routes(drafts, names, known)
    return tuple(
        replace(
            draft.step,
            name=names[index],
            generated=not draft.step.name and not draft.step.id,
            depends=tuple(names[other] for other in edges[index]),
            doing=routed.get(index, draft.step.doing),
        )
        for index, draft in enumerate(drafts)
    )


# ---------------------------------------------------------------- names


def _names(drafts: Sequence[Draft]) -> list[str]:
    """Return each step's name: its own, else its id, else one made of its kind and its place, from 1, that is free."""
    taken = {draft.step.name or draft.step.id for draft in drafts} | {draft.step.id for draft in drafts}
    free = _Free(taken)
    return [draft.step.name or draft.step.id or free.name(draft.kind, place) for place, draft in enumerate(drafts, start=1)]


class _Free:
    """Gives out names that are not taken. It remembers where it has looked, so that many names stay cheap."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._next: dict[tuple[str, int], int] = {}

    def name(self, kind: str, number: int) -> str:
        seen = []
        while f"{kind}_{number}" in self._taken:
            seen.append(number)
            number = self._next.get((kind, number), number + 1)
        self._next.update(dict.fromkeys(((kind, one) for one in [*seen, number]), number + 1))
        self._taken.add(f"{kind}_{number}")
        return f"{kind}_{number}"


def _known(drafts: Sequence[Draft], names: Sequence[str]) -> Mapping[str, int]:
    """Return which step a name or an id means. A name that is there twice is a fault."""
    known: dict[str, int] = {}
    for index, (draft, name) in enumerate(zip(drafts, names, strict=True)):
        if name in known:
            first = drafts[known[name]].spot.line
            draft.spot.fault("duplicate_name", f"found the step {quote(name)} twice", f"the first is in line {first}")
        elif len(name) > LONGEST_NAME or not name.strip() or not name.isprintable():
            draft.spot.fault(
                "bad_name", f"found the step {quote(name)}, expected one line of at most {LONGEST_NAME} characters"
            )
        known.setdefault(name, index)
    for index, draft in enumerate(drafts):
        known.setdefault(draft.step.id or names[index], index)
    return known


def _check_ids(drafts: Sequence[Draft], names: Sequence[str]) -> None:
    by_name = {name: index for index, name in enumerate(names)}
    seen: set[str] = set()
    for index, draft in enumerate(drafts):
        step_id = draft.step.id
        if not step_id:
            continue
        if len(step_id) > LONGEST_ID or not _ID.fullmatch(step_id):
            rule = f"a letter, then letters, digits and underscores, at most {LONGEST_ID}"
            draft.spot.fault("bad_id", f"found the id {quote(step_id)}, expected {rule}")
        elif step_id in RESERVED:
            draft.spot.fault("reserved_id", f"found the id {quote(step_id)}, which means something else in references")
        elif step_id in seen:
            draft.spot.fault("duplicate_id", f"found the id {quote(step_id)} twice")
        elif by_name.get(step_id, index) != index:
            draft.spot.fault("duplicate_id", f"found the id {quote(step_id)}, which is the name of another step")
        seen.add(step_id)


# ---------------------------------------------------------------- dependencies


def _own(draft: Draft, index: int, known: Mapping[str, int]) -> list[int] | None:
    """Return the steps that the file says a step depends on, each once; None where it says nothing."""
    if draft.depends is None:
        return None
    found: dict[int, None] = {}
    for text in draft.depends:
        other = known.get(text.raw)
        if other is None:
            hint = draft.spot.nearest(text.raw, known)
            draft.spot.fault("unknown_step", f"found the dependency {quote(text.raw)}, which is no step", hint, text)
        elif other == index:
            draft.spot.fault("self_dependency", f"found the step {quote(text.raw)} among its own dependencies", "", text)
        else:
            found[other] = None
    return list(found)


@dataclass(slots=True)
class _Group:
    place: int
    members: list[int]


def _chained(drafts: Sequence[Draft], own: Sequence[list[int] | None], recognised: Recognised) -> list[list[int]]:
    """Return the edges of a chain: each step after all members of the group before its own."""
    edges: list[list[int]] = []
    before, current = _Group(-1, []), _Group(-1, [])
    for index, draft in enumerate(drafts):
        if draft.group != current.place:
            before, current = current, _Group(draft.group, [])
        current.members.append(index)
        said = own[index]
        if said is None:
            edges.append(before.members)
        else:
            edges.append(_both(draft, said, before.members, recognised))
    return edges


def _both(draft: Draft, said: list[int], before: list[int], recognised: Recognised) -> list[int]:
    """A step of a chain with dependencies of its own: Dagu 2 refuses it, Dagu 1.30 adds them, [] means none at all."""
    if not said:
        return []
    if recognised.new:
        hint = "leave out type: chain, or depends"
        draft.spot.fault("depends_in_chain", "found depends in a chain, where each step depends on the one before", hint)
    else:
        message = "the step depends on the one before it as well; Dagu 1.17 took only its own depends"
        draft.spot.note("chain_depends", message)
    return list(dict.fromkeys([*before, *said]))


def _refuse_cycles(drafts: Sequence[Draft], names: Sequence[str], edges: Sequence[Sequence[int]]) -> None:
    for cycle in cycles(edges):
        spot = drafts[cycle[0]].spot
        fault = cycle_fault("steps", [names[index] for index in cycle], spot.path)
        spot.fault(fault.code, fault.message, fault.hint)


# ---------------------------------------------------------------- routes


def _routes(drafts: Sequence[Draft], names: Sequence[str], known: Mapping[str, int]) -> dict[int, RouterDoing]:
    """Return the routers with the names of their targets. A step may be the target of one route only."""
    routed: dict[int, RouterDoing] = {}
    taken: dict[int, str] = {}
    for index, draft in enumerate(drafts):
        doing = draft.step.doing
        if isinstance(doing, RouterDoing):
            routes = tuple(_route(route, draft.spot, names, known, taken) for route in doing.routes)
            routed[index] = replace(doing, routes=routes)
    return routed


def _route(route: Route, spot: Spot, names: Sequence[str], known: Mapping[str, int], taken: dict[int, str]) -> Route:
    targets = []
    for name in route.targets:
        target = known.get(name)
        if target is None:
            spot.fault("unknown_step", f"found the target {quote(name)}, which is no step", spot.nearest(name, known))
            continue
        if target in taken:
            both = listed([taken[target], route.pattern])
            spot.fault("duplicate_target", f"found the step {quote(name)} as the target of two routes, {both}")
        taken[target] = route.pattern
        targets.append(names[target])
    return replace(route, targets=tuple(targets))
