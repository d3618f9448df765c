"""The history outside NATS: a local database into which every decision is written, in the order of the stream."""

from __future__ import annotations

from pathlib import Path

from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.sqlite.history import SqliteHistory


class Replica:
    """Follows the stream of decisions."""

    def __init__(self, cluster: Cluster, blobs: Blobs, path: Path) -> None:
        self._cluster, self._blobs, self.path = cluster, blobs, path
        self.history = SqliteHistory(path)
