"""What a step may do besides calling a function: commands, requests, containers, taskservs, probes, other workflows.

Values for a command or a request come from the step's `kwargs`, which may hold references: they reach a command as environment
variables, never as text in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from provisioning.builder.options import Act
from provisioning.builder.workflow import Workflow
from provisioning.codec import plain
from provisioning.core.compile import NODE_TIMEOUT_S
from provisioning.core.model import Action
from provisioning.core.plan import INSTALL


class Installing(TypedDict, total=False):
    """What may be said of the installation of a taskserv. `digest` is that of its content, for the state file."""

    profile: str
    operation: str
    digest: str
    params: Mapping[str, object]
    timeout_s: float
    idempotent: bool


class Probing(TypedDict, total=False):
    """What may be said of a probe: as in a `health_gate`."""

    retries: int
    timeout_ms: int
    probe_timeout_ms: int | None
    interval_ms: int | None
    expected: str | None
    address: str | None


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


def taskserv(server: str, name: str, *, formula: str, **settings: Unpack[Installing]) -> Act:
    """Install a taskserv on a server of the workspace, as part of a formula. Nothing else touches that server meanwhile."""
    profile, operation = settings.get("profile", "default"), settings.get("operation", INSTALL)
    digest, timeout_s = settings.get("digest", ""), settings.get("timeout_s", NODE_TIMEOUT_S)
    labels = {
        "formula": formula,
        "server": server,
        "taskserv": name,
        "profile": profile,
        "operation": operation,
        "digest": digest,
    }
    what = {
        "server": server,
        "formula": formula,
        "taskserv": name,
        "profile": profile,
        "operation": operation,
        "digest": digest,
        "timeout_s": timeout_s,
        "idempotent": settings.get("idempotent", False),
        "fresh": operation != INSTALL,
        "upload_only": False,
        "params": dict(settings.get("params") or {}),
        "resumes": None,
    }
    action = Action(type="taskserv", settings=what)
    return Act(action, kind="node", labels=labels, keys=(f"server:{server}",), timeout_s=timeout_s)


def probe(server: str, check_cmd: str, *, formula: str, **settings: Unpack[Probing]) -> Act:
    """Wait until a command succeeds on a server of the workspace, as the health gate of a formula does."""
    what = {
        "server": server,
        "formula": formula,
        "check_cmd": check_cmd,
        "retries": settings.get("retries", 6),
        "timeout_ms": settings.get("timeout_ms", 60_000),
        "probe_timeout_ms": settings.get("probe_timeout_ms"),
        "interval_ms": settings.get("interval_ms"),
        "expected": settings.get("expected"),
        "address": settings.get("address"),
    }
    return Act(Action(type="probe", settings=what), kind="gate", labels={"formula": formula, "server": server})
