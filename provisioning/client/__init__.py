"""Submit workflows, watch them and steer them: the same calls on every backend.

async with connect("runs") as client:
    run_id = await client.submit(wf)
    print(await client.result(run_id, "join", timeout_s=60))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.client.records import Debug, ErrorInfo, Info, StepInfo, StepTimes
from provisioning.core.model import NO_FIELDS
from provisioning.errors import UsageError

if TYPE_CHECKING:
    from provisioning.client.client import Client

SLOTS = 32


def connect(  # noqa: PLR0913 - what few need has a name and a default
    url: str | Path | None = None,
    *,
    execute: bool | None = None,
    slots: int = SLOTS,
    pools: Mapping[str, int] | None = None,
    max_runs: int = 0,
    targets: Sequence[str] | None = None,
    adopt: bool = True,
    on_alarm: Callable[[int], None] | None = None,
    nats: Mapping[str, object] = NO_FIELDS,
) -> Client:
    """Return a client, to be used with `async with`. Raises UsageError for a URL that is none of ours.

    `url` None is an engine in this process that forgets everything at its end. A folder is a durable one: the first process
    that opens it drives its runs, the others steer them, and one of these takes over when the first is gone. In a workspace's
    folder, steps may use its servers. Without `execute` this process never drives runs.

    `nats://...` is a cluster: its workers run the steps, and this process only asks, unless it is to `execute`; then it is a
    worker, too. `nats` are settings of the group of this name, such as `{"credentials": "user.creds", "namespace": "team"}`.

    `slots` steps run at once, `max_runs` runs (0: no limit); `pools` has the slots of pools that all runs share; `targets` are
    those that steps with `on_target` may ask for, all when none are named.

    Without `adopt` only what this client asks for is driven, and no run that others have left open. `on_alarm` is called with
    the number of dead letters when it reaches the setting `dead_letters.alert_at`; without it, a warning is logged.
    """
    from provisioning.client.assemble import assemble, assemble_on_cluster
    from provisioning.client.engine import Options, warn_of_dead_letters
    from provisioning.clusters import is_url, overridden, worker_name
    from provisioning.settings import load

    text = str(url) if url is not None else None
    if text is not None and "://" in text and not is_url(text):
        hint = "give a folder, nats://HOST:PORT, or nothing for an engine that forgets"
        raise UsageError(f"{text.rpartition('@')[2]}: no backend of this kind", hint=hint)
    if slots < 1:
        raise UsageError(f"slots is {slots}, expected at least 1")
    options = Options(slots=slots, pools=dict(pools or {}), runs=max_runs, targets=targets)
    options = replace(options, adopt=adopt, on_alarm=on_alarm or warn_of_dead_letters)
    if text is not None and is_url(text):
        settings = overridden(load(), {**nats, "url": text})
        return assemble_on_cluster(replace(options, worker=worker_name()), settings, execute=bool(execute))
    return assemble(Path(text) if text is not None else None, options, execute=execute is not False)


__all__ = ["Debug", "ErrorInfo", "Info", "StepInfo", "StepTimes", "connect"]
