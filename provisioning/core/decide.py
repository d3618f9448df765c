"""Decide: what happens next in a run. Pure: the clock and the dice come in as arguments.

Each function turns one input into events, folds them into the run at once, and adds them to the decision with the tasks and
timers they ask for. `settle` is called after every input: it draws the consequences until nothing follows any more. This
module is the door; the rooms behind it are

    starting        create, start, dispatch, reject, lost
    outcomes        on_report
    timing          on_timer
    requests        on_request, reopen, replay, recover, abandon
    consequences    settle
"""

from provisioning.core.consequences import settle
from provisioning.core.decision import Decision
from provisioning.core.outcomes import on_report
from provisioning.core.requests import Extent, abandon, on_request, recover, reopen, replay
from provisioning.core.starting import create, dispatch, lost, reject, start
from provisioning.core.timing import on_timer

__all__ = [
    "Decision",
    "Extent",
    "abandon",
    "create",
    "dispatch",
    "lost",
    "on_report",
    "on_request",
    "on_timer",
    "recover",
    "reject",
    "reopen",
    "replay",
    "settle",
    "start",
]
