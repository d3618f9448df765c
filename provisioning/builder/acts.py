"""What a step may do besides calling a function: commands, requests, containers, taskservs, probes, other workflows.

Values for a command or a request come from the step's `kwargs`, which may hold references: they reach a command as environment
variables, never as text in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from provisioning.builder.options import Act
from provisioning.builder.workflow import Workflow
from provisioning.codec import plain
from provisioning.core.model import Action


def shell(command: str | Sequence[str], **settings: object) -> Act:
    """Run a command on the worker: text in a shell, a list as it is. Its output is the step's result."""
    what = {"command": command} if isinstance(command, str) else {"argv": list(command)}
    return Act(Action(type="shell", settings={**what, **settings}))


def http(method: str, url: str, **settings: object) -> Act:
    """Make a request. The body of the answer is the step's result."""
    return Act(Action(type="http", settings={"method": method, "url": url, **settings}))


def docker(image: str, command: str | Sequence[str] = (), **settings: object) -> Act:
    """Run a container on the worker. Its output is the step's result."""
    what = {"command": command if isinstance(command, str) else list(command)} if command else {}
    return Act(Action(type="docker", settings={"image": image, **what, **settings}))


def workflow(inner: Workflow) -> Act:
    """Run another workflow to its end. The results of its steps, by id, are the step's result."""
    return Act(Action(type="workflow", settings={"workflow": plain(inner.build())}))


def taskserv(server: str, name: str, settings: Mapping[str, object], labels: Mapping[str, str] | None = None) -> Act:
    """Install a taskserv on a server of the workspace. Nothing else touches that server meanwhile.

    `settings` are those that `core.compile` writes, with `server` and `taskserv` filled in.
    """
    what = {"server": server, "taskserv": name, **settings}
    return Act(Action(type="taskserv", settings=what), kind="node", labels=labels, keys=(f"server:{server}",))


def probe(server: str, check_cmd: str, settings: Mapping[str, object], labels: Mapping[str, str] | None = None) -> Act:
    """Wait until a command succeeds on a server of the workspace, as a health gate does."""
    return Act(
        Action(type="probe", settings={"server": server, "check_cmd": check_cmd, **settings}), kind="gate", labels=labels
    )
