"""How a caller wants a plan to be run."""

from __future__ import annotations

from provisioning.core.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to run a plan."""

    keep_going: bool = False  # independent branches go on after a failure
    max_parallel: int = 0  # steps at once in the whole run; 0: the setting `run.max_parallel`
    wait: bool = False  # wait for the workspace instead of refusing
    actor: str = ""  # user@host; empty: this user on this machine
    source: str = "cli"
    from_step: str | None = None  # a retry begins there, whatever became of it, and runs all below it again
