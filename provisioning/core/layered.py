"""A mapping that is never changed, and whose successor with a few changes costs little however large it is."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class _Gone:
    """Stands in a layer for a key that was taken out below it."""


GONE: Final = _Gone()


class Layered(Mapping[K, V]):
    """Dicts upon one another, the newest last; each is more than twice as large as the one on it.

    A layer that comes near the one below in size is melted into it, so an entry is copied O(log n) times in all, and looking
    one up asks O(log n) dicts. A key keeps its place when its value changes.
    """

    __slots__ = ("_layers", "_size")

    def __init__(self, entries: Mapping[K, V]) -> None:
        self._layers: tuple[dict[K, V | _Gone], ...] = (dict(entries),)
        self._size = len(entries)

    @classmethod
    def over(cls, entries: Mapping[K, V]) -> Layered[K, V]:
        """Return the mapping as one of this kind; without a copy if it is one."""
        return entries if isinstance(entries, cls) else cls(entries)

    def updated(self, changes: Mapping[K, V | None]) -> Layered[K, V]:
        """Return the mapping with `changes`; None takes a key out."""
        if not changes:
            return self
        made: Layered[K, V] = Layered.__new__(Layered)
        made._size = self._size + sum((value is not None) - (key in self) for key, value in changes.items())
        made._layers = _melted(self._layers, {key: GONE if value is None else value for key, value in changes.items()})
        return made

    def __getitem__(self, key: K) -> V:
        for layer in reversed(self._layers):
            if key in layer:
                value = layer[key]
                if isinstance(value, _Gone):
                    break
                return value
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        layer = next((each for each in reversed(self._layers) if key in each), None)
        return layer is not None and layer[key] is not GONE  # type: ignore[index]

    def __iter__(self) -> Iterator[K]:
        return iter(self._flat())

    def items(self) -> ItemsView[K, V]:
        """As of a dict: faster than one look-up for each key."""
        return self._flat().items()

    def values(self) -> ValuesView[V]:
        """As `items`."""
        return self._flat().values()

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return f"Layered({self._flat()!r})"

    def _flat(self) -> dict[K, V]:
        """Return all entries in one dict, which is not to be changed."""
        if len(self._layers) == 1:
            return self._layers[0]  # type: ignore[return-value]  # nothing is gone from the lowest one
        flat: dict[K, V | _Gone] = {}
        for layer in self._layers:
            flat.update(layer)
        return {key: value for key, value in flat.items() if not isinstance(value, _Gone)}


def _melted(below: tuple[dict[K, V | _Gone], ...], top: dict[K, V | _Gone]) -> tuple[dict[K, V | _Gone], ...]:
    """Put a layer on top, and melt into one those that are not small beside what lies on them."""
    keep = len(below)
    while keep and len(below[keep - 1]) <= 2 * len(top):
        keep -= 1
        top = {**below[keep], **top}
    if not keep:
        top = {key: value for key, value in top.items() if value is not GONE}  # nothing is below that it could hide
    return (*below[:keep], top)
