"""Every port without the outside world: for tests of workflows, taskservs and the engine itself."""

from __future__ import annotations

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
