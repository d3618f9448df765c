"""Cycles in a graph of indices, without recursion: chains may be 100,000 long."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

Graph = Sequence[Sequence[int]]  # node -> the nodes that it depends on


def cycles(graph: Graph) -> list[list[int]]:
    """Return one shortest cycle through the first node of each cyclic component; self-loops are not looked at."""
    return [_shortest(graph, set(component)) for component in _components(graph) if len(component) > 1]


def in_order(graph: Graph) -> list[int]:
    """Return the nodes after everything they depend on; those in or behind a cycle are left out."""
    remaining = [len(edges) for edges in graph]
    dependents: list[list[int]] = [[] for _ in graph]
    for node, edges in enumerate(graph):
        for edge in edges:
            dependents[edge].append(node)
    ready = deque(node for node, count in enumerate(remaining) if count == 0)
    order = []
    while ready:
        order.append(node := ready.popleft())
        for dependent in dependents[node]:
            remaining[dependent] -= 1
            if remaining[dependent] == 0:
                ready.append(dependent)
    return order


def _components(graph: Graph) -> list[list[int]]:
    """Return the strongly connected components among the nodes that Kahn's sort leaves over, by their first node."""
    leftover = set(range(len(graph))).difference(in_order(graph))
    search = _Tarjan({node: [edge for edge in graph[node] if edge in leftover] for node in leftover})
    for root in sorted(leftover):
        search.visit(root)
    return sorted((sorted(component) for component in search.found), key=lambda component: component[0])


class _Tarjan:
    def __init__(self, graph: Mapping[int, Sequence[int]]) -> None:
        self.found: list[list[int]] = []
        self._graph = graph
        self._index: dict[int, int] = {}
        self._low: dict[int, int] = {}
        self._open: dict[int, None] = {}  # a stack that knows its members

    def visit(self, root: int) -> None:
        if root in self._index:
            return
        work = [self._enter(root)]
        while work:
            node, edges = work[-1]
            fresh = next((edge for edge in edges if not self._seen(node, edge)), None)
            if fresh is not None:
                work.append(self._enter(fresh))
                continue
            work.pop()
            if work:
                self._lower(work[-1][0], self._low[node])
            self._close(node)

    def _enter(self, node: int) -> tuple[int, Iterator[int]]:
        self._index[node] = self._low[node] = len(self._index)
        self._open[node] = None
        return node, iter(self._graph[node])

    def _seen(self, node: int, edge: int) -> bool:
        if edge in self._open:
            self._lower(node, self._index[edge])
        return edge in self._index

    def _lower(self, node: int, value: int) -> None:
        self._low[node] = min(self._low[node], value)

    def _close(self, node: int) -> None:
        if self._low[node] != self._index[node]:
            return
        component = []
        while node in self._open:
            component.append(self._open.popitem()[0])
        self.found.append(component)


def _shortest(graph: Graph, component: set[int]) -> list[int]:
    start = min(component)
    came_from: dict[int, int] = {}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for edge in graph[node]:
            if edge == start and node != start:
                return _path(came_from, start, node)
            if edge in component and edge != start and edge not in came_from:
                came_from[edge] = node
                queue.append(edge)
    raise AssertionError("a component has a cycle")


def _path(came_from: dict[int, int], start: int, end: int) -> list[int]:
    path = [end]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return path[::-1]
