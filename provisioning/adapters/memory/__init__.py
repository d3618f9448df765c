"""Every port without the outside world: for tests of workflows, taskservs and the engine itself.

Each name is imported when it is asked for: the engine uses the queue and the timers here, and starting it has to be cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from provisioning.adapters.memory.bundles import FakeBundles, FakeSecrets
    from provisioning.adapters.memory.clock import FakeClock
    from provisioning.adapters.memory.fetch import FakeFetch
    from provisioning.adapters.memory.filters import FakeFilters
    from provisioning.adapters.memory.history import MemoryHistory
    from provisioning.adapters.memory.hosts import OK, Answer, Call, FakeHosts, FakeLink
    from provisioning.adapters.memory.lease import MemoryLease
    from provisioning.adapters.memory.logs import MemoryLog, MemoryLogs
    from provisioning.adapters.memory.mail import FakeMailer
    from provisioning.adapters.memory.processes import FakeProcesses, Played
    from provisioning.adapters.memory.remote_shell import FakeRemoteShell
    from provisioning.adapters.memory.resources import MemoryResources
    from provisioning.adapters.memory.store import MemoryStore
    from provisioning.adapters.memory.tasks import TaskQueue
    from provisioning.adapters.memory.timers import TimerHeap

_MODULES = {
    "bundles": ("FakeBundles", "FakeSecrets"),
    "clock": ("FakeClock",),
    "fetch": ("FakeFetch",),
    "filters": ("FakeFilters",),
    "history": ("MemoryHistory",),
    "hosts": ("OK", "Answer", "Call", "FakeHosts", "FakeLink"),
    "lease": ("MemoryLease",),
    "logs": ("MemoryLog", "MemoryLogs"),
    "mail": ("FakeMailer",),
    "processes": ("FakeProcesses", "Played"),
    "remote_shell": ("FakeRemoteShell",),
    "resources": ("MemoryResources",),
    "store": ("MemoryStore",),
    "tasks": ("TaskQueue",),
    "timers": ("TimerHeap",),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


__all__ = [
    "OK",
    "Answer",
    "Call",
    "FakeBundles",
    "FakeClock",
    "FakeFetch",
    "FakeFilters",
    "FakeHosts",
    "FakeLink",
    "FakeMailer",
    "FakeProcesses",
    "FakeRemoteShell",
    "FakeSecrets",
    "MemoryHistory",
    "MemoryLease",
    "MemoryLog",
    "MemoryLogs",
    "MemoryResources",
    "MemoryStore",
    "Played",
    "TaskQueue",
    "TimerHeap",
]
