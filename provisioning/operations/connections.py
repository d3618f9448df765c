"""`--check --connect`: log in to every server of a plan, and probe its gates once. Nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from provisioning.core.declare import Formula, HealthGate, Server
from provisioning.core.health import gate_times, matches
from provisioning.core.hosts import Hosts
from provisioning.core.plan import Plan
from provisioning.core.text import plain_text
from provisioning.errors import ProvisioningError
from provisioning.operations import Project


async def check_connections(project: Project, plan: Plan) -> Mapping[str, str]:
    """Return hostname or gate id -> "" or what is wrong."""
    servers = {server.hostname: server for server in project.infra.servers}
    wanted = list(dict.fromkeys(step.server for step in plan.steps))
    hosts = project.connect(project.folder, project.infra.servers, project.settings)
    try:
        reached = await hosts.warm([servers[name] for name in wanted])
        found = {name: _what(reached.get(name)) for name in wanted}
        gates = [formula for formula in _gated(project, plan) if not found.get(formula.server)]
        verdicts = await asyncio.gather(*(_probe(hosts, servers[formula.server], formula.health_gate) for formula in gates))
    finally:
        await hosts.close()
    return {**found, **{f"{formula.id}/gate": verdict for formula, verdict in zip(gates, verdicts, strict=True)}}


def _gated(project: Project, plan: Plan) -> list[Formula]:
    names = {step.formula for step in plan.steps if step.kind == "gate"}
    return [formula for formula in (project.infra.dag.formulas if project.infra.dag else ()) if formula.id in names]


def _what(error: Exception | None) -> str:
    if error is None:
        return ""
    return error.message if isinstance(error, ProvisioningError) else str(error)


async def _probe(hosts: Hosts, server: Server, gate: HealthGate | None) -> str:
    if gate is None:
        return ""
    times = gate_times(retries=gate.retries, timeout_ms=gate.timeout_ms, probe_timeout_ms=gate.probe_timeout_ms)
    try:
        link = await hosts.link(server, address=gate.address)
        exit = await link.probe(gate.check_cmd, timeout_s=times.probe_timeout_s, output=lambda _data: None)
    except ProvisioningError as error:
        return error.message
    if exit.ok and matches(gate.expected, plain_text(exit.stdout)):
        return ""
    return "the output does not match" if exit.ok else f"{exit.kind} {exit.code}"
