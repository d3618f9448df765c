"""What each role of a cluster has to be permitted, as subjects. Pure; `docs/reference/cluster-permissions.md` shows it.

Roles add up: a machine that submits runs and works for a site has what `client` and `worker` have. Only a scheduler may make
streams, so one has to have been started before anybody else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from provisioning.adapters.nats import lease, presence, readers, resources, turns
from provisioning.adapters.nats.blobs import WORKFLOWS
from provisioning.adapters.nats.definitions import SUBJECT as DEFINITIONS
from provisioning.adapters.nats.names import Names, token
from provisioning.adapters.nats.peers import SUBJECT as HISTORY
from provisioning.adapters.nats.probing import ASK
from provisioning.core.frozen import dataclass
from provisioning.core.presence import worker_target

LOG, EVENTS, SCHEDULES = "LOG", "EVENTS", "schedules"
BUCKETS = (lease.BUCKET, presence.BUCKET, readers.BUCKET, resources.BUCKET, turns.BUCKET, SCHEDULES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """Subjects that may be published to and subscribed to, and such that may not although they match one of those."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    deny_publish: tuple[str, ...] = ()

    def __add__(self, other: Permissions) -> Permissions:
        """Return what both roles together may. What one denies and the other allows is allowed."""
        denied = [one for mine, yours in ((self, other), (other, self)) for one in mine.deny_publish if not yours.allows(one)]
        return Permissions(
            publish=_unique([*self.publish, *other.publish]),
            subscribe=_unique([*self.subscribe, *other.subscribe]),
            deny_publish=_unique(denied),
        )

    def allows(self, subject: str) -> bool:
        """Whether everything that a subject matches may be published."""
        return any(covers(one, subject) for one in self.publish) and not any(covers(one, subject) for one in self.deny_publish)

    def config(self) -> str:
        """Return the `permissions` of a user in a server's configuration."""
        deny = f", deny: {json.dumps(list(self.deny_publish))}" if self.deny_publish else ""
        publish, subscribe = json.dumps(list(self.publish), indent=2), json.dumps(list(self.subscribe))
        return f"{{ publish: {{ allow: {publish}{deny} }}, subscribe: {{ allow: {subscribe} }} }}"


def of_scheduler(names: Names, inbox: str) -> Permissions:
    """Return what whoever decides for a cluster needs: everything in its namespace, and nothing beside."""
    streams = (names.work, names.blobs, names.stream(LOG), names.stream(EVENTS), *map(names.bucket, BUCKETS))
    api = [f"$JS.API.STREAM.{verb}.{stream}" for stream in streams for verb in _VERBS]
    verbs = ("CREATE", "DELETE", "INFO", "MSG.NEXT")
    consumers = [f"$JS.API.CONSUMER.{verb}.{stream}.>" for stream in streams for verb in verbs]
    replies = [f"$JS.{kind}.{stream}.>" for stream in streams for kind in ("ACK", "FC", "API.DIRECT.GET")]
    return Permissions(
        publish=(
            ASK,
            *api,
            *consumers,
            f"$JS.API.CONSUMER.NAMES.{names.work}",
            *replies,
            *(names.key(one, ">") for one in BUCKETS),
            f"{names.namespace}.>",
        ),
        subscribe=(f"{inbox}.>", names.signal() + ".>"),
    )


def of_client(names: Names, inbox: str) -> Permissions:
    """Return what whoever submits, watches and steers runs needs, and edits the states of workspaces."""
    read = (names.work, names.blobs, names.stream(LOG), *map(names.bucket, _CLIENTS))
    followed = {
        names.work: names.decisions,
        names.stream(LOG): f"{names.namespace}.wf.log.{names.shard}.>",
        names.bucket(presence.BUCKET): names.key(presence.BUCKET, "*"),
    }
    return Permissions(
        publish=(
            ASK,
            *(f"$JS.API.STREAM.{verb}.{stream}" for stream in read for verb in ("INFO", "MSG.GET")),
            *(one for stream, subject in followed.items() for one in _follow(stream, subject)),
            *(f"$JS.API.STREAM.PURGE.{stream}" for stream in (names.work, names.blobs, names.stream(LOG))),
            names.decisions,
            names.requests,
            names.cancelled("x").rpartition(".")[0] + ".*",
            f"{names.namespace}.wf.blob.>",
            *(names.key(one, ">") for one in (resources.BUCKET, turns.BUCKET, SCHEDULES)),
            names.signal("cancel"),
            names.signal(HISTORY),
            names.signal(DEFINITIONS) + ".*",
        ),
        subscribe=(f"{inbox}.>",),
    )


def of_server(names: Names, inbox: str) -> Permissions:
    """Return what a machine needs that shows a cluster's runs: a client that says up to where it has read everything."""
    heard = (names.signal(DEFINITIONS) + ".*", names.signal(HISTORY))
    return of_client(names, inbox) + Permissions(publish=(names.key(readers.BUCKET, "*"),), subscribe=heard)


def of_worker(names: Names, inbox: str, targets: Sequence[str], worker: str = "") -> Permissions:
    """Return what a worker of these targets needs that decides nothing and starts no runs. `worker` is its name, if fixed.

    It reads no tasks of other targets, and says nothing of how they ended. It can claim any step, and read any blob: those do
    not know targets.
    """
    takes = [(names.durable(one), names.tasks(one)) for one in targets_of(targets, worker)]
    streams = (names.work, names.blobs, names.stream(LOG), names.bucket(presence.BUCKET))
    blob = f"{names.namespace}.wf.blob"
    return Permissions(
        publish=(
            ASK,
            *(f"$JS.API.STREAM.INFO.{stream}" for stream in streams),
            *(one for durable, subject in takes for one in _pull(names.work, durable, subject)),
            f"$JS.API.STREAM.MSG.GET.{names.blobs}",
            f"$JS.API.DIRECT.GET.{names.work}.{names.claims}",
            names.claims,
            *(names.ends(one) for one in targets_of(targets, worker)),
            f"{names.namespace}.wf.log.{names.shard}.>",
            f"{blob}.>",
            names.key(presence.BUCKET, token(worker) if worker else "*"),
            *(names.signal(one) for one in ("began", "who")),
            names.signal(DEFINITIONS, worker) if worker else names.signal(DEFINITIONS) + ".*",
        ),
        subscribe=(f"{inbox}.>", *(names.signal(one) for one in ("cancel", "who"))),
        deny_publish=(f"{blob}.{token(WORKFLOWS)}.>",),
    )


def targets_of(targets: Sequence[str], worker: str) -> tuple[str, ...]:
    """Return every target that a worker takes tasks for: nobody in particular's, the ones it names, and its own."""
    return ("", *targets, *([worker_target(worker)] if worker else []))


def covers(pattern: str, subject: str) -> bool:
    """Whether a pattern matches whatever a subject, which may be a pattern itself, matches."""
    wanted, given = pattern.split("."), subject.split(".")
    for number, one in enumerate(wanted):
        if one == ">":
            return len(given) > number
        if number >= len(given) or given[number] == ">" or one not in {"*", given[number]}:
            return False
    return len(wanted) == len(given)


_VERBS = ("INFO", "CREATE", "UPDATE", "MSG.GET", "MSG.DELETE", "PURGE")
_CLIENTS = (presence.BUCKET, readers.BUCKET, resources.BUCKET, turns.BUCKET, SCHEDULES)


def _follow(stream: str, subject: str) -> Iterable[str]:
    """Return what reading a stream in order needs."""
    return (f"$JS.API.CONSUMER.CREATE.{stream}.*.{subject}", f"$JS.API.CONSUMER.DELETE.{stream}.*", f"$JS.FC.{stream}.>")


def _pull(stream: str, durable: str, subject: str) -> Iterable[str]:
    """Return what taking from a consumer of a target needs."""
    return (
        f"$JS.API.CONSUMER.CREATE.{stream}.{durable}.{subject}",
        f"$JS.API.CONSUMER.INFO.{stream}.{durable}",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}",
        f"$JS.ACK.{stream}.{durable}.>",
    )


def _unique(subjects: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(subjects))
