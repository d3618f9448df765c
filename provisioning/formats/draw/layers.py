"""Layers of a graph: each vertex one below the deepest it needs, and within a layer near those it is connected to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

PLACES_LIMIT = 20_000
SWEEPS = 4  # the order hardly changes after two passes down and two up


def layered(count: int, edges: Sequence[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Return the vertices 0..count-1 by layer, in drawing order. Edges are (needed, needing); a cycle's vertices go last.

    Deterministic: ties keep the order of the vertices. O(V + E) for the layers, a few sorts for the order.
    """
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for tail, head in edges:
        above[head].append(tail)
        below[tail].append(head)
    return tuple(map(tuple, _ordered(_longest_path(above, below), above, below)))


def routed(count: int, edges: Sequence[tuple[int, int]]) -> tuple[tuple[tuple[int, ...], ...], list[tuple[int, ...]]]:
    """Return layers in which long edges have places of their own, and for every edge the vertices it passes, ends included.

    Vertices from `count` up are such places; the long edges out of one vertex share them. A graph that would need more
    than `PLACES_LIMIT` gets none: its long edges go straight.
    """
    depth = {vertex: layer for layer, members in enumerate(layered(count, edges)) for vertex in members}
    spans = [(tail, head, max(depth[head] - depth[tail], 1)) for tail, head in edges]
    furthest: dict[int, int] = {}
    for tail, _, span in spans:
        furthest[tail] = max(furthest.get(tail, 1), span)
    if sum(span - 1 for span in furthest.values()) > PLACES_LIMIT:
        return layered(count, edges), [(tail, head) for tail, head in edges]
    first: dict[int, int] = {}
    total = count
    for tail, span in sorted(furthest.items()):
        first[tail] = total
        total += span - 1
    paths = [(tail, *range(first[tail], first[tail] + span - 1), head) for tail, head, span in spans]
    hops = dict.fromkeys(pair for path in paths for pair in pairwise(path))
    return layered(total, list(hops)), paths


def _longest_path(above: list[list[int]], below: list[list[int]]) -> list[list[int]]:
    depth = [0] * len(above)
    left = [len(tails) for tails in above]
    work = [vertex for vertex, tails in enumerate(above) if not tails]
    for vertex in work:  # grows while it is walked
        for head in below[vertex]:
            depth[head] = max(depth[head], depth[vertex] + 1)
            left[head] -= 1
            if not left[head]:
                work.append(head)
    layers: list[list[int]] = [[] for _ in range(max(depth, default=-1) + 1)]
    for vertex, layer in enumerate(depth):
        layers[layer].append(vertex)
    return layers


def _ordered(layers: list[list[int]], above: list[list[int]], below: list[list[int]]) -> list[list[int]]:
    place = [0.0] * len(above)
    for layer in layers:
        _settle(layer, place)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            neighbours = above if down else below
            middle = {vertex: _middle(vertex, neighbours[vertex], place) for vertex in layer}
            layer.sort(key=lambda vertex: (middle[vertex], vertex))
            _settle(layer, place)
    return layers


def _middle(vertex: int, neighbours: list[int], place: list[float]) -> float:
    return sum(place[one] for one in neighbours) / len(neighbours) if neighbours else place[vertex]


def _settle(layer: list[int], place: list[float]) -> None:
    """Spread a layer evenly over 0..1, so that layers of different sizes compare."""
    for position, vertex in enumerate(layer):
        place[vertex] = (position + 1) / (len(layer) + 1)
