"""Commands over Dagu files: of `dag-engine`, and of `provisioning dag`.

Each verb lives in a module of its own that is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

VERBS: Mapping[str, str] = MappingProxyType(
    {
        "run": "Run a DAG to its end, with parameters after `--`.",
        "list": "List the DAG files of a folder: schedule, next run, last status.",
        "show": "Draw a DAG: its steps, what they do and wait for.",
        "validate": "Check DAG files, and say how they are read.",
        "dry": "Show what a DAG would run, without running it.",
        "status": "Show how the newest run of a DAG stands, or any run.",
        "history": "List the runs of a DAG, or of all.",
        "ps": "List the runs that have not ended.",
        "logs": "Print what the steps of a run printed; follow it.",
        "stop": "Stop a run, or those of a DAG.",
        "retry": "Run what failed of a run again, and all below it.",
        "restart": "Stop a DAG and start it with the same parameters.",
        "approve": "Approve a step that waits for it.",
        "reject": "Reject a step that waits for approval.",
        "rm": "Remove ended runs with their logs.",
        "server": "Serve the pages and the API, with a scheduler if wanted.",
        "scheduler": "Start DAGs when their schedules say so, until it is ended.",
        "enqueue": "Have a cluster run a DAG when there is room for it.",
    }
)
"""Verb -> one line of help, in the order of the help."""

WHERE: Mapping[str, str] = MappingProxyType(
    {
        "list": "dagu.listing:list_dags",
        "show": "dagu.showing:show",
        "validate": "dagu.checking:validate",
        "run": "dagu.starting:run",
        "retry": "dagu.starting:retry",
        "restart": "dagu.starting:restart",
        "dry": "dagu.drying:dry",
        "status": "dagu.looking:status",
        "history": "dagu.looking:history",
        "ps": "dagu.looking:ps",
        "logs": "dagu.logs:logs",
        "stop": "dagu.steering:stop",
        "approve": "dagu.steering:approve",
        "reject": "dagu.steering:reject",
        "rm": "dagu.steering:rm",
        "server": "serving:server",
        "scheduler": "dagu.scheduling:scheduler",
        "enqueue": "dagu.starting:enqueue",
    }
)
"""Verb -> `module:command` in this package."""

ALIASES: Mapping[str, str] = MappingProxyType({"ls": "list", "start": "run", "delete": "rm"})
"""Dagu's own word -> verb."""
