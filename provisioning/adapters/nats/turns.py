"""Whose turn it is: one key for each workspace names the run that works on it, written with compare-and-set."""

from __future__ import annotations

import json
from contextlib import suppress

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.names import token
from provisioning.adapters.nats.streams import bucket, ensure
from provisioning.adapters.nats.wire import TTL, Message, Refused, Stored, expected
from provisioning.core.frozen import dataclass

BUCKET = "turn"
PLANNING_S = 60
"""How long a turn lasts whose run has not begun: whoever took it plans, or is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Who has it. `revision` is for whoever takes it next."""

    run: str = ""
    actor: str = ""
    begun: bool = False  # its run is recorded, or about to be
    revision: int = 0


class Turns:
    """The turns of a namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def now(self, workspace: str) -> Turn:
        """Return whose turn it is; one without a run is nobody's. Raises StoreError."""
        await ensure(self._cluster, bucket(self._cluster, BUCKET))
        found = await self._cluster.last(self._cluster.names.bucket(BUCKET), self._subject(workspace))
        return _read(found) if found is not None else Turn()

    async def take(self, workspace: str, before: Turn, run: str, actor: str, *, begun: bool) -> Turn | None:
        """Take it over from what `now` said; None where somebody was faster. Until it has `begun`, it ends by itself."""
        body = json.dumps({"run": run, "actor": actor, "begun": begun}).encode()
        headers = {**expected(before.revision), **({} if begun else {TTL: f"{PLANNING_S}s"})}
        try:
            seq = await self._cluster.publish(Message(subject=self._subject(workspace), body=body, headers=headers))
        except Refused as error:
            if not error.conflict:
                raise
            return None
        return Turn(run=run, actor=actor, begun=begun, revision=seq)

    async def give_back(self, workspace: str, mine: Turn) -> None:
        """Let go of a turn whose run never began, if it is still ours."""
        with suppress(Refused):
            headers = {"KV-Operation": "DEL", **expected(mine.revision)}
            await self._cluster.publish(Message(subject=self._subject(workspace), headers=headers))

    def _subject(self, workspace: str) -> str:
        return self._cluster.names.key(BUCKET, token(workspace))


def _read(stored: Stored) -> Turn:
    try:
        said = json.loads(stored.body) if stored.body else {}
        run, actor, begun = str(said.get("run", "")), str(said.get("actor", "")), said.get("begun") is True
    except (ValueError, AttributeError):
        return Turn(revision=stored.seq)
    return Turn(run=run, actor=actor, begun=begun, revision=stored.seq)
