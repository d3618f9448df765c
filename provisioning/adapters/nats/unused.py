"""Removes long payloads that no run on the servers refers to: workflows, and what came for runs that are gone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from provisioning.adapters.nats.blobs import MANIFEST, WORKFLOWS
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.messages import head
from provisioning.adapters.nats.names import text, token
from provisioning.adapters.nats.readers import subjects
from provisioning.adapters.nats.schedules import BUCKET as SCHEDULES
from provisioning.adapters.nats.wire import NOT_FOUND_MESSAGE, Refused
from provisioning.core.history import History
from provisioning.core.retention import GRACE_S, Content, unused
from provisioning.errors import NotFoundError


class Unused:
    """Looks for what nobody refers to. `history` has every run that is on the servers, or is asked for the others."""

    def __init__(self, cluster: Cluster, history: History, grace_s: float = GRACE_S) -> None:
        self._cluster, self._history, self._grace_s = cluster, history, grace_s

    async def remove(self) -> list[str]:
        """Remove it; return the digests of workflows and the tokens of runs. Raises StoreError.

        What is stored while this goes on stays: only what had been stored for long is removed, up to where that was.
        """
        workflows, owners = await self._workflows(), await self._owners()
        now = await self._server_time()  # before the runs are looked at: one that begins later has stored its workflow since
        runs = await subjects(self._cluster, self._cluster.names.work, self._cluster.names.decisions)
        used = await self._digests(runs)
        if used is None:
            return []
        gone = unused(workflows, used, now, self._grace_s)
        for one in gone:
            await self._purge(self._cluster.names.blob(WORKFLOWS, one.digest, ">"), one)
        kept = {run.rpartition(".")[2] for run in runs}
        orphans = unused(owners, kept, now, self._grace_s)
        for one in orphans:
            await self._purge(f"{self._prefix}{one.digest}.>", one)
        return [one.digest for one in (*gone, *orphans)]

    # ------------------------------------------------------------ parts

    @property
    def _prefix(self) -> str:
        return f"{self._cluster.names.namespace}.wf.blob."

    async def _workflows(self) -> list[Content]:
        found = await subjects(self._cluster, self._cluster.names.blobs, f"{self._prefix}{token(WORKFLOWS)}.*.{MANIFEST}")
        digests = (text(subject.split(".")[-2]) for subject in found)
        return [one for digest in digests if digest and (one := await self._content(digest, self._manifest(digest)))]

    def _manifest(self, digest: str) -> str:
        return self._cluster.names.blob(WORKFLOWS, digest, MANIFEST)

    async def _owners(self) -> list[Content]:
        """Return what runs have, by the token of each; the rest belongs to states and schedules."""
        found = await subjects(self._cluster, self._cluster.names.blobs, f"{self._prefix}*.*.{MANIFEST}")
        tokens = {subject.removeprefix(self._prefix).partition(".")[0] for subject in found}
        return [one for owner in _of_runs(tokens) if (one := await self._content(owner, f"{self._prefix}{owner}.>"))]

    async def _digests(self, decisions: Iterable[str]) -> set[str] | None:
        """Return the workflows of the runs on the servers; None where that of one cannot be found out."""
        found: set[str] = set()
        for subject in decisions:
            run = text(subject.rpartition(".")[2])
            if run == "":  # messages about no run
                continue
            digest = (self._known(run) if run else None) or await self._asked(subject)
            if digest is None:
                return None
            found.add(digest)
        return found

    def _known(self, run: str) -> str | None:
        try:
            return self._history.summary(run).digest
        except NotFoundError:
            return None

    async def _asked(self, subject: str) -> str | None:
        """Ask the stream: its oldest decision says it, where that is the first one; "" of a run that was deleted."""
        stored = await self._cluster.first_from(self._cluster.names.work, 1, subject)
        if stored is None:
            return ""  # it has gone meanwhile
        said = head(stored)
        return "" if said.gone else said.workflow or self._known(said.run)

    async def _content(self, digest: str, subject: str) -> Content | None:
        """Return when something was stored last; None where it has gone meanwhile."""
        try:
            ask = f"STREAM.MSG.GET.{self._cluster.names.blobs}"
            found = (await self._cluster.ask(ask, {"last_by_subj": subject}))["message"]
        except Refused as error:
            if error.number != NOT_FOUND_MESSAGE:
                raise
            return None
        return Content(digest=digest, seq=int(found["seq"]), at=_time(found["time"]))

    async def _server_time(self) -> datetime:
        return _time((await self._cluster.ask(f"STREAM.INFO.{self._cluster.names.blobs}"))["ts"])

    async def _purge(self, subject: str, one: Content) -> None:
        await self._cluster.purge_before(self._cluster.names.blobs, subject, one.seq + 1)


def _of_runs(owners: set[str]) -> list[str]:
    others = {token(WORKFLOWS), token(SCHEDULES)}
    return sorted(owner for owner in owners - others if not (text(owner) or "").startswith("state "))


def _time(said: object) -> datetime:
    """Return a time of the server's; more digits than microseconds are left out."""
    whole, _, fraction = str(said).removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6].ljust(6, '0')}+00:00")
