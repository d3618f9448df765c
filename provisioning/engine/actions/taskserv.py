"""Installs a taskserv on a server: build the bundle, deliver it, run it as a unit, say how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from provisioning.core.declare import Server, Taskserv, Workspace
from provisioning.core.frozen import dataclass
from provisioning.core.hosts import BundleRequest, Bundles, Exit, Hosts, Unit
from provisioning.core.inputs import profile_of
from provisioning.core.params import fill_params
from provisioning.core.plan import read_resumes
from provisioning.core.ports import Outcome, Task
from provisioning.engine.actions import OK, Context, Result, Traits
from provisioning.errors import NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the actions on servers have to know besides the task: where things are, and who we are."""

    workspace: Workspace
    servers: Mapping[str, Server]
    taskservs: Mapping[str, Taskserv]
    lineage: str
    token: int  # fencing token of this runner; 0 where each task has its own

    def server(self, hostname: str) -> Server:
        """Return the server. Raises NotFoundError when the workspace no longer declares it."""
        if hostname not in self.servers:
            raise NotFoundError(f"server {hostname} is not in the workspace any more", hint="plan again")
        return self.servers[hostname]

    def taskserv(self, name: str) -> Taskserv:
        """Return the taskserv. Raises NotFoundError when the workspace no longer has it."""
        if name not in self.taskservs:
            raise NotFoundError(f"taskserv {name} is not in the workspace any more", hint="plan again")
        return self.taskservs[name]


class TaskservAction:
    """The action `taskserv`. Its settings are written by `core.compile`."""

    traits = Traits(own_time=True, mutates=True)

    def __init__(self, site: Site, bundles: Bundles, hosts: Hosts) -> None:
        self._site, self._bundles, self._hosts = site, bundles, hosts
        self._shown: dict[str, Mapping[str, object]] = {}  # of each server, what templates see

    async def run(self, task: Task, context: Context) -> Result:
        """Deliver and run. Cancelling stops the unit on the server and waits until it is gone."""
        settings = task.action.settings
        server = self._site.server(str(settings["server"]))
        bundle, secrets = await self._bundles.build(self._request(settings, server))
        context.mask(secrets)
        link = await self._hosts.link(server)
        unit = self._unit(task, settings, bundle.digest)
        return _result(await link.start(unit, bundle, context.write), unit)

    def _request(self, settings: Mapping[str, object], server: Server) -> BundleRequest:
        taskserv = self._site.taskserv(str(settings["taskserv"]))
        profile = profile_of(taskserv, str(settings["profile"]))
        params = settings.get("params")
        workspace = self._site.workspace
        return BundleRequest(
            profile_path=profile.path,
            taskserv=taskserv.name,
            profile=profile.name,
            operation=str(settings["operation"]),
            formula=str(settings["formula"]),
            server=self._visible(server),
            params=fill_params(taskserv.params, params if isinstance(params, Mapping) else {}),
            workspace={"name": workspace.name, "params": dict(workspace.params)},
            secrets=workspace.secrets,
        )

    def _visible(self, server: Server) -> Mapping[str, object]:
        if server.hostname not in self._shown:
            self._shown[server.hostname] = {**asdict(server), "address": server.address_for()}
        return self._shown[server.hostname]

    def _unit(self, task: Task, settings: Mapping[str, object], digest: str) -> Unit:
        timeout, resumes = settings.get("timeout_s"), settings.get("resumes")
        return Unit(
            lineage=self._site.lineage,
            run=task.run,
            step=task.step,
            attempt=task.attempt,
            server=str(settings["server"]),
            taskserv=str(settings["taskserv"]),
            formula=str(settings["formula"]),
            profile=str(settings["profile"]),
            operation=str(settings["operation"]),
            digest=digest,
            token=task.token or self._site.token,
            timeout_s=float(timeout) if isinstance(timeout, int | float) else 1800.0,
            idempotent=bool(settings.get("idempotent")),
            fresh=bool(settings.get("fresh")),
            resumes=read_resumes(str(resumes)) if resumes else None,
            upload_only=bool(settings.get("upload_only")),
        )


def _result(exit: Exit, unit: Unit) -> Result:
    """Say in one line how the unit ended. Unknown stays unknown."""
    if exit.ok:
        return OK
    command = f"install-{unit.taskserv}.sh {unit.operation}"
    outcome, message = _ENDS.get(exit.kind, (Outcome.FAILED, "{command} could not be started: {kind}"))
    if exit.kind in {"fenced", "refused"} and exit.message:
        message = exit.message.replace("{", "{{").replace("}", "}}")
    text = message.format(command=command, kind=exit.kind, code=exit.code, limit=unit.timeout_s, why=exit.message)
    code = {"exit": exit.code, "signal": 128 + exit.code}.get(exit.kind)
    return Result(outcome=outcome, exit_code=code, error_kind=_ERROR_KINDS.get(exit.kind, exit.kind), error=text)


_ERROR_KINDS = {"unknown": "unreachable", "refused": "unknown"}
_ENDS = {
    "exit": (Outcome.FAILED, "{command} ended with exit code {code}"),
    "signal": (Outcome.FAILED, "{command} was killed by signal {code}"),
    "timeout": (Outcome.TIMED_OUT, "{command} did not end within {limit:g} s and was stopped"),
    "unknown": (Outcome.UNKNOWN, "the connection was lost while {command} ran, and its outcome is not known: {why}"),
    "refused": (
        Outcome.UNKNOWN,
        "an earlier {command} left a claim without a result; it is not declared idempotent, so it is not repeated",
    ),
    "fenced": (Outcome.FAILED, "a newer runner works on this server; {command} was not started"),
}
