"""Submit workflows, watch them and steer them: the same calls on every backend.

async with connect("runs") as client:
    run_id = await client.submit(wf)
    print(await client.result(run_id, "join", timeout_s=60))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from provisioning.client.records import Debug, ErrorInfo, Info, StepInfo, StepTimes
from provisioning.errors import UsageError

if TYPE_CHECKING:
    from provisioning.client.embedded import EmbeddedClient

SLOTS = 32


def connect(
    url: str | Path | None = None,
    *,
    execute: bool = True,
    slots: int = SLOTS,
    pools: Mapping[str, int] | None = None,
    max_runs: int = 0,
    targets: Sequence[str] | None = None,
) -> EmbeddedClient:
    """Return a client, to be used with `async with`. Raises UsageError for a URL that is none of ours.

    `url` None is an engine in this process that forgets everything at its end. A folder is a durable one: the first process
    that opens it drives its runs, the others steer them, and one of these takes over when the first is gone. In a workspace's
    folder, steps may use its servers. Without `execute` this process never drives runs.

    `slots` steps run at once, `max_runs` runs (0: no limit); `pools` has the slots of pools that all runs share; `targets` are
    those that steps with `on_target` may ask for, all when none are named.
    """
    from provisioning.client.assemble import assemble
    from provisioning.client.engine import Options

    text = str(url) if url is not None else None
    if text is not None and "://" in text:
        raise UsageError(f"{text}: no backend of this kind", hint="give a folder, or nothing for an engine that forgets")
    if slots < 1:
        raise UsageError(f"slots is {slots}, expected at least 1")
    options = Options(slots=slots, pools=dict(pools or {}), runs=max_runs, targets=targets)
    return assemble(Path(text) if text is not None else None, options, execute=execute)


__all__ = ["Debug", "ErrorInfo", "Info", "StepInfo", "StepTimes", "connect"]
