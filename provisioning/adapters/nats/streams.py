"""Streams and buckets: made where they are missing and we may; used as they are where somebody else made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.patience import patiently
from provisioning.adapters.nats.wire import NOT_FOUND_STREAM, Refused
from provisioning.errors import ClusterUnreachable, ConfigError, StoreError

SECOND_NS = 1_000_000_000
DUPLICATES_S = 120
PER_SUBJECT = "max_msgs_per_subject"
MARKER_S = 60
"""How long an expired key is marked as such: that is how waiting contenders hear of it."""


def work_stream(cluster: Cluster) -> dict[str, object]:
    """Return the stream of the engine. Nothing in it is ever dropped but by purging: no age, no limit.

    Schedules do not go with `discard new`, so a limit would drop the oldest, silently; the disk is the limit instead.
    """
    return {
        **file_stream(cluster, cluster.names.work, cluster.names.work_subjects),
        "allow_atomic": True,
        "allow_msg_ttl": True,
        "allow_msg_schedules": True,
    }


def blob_stream(cluster: Cluster) -> dict[str, object]:
    """Return the stream of workflows and long payloads. What is stored again replaces what was there: it is the same."""
    return {**file_stream(cluster, cluster.names.blobs, (f"{cluster.names.namespace}.wf.blob.>",)), PER_SUBJECT: 1}


def bucket(cluster: Cluster, name: str, *, history: int = 1) -> dict[str, object]:
    """Return the stream of a key-value bucket whose keys may have a TTL each."""
    return {
        **file_stream(cluster, cluster.names.bucket(name), (cluster.names.key(name, ">"),)),
        PER_SUBJECT: history,
        "discard": "new",
        "allow_rollup_hdrs": True,
        "allow_msg_ttl": True,
        "subject_delete_marker_ttl": MARKER_S * SECOND_NS,
    }


def file_stream(cluster: Cluster, name: str, subjects: tuple[str, ...]) -> dict[str, object]:
    """Return what every stream of ours has: files, on as many servers as the cluster has replicas."""
    return {
        "name": name,
        "subjects": list(subjects),
        "storage": "file",
        "retention": "limits",
        "num_replicas": cluster.access.replicas,
        "duplicate_window": DUPLICATES_S * SECOND_NS,
        "allow_direct": True,
    }


async def ensure(cluster: Cluster, wanted: Mapping[str, object]) -> dict[str, Any]:
    """Return the stream's info; make it if it is not there. Raises ConfigError when it is another than it has to be."""
    name = str(wanted["name"])
    try:
        found = await patiently(cluster, lambda: cluster.ask(f"STREAM.INFO.{name}"))
    except Refused as error:
        if error.number != NOT_FOUND_STREAM:
            raise
        found = await _make(cluster, name, wanted)
    _compare(name, wanted, found.get("config", {}))
    return found


async def ensure_aged(cluster: Cluster, wanted: Mapping[str, object], age_s: float) -> None:
    """As `ensure`, and have the stream drop what is older than that, whoever made it. Raises StoreError."""
    aged = {**wanted, "max_age": int(age_s * SECOND_NS)}
    config = (await ensure(cluster, aged))["config"]
    if config.get("max_age") != aged["max_age"]:
        await cluster.ask(f"STREAM.UPDATE.{wanted['name']}", {**config, "max_age": aged["max_age"]})


async def ensure_limited(cluster: Cluster, wanted: Mapping[str, object]) -> None:
    """As `ensure`, and have a stream that an older version made keep what it is to keep of a subject now. Raises StoreError."""
    config = (await ensure(cluster, wanted))["config"]
    if config.get(PER_SUBJECT) != wanted[PER_SUBJECT]:
        await cluster.ask(f"STREAM.UPDATE.{wanted['name']}", {**config, PER_SUBJECT: wanted[PER_SUBJECT]})


async def _make(cluster: Cluster, name: str, wanted: Mapping[str, object]) -> dict[str, Any]:
    try:
        return await cluster.ask(f"STREAM.CREATE.{name}", wanted)
    except Refused as error:
        raise StoreError(f"nats: stream {name} cannot be made: {error.message}", hint=error.hint) from error
    except ClusterUnreachable:
        raise
    except StoreError as error:
        raise ConfigError(
            f"nats: stream {name} is not there, and this account may not make it",
            hint="have an account that may make it run `provisioning worker start` once, or see docs/how-to/cluster.md",
        ) from error


_MUST = ("allow_atomic", "allow_msg_ttl", "allow_msg_schedules", PER_SUBJECT, "storage", "retention")
_UNLIMITED = -1
"""A stream of an older version keeps more than it has to, until somebody who may has limited it."""


def _compare(name: str, wanted: Mapping[str, object], found: Mapping[str, object]) -> None:
    for key in _MUST:
        if key in wanted and found.get(key) != wanted[key] and (key, found.get(key)) != (PER_SUBJECT, _UNLIMITED):
            raise ConfigError(
                f"nats: stream {name} has {key} = {found.get(key)}, expected {wanted[key]}",
                hint="it was made by something else: use another nats.namespace",
            )
    missing = set(_list(wanted["subjects"])) - set(_list(found.get("subjects")))
    if missing:
        raise ConfigError(
            f"nats: stream {name} does not take {sorted(missing)[0]}",
            hint="it was made by another version: add the subject, or use another nats.namespace",
        )


def _list(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
