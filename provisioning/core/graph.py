"""Graphs of named things: stable order, closure, cycles, longest paths.

Names are turned into positions once, so that everything after is integers and lists. All of it is O(V + E), save the
heap's logarithm that keeps the order stable, and iterative: a chain of 100,000 is no deeper than one of two.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from provisioning.core.cycles import cycles
from provisioning.core.frozen import dataclass
from provisioning.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Names in declaration order; `needs[i]` are the positions that i depends on, `users[i]` those that depend on i."""

    ids: tuple[str, ...]
    position: Mapping[str, int]
    needs: Sequence[Sequence[int]]
    users: Sequence[Sequence[int]]


def make_graph(needs: Mapping[str, Iterable[str]]) -> Graph:
    """Build a graph from what each name depends on; the mapping's order is the declaration order.

    An edge that is listed twice counts once. Raises ConfigError for a dependency that is not a name of the graph.
    """
    position = {id: index for index, id in enumerate(needs)}
    forward: list[Sequence[int]] = []
    backward: list[list[int]] = [[] for _ in position]
    for index, (id, wanted) in enumerate(needs.items()):
        try:
            edges = tuple(dict.fromkeys(position[name] for name in wanted))
        except KeyError as missing:
            raise ConfigError(f"{id} depends on {missing.args[0]}, which does not exist") from None
        forward.append(edges)
        for edge in edges:
            backward[edge].append(index)
    return Graph(ids=tuple(position), position=position, needs=forward, users=backward)


def order(graph: Graph) -> list[str]:
    """Return every name after all it depends on; where the graph leaves a choice, the one declared first comes first.

    Raises ConfigError with one concrete path when there is a cycle: nothing is ever left out silently.
    """
    remaining = [len(edges) for edges in graph.needs]
    ready = [index for index, count in enumerate(remaining) if count == 0]  # sorted, so it is a heap already
    ordered: list[str] = []
    while ready:
        index = heapq.heappop(ready)
        ordered.append(graph.ids[index])
        for user in graph.users[index]:
            remaining[user] -= 1
            if remaining[user] == 0:
                heapq.heappush(ready, user)
    if len(ordered) < len(graph.ids):
        raise ConfigError(f"dependency cycle: {' -> '.join(cycle(graph))}", hint="remove one of these dependencies")
    return ordered


def cycle(graph: Graph) -> list[str]:
    """Return one cycle as a path that ends where it begins, each name depending on the next; empty when there is none."""
    alone = next((index for index, edges in enumerate(graph.needs) if index in edges), None)
    if alone is not None:
        return [graph.ids[alone]] * 2
    found = next(iter(cycles(graph.needs)), [])
    return [graph.ids[index] for index in (*found, *found[:1])]


def closure(graph: Graph, starts: Iterable[str]) -> dict[str, str]:
    """Return everything that `starts` depend on, however far, each with a name that needs it: the nearest to a start.

    A start is in the answer only when another start needs it. Raises KeyError for a start that is not in the graph.
    """
    queue = deque(dict.fromkeys(graph.position[id] for id in starts))
    queued = set(queue)
    needed_by: dict[int, int] = {}
    while queue:
        index = queue.popleft()
        for need in graph.needs[index]:
            needed_by.setdefault(need, index)
            if need not in queued:
                queued.add(need)
                queue.append(need)
    return {graph.ids[need]: graph.ids[user] for need, user in needed_by.items()}
